"""The people tab in a real browser: enrol with a microphone, hear it, merge, split, delete."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from babblefish.engine.consent_texts import consent_text
from babblefish.engine.engine import Engine
from babblefish.engine.enrolment_prompts import prompts
from babblefish.storage.records import NewEmbedding, NewEnrolment
from tests.host_browser import PHONE, Visitor, shoot, until
from tests.host_server import HostServer, host_server
from tests.phones import fake_profile
from tests.sound_files import voice, wav
from tests.stored import clip, contains, form, voiceprint
from tests.web_browser import COUNT_RECORDED, SHOTS, check_accessible, launch, settled

_STOP_AT = """([take, seconds]) => {
  const button = document.querySelector(`[aria-label="Record text ${take}"].bf-on`);
  if (!button || window.recorded < seconds) return false;
  button.click();
  return true;
}"""
HOSTILE = '<img src=x onerror="window.hacked=1">'
pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    spoken = tmp_path_factory.mktemp("voice") / "spoken.wav"
    spoken.write_bytes(wav(voice(20.0, seed=3, rate=48_000)))
    flags = (
        "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={spoken}",
    )  # fmt: skip
    with sync_playwright() as playwright:
        chromium = launch(playwright, *flags)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[HostServer]:
    with host_server(engine=lambda: Engine(fake_profile()), data_dir=folder) as running:
        yield running


@pytest.fixture(scope="module")
def host(browser: Browser, server: HostServer) -> Iterator[Visitor]:
    one = Visitor(browser, server, permissions=["microphone"], locale="fr-FR")
    one.context.add_init_script(COUNT_RECORDED)
    one.sign_in()
    yield one
    one.context.close()


@pytest.fixture
def page(host: Visitor, server: HostServer) -> Iterator[Page]:
    """The people tab, with nobody known; nothing may go wrong or leave the server."""
    if host.page.get_by_role("dialog").count():  # of a test that failed
        host.page.reload()
    host.page.get_by_role("tab", name="People").click()
    yield host.page
    for speaker in list(server.hub.people.known):
        server.call(server.hub.profiles.delete, speaker, "admin")
    expect(host.page.get_by_text("Nobody is enrolled")).to_be_visible()
    assert host.outside == []
    problems, host.problems = host.problems, []
    assert problems == []


def known(server: HostServer, name: str, clips: int = 2, prints: int = 2) -> str:
    """Somebody who was enrolled before; their id."""
    new = NewEnrolment(
        (form("voiceprint"), form("cloning")),
        tuple(NewEmbedding("fake", voiceprint(n)[:2], 6.0) for n in range(prints)),
        tuple(clip(f"{name} says sentence {n}", audio=wav(voice(1.0))) for n in range(clips)),
        name, color=len(server.hub.people.known),
    )  # fmt: skip
    speaker = server.call(server.hub.storage.enrol, new)
    server.call(server.hub.refresh_people)
    return speaker.id


def agree(page: Page, name: str = "", *purposes: int) -> None:
    """Open the dialog, tick the consents, go on."""
    dialog = page.get_by_role("dialog")
    if name:
        dialog.get_by_role("textbox", name="Name").fill(name)
    for number in purposes or (0, 1):
        dialog.get_by_role("checkbox").nth(number).check()
    dialog.locator("button.bf-primary").click()


def record(page: Page, take: str, seconds: float = 6.5) -> None:
    page.get_by_label(f"Record text {take}").click()
    page.wait_for_function(_STOP_AT, arg=[take, seconds])
    card = page.locator(".bf-take").nth(int(take) - 1)
    expect(card).to_contain_text("Good:")


def test_enrol_hear_save_and_delete(page: Page, server: HostServer, folder: Path) -> None:
    expect(page.get_by_text("Know people by their voices")).to_be_visible()
    page.get_by_role("button", name="Enrol somebody").click()
    dialog = page.get_by_role("dialog")
    words = consent_text("fr")
    for statement in words.statements:
        expect(dialog).to_contain_text(statement)
    for box in dialog.get_by_role("checkbox").all():
        expect(box).not_to_be_checked()
    dialog.get_by_role("textbox", name="Name").fill("Zoé Q.")
    dialog.get_by_role("button", name=words.agree).click()
    assert not server.hub.enrolments, "nothing begins without consent to a voiceprint"
    agree(page)
    for sentence in prompts("fr").sentences:
        expect(dialog).to_contain_text(sentence)
    save = dialog.get_by_role("button", name="Save")
    expect(save).to_be_disabled()
    page.get_by_label("Record text 1").click()
    page.wait_for_function(_STOP_AT, arg=["1", 0.7])
    expect(page.locator(".bf-take").first).to_contain_text("Too short")
    for take in ("1", "2", "3"):
        record(page, take)
    expect(save).to_be_enabled()
    with page.expect_response(lambda answer: answer.url.endswith("/takes/2")) as played:
        page.locator(".bf-take").nth(1).get_by_role("button", name="Play").click()
    assert played.value.headers["content-type"] == "audio/wav"
    assert int(played.value.headers["content-length"]) > 5 * 32_000
    expect(page.locator(".bf-take").nth(1).get_by_role("button", name="Stop")).to_be_visible()
    save.click()
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("heading", name="Zoé Q.")).to_be_visible()
    expect(page.locator(".bf-clips li")).to_have_count(6)
    expect(page.locator(".bf-clips li").first).to_contain_text(prompts("fr").sentences[0])
    speaker = next(iter(server.hub.people.known))
    consents = server.call(server.hub.storage.consents, speaker)
    assert {c.form.given_by for c in consents} == {"Zoé Q., at the host's computer"}

    with page.expect_response(lambda answer: "/people/clips/" in answer.url) as heard:
        page.get_by_role("button", name="Play").first.click()
    assert int(heard.value.headers["content-length"]) > 4 * 32_000
    expect(page.locator(".bf-playing")).to_have_count(1)

    prints = server.call(server.hub.storage.embeddings, speaker)
    traces = ("Zoé Q.".encode(), prints[0].vector, prompts("fr").sentences[0][:30].encode())
    assert len(contains(folder, *traces)) >= 3
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("dialog")).to_contain_text("3 voiceprints, 3 recordings, 2 consents")
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("Nobody is enrolled")).to_be_visible()
    assert contains(folder, *traces) == [] and not list((folder / "clips").iterdir())
    acts = {entry.act for entry in server.call(server.hub.storage.audit_log)}
    assert {"speaker_added", "consent_given_voiceprint", "clip_played", "speaker_deleted"} <= acts


def test_a_file_in_place_of_the_prompts(page: Page, server: HostServer, host: Visitor) -> None:
    page.get_by_role("button", name="Enrol somebody").click()
    agree(page, "Ben")
    field = page.get_by_label("Or choose a recording")
    card = page.locator(".bf-take").nth(3)
    field.set_input_files({"name": "a.txt", "mimeType": "audio/wav", "buffer": b"no sound" * 90})
    expect(card).to_contain_text("This is no sound file")
    host.problems = [p for p in host.problems if "415" not in p]
    short = wav(voice(5.0), 16_000)
    field.set_input_files({"name": "b.wav", "mimeType": "audio/wav", "buffer": short})
    expect(card).to_contain_text("Choose a longer recording")
    good = wav(voice(25.0, seed=3), 16_000)
    field.set_input_files({"name": "c.wav", "mimeType": "audio/wav", "buffer": good})
    expect(card).to_contain_text("Good:")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Ben")).to_be_visible()
    person = next(iter(server.hub.people.known.values()))
    assert person.speaker.name == "Ben" and len(person.samples) == 1


def test_closing_the_dialog_forgets_what_was_recorded(page: Page, server: HostServer) -> None:
    page.get_by_role("button", name="Enrol somebody").click()
    agree(page, "Ben")
    record(page, "1")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Forget").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    until(page, lambda: not server.hub.enrolments)
    assert server.hub.people.known == {}


def test_rename_withdraw_and_record_again(page: Page, server: HostServer) -> None:
    ana = known(server, "Ana")
    page.get_by_role("button", name="Ana").click()
    page.get_by_role("button", name="Rename").click()
    page.get_by_role("dialog").get_by_role("textbox", name="Name").fill("Ana Maria")
    page.get_by_role("dialog").get_by_role("button", name="Rename").click()
    expect(page.get_by_role("heading", name="Ana Maria")).to_be_visible()
    withdraw = page.get_by_role("listitem").filter(has_text="Own voice").get_by_role("button")
    withdraw.last.click()
    expect(page.get_by_role("dialog")).to_contain_text("recordings are deleted")
    page.get_by_role("dialog").get_by_role("button", name="Withdraw").click()
    expect(page.locator(".bf-clips li")).to_have_count(2)
    assert server.hub.people.get(ana).agreed == {"voiceprint"}
    page.get_by_role("button", name="Record again").click()
    expect(page.get_by_role("dialog").get_by_role("textbox", name="Name")).to_have_value(
        "Ana Maria"
    )
    agree(page)
    page.get_by_label("Or choose a recording").set_input_files(
        {"name": "c.wav", "mimeType": "audio/wav", "buffer": wav(voice(25.0, seed=3), 16_000)}
    )
    expect(page.locator(".bf-take").nth(3)).to_contain_text("Good:")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator(".bf-clips")).to_contain_text("uploaded")
    assert len(server.hub.people.get(ana).samples) == 1, "instead of what was there before"


def test_merge_and_split(page: Page, server: HostServer) -> None:
    ana, other = known(server, "Ana"), known(server, "Anna")
    page.get_by_role("button", name="Anna").click()
    page.get_by_role("button", name="Ana 2 voice").click()
    expect(page.get_by_role("heading", name="Ana", exact=True)).to_be_visible()
    page.get_by_role("button", name="Merge").click()
    page.get_by_role("dialog").get_by_label("The same person as").select_option("Anna")
    page.get_by_role("dialog").get_by_role("button", name="Merge").click()
    expect(page.locator(".bf-clips li")).to_have_count(8)
    assert set(server.hub.people.known) == {ana}

    page.get_by_role("button", name="The ticked ones").click()
    expect(page.get_by_text("First tick the recordings")).to_be_visible()
    for text in ("Anna says sentence 0", "Anna says sentence 1"):
        page.get_by_role("listitem").filter(has_text=text).get_by_role("checkbox").check()
    page.get_by_role("button", name="The ticked ones").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Their name").fill("Anna again")
    expect(dialog).to_contain_text(consent_text("fr").clips)
    dialog.get_by_role("button", name=consent_text("fr").agree).click()
    expect(dialog).to_be_visible()  # not without the tick
    dialog.get_by_role("checkbox").check()
    dialog.get_by_role("button", name=consent_text("fr").agree).click()
    expect(page.get_by_role("heading", name="Anna again")).to_be_visible()
    expect(page.locator(".bf-clips li")).to_have_count(2)
    made = next(id_ for id_ in server.hub.people.known if id_ != ana)
    assert made != other and server.hub.people.get(made).agreed == {"cloning"}
    assert len(server.call(server.hub.storage.clips, ana)) == 2
    consent = server.call(server.hub.storage.consents, made)[0]
    assert consent.form.wording == consent_text("fr").wording


def test_promise_22_hostile_names_and_words_are_inert(page: Page, server: HostServer) -> None:
    known(server, HOSTILE, clips=1)
    page.get_by_role("button", name="<img").first.click()
    expect(page.get_by_role("heading", name="<img")).to_be_visible()
    expect(page.locator(".bf-clips")).to_contain_text(f"{HOSTILE} says")
    for button in ("Rename", "Delete", "Record again"):
        page.get_by_role("button", name=button).click()
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
    assert page.evaluate("() => window.hacked") is None


def test_without_a_session_nobody_gets_anything(server: HostServer, browser: Browser) -> None:
    stranger = browser.new_context()
    for method, path in (
        ("GET", "consent/en"), ("POST", "enrolments"), ("PUT", "enrolments/a/takes/1"),
        ("GET", "enrolments/a/takes/1"), ("POST", "enrolments/a/save"), ("GET", "clips/a"),
        ("DELETE", "enrolments/a"), ("POST", "a/delete"), ("POST", "a/rename"),
        ("POST", "a/merge"), ("POST", "a/split"), ("POST", "a/withdraw"),
    ):  # fmt: skip
        answer = stranger.request.fetch(f"{server.base}/admin/people/{path}", method=method)
        assert answer.status == 401, path
    stranger.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_looks(browser: Browser, server: HostServer, scheme: str) -> None:
    """Pictures for people to look at; and nothing is wider than a phone's screen."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    visitor = Visitor(browser, server, color_scheme=scheme, permissions=["microphone"])
    visitor.context.add_init_script(COUNT_RECORDED)
    page = visitor.sign_in()
    page.get_by_role("tab", name="People").click()
    shoot(page, f"people_nobody_{scheme}")
    for name, clips in (("Pierre Dupont", 3), ("Marek Wiśniewski", 2), ("ليلى", 1)):
        known(server, name, clips)
    page.get_by_role("button", name="Pierre").click()
    expect(page.locator(".bf-clips li")).to_have_count(5)
    check_accessible(page)
    shoot(page, f"people_person_{scheme}")
    page.get_by_role("button", name="Enrol somebody").click()
    settled(page)
    check_accessible(page)
    shoot(page, f"people_consent_{scheme}")
    agree(page, "Dan")
    page.get_by_label("Or choose a recording").set_input_files(
        {"name": "b.wav", "mimeType": "audio/wav", "buffer": wav(voice(5.0), 16_000)}
    )
    expect(page.locator(".bf-bad-take")).to_have_count(1)
    record(page, "1")
    page.get_by_label("Record text 2").click()
    page.wait_for_function("() => window.recorded > 0.5")
    check_accessible(page)
    shoot(page, f"people_record_{scheme}")
    page.set_viewport_size(PHONE)
    page.get_by_role("button", name="Cancel").click()
    shoot(page, f"people_forget_{scheme}", (PHONE,))
    page.get_by_role("button", name="Forget").click()
    visitor.context.close()
    for speaker in list(server.hub.people.known):
        server.call(server.hub.profiles.delete, speaker, "admin")
    assert visitor.outside == [] and visitor.problems == []
