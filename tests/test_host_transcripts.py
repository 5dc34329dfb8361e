"""Transcripts on the host page, in a real browser and over HTTP: kept, read, saved, deleted."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, expect

from babblefish.storage.records import Retention, SpokenLine, TranslatedLine
from tests.host_browser import Visitor, close_rooms, shoot, until
from tests.host_server import HostServer, host_server
from tests.patience import PATIENCE
from tests.web_browser import SHOTS, check_accessible

pytestmark = pytest.mark.e2e

EVIL = '<img src=x onerror="window.hacked=1"></p><script>window.hacked=1</script>'


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[HostServer]:
    with host_server(keeps=True, data_dir=tmp_path_factory.mktemp("data")) as running:
        yield running


@pytest.fixture(scope="module")
def host(browser: Browser, server: HostServer) -> Iterator[Visitor]:
    SHOTS.mkdir(parents=True, exist_ok=True)
    one = Visitor(browser, server)
    one.sign_in()
    yield one
    one.context.close()
    assert one.outside == [] and one.problems == []


@pytest.fixture
def room(server: HostServer):
    """A room in which three things were said, one of them hostile."""
    room = server.call(server.hub.create, "Board meeting")
    record, code = server.hub.storage.record, room.code
    texts = ("Bonjour à tous.", "On commence ?", EVIL)
    for number, text in enumerate(texts, start=1):
        name = EVIL if text is EVIL else "Pierre"
        record(SpokenLine(code, f"u{number}", number, name, "fr", text, 1.8e9 + number, 1.5))
    record(TranslatedLine(code, "u1", "en", "Hello everybody.", "basic", "closest"))
    record(TranslatedLine(code, "u1", "ar", "مرحبا بالجميع"))
    yield room
    close_rooms(server)


def lines(server: HostServer, room) -> int:
    return len(server.call(server.hub.storage.transcript, room.code))


def unfold(page, room) -> None:
    """Open the transcript's part of the room's panel, unless it is open."""
    button = page.locator(f'[data-do="forget"][data-room="{room.code}"]')
    expect(button).to_have_count(1)
    head = page.locator("button.label-wrap", has_text="Transcript")
    if "open" not in head.get_attribute("class").split():
        head.click()


def test_the_host_decides_how_long_it_is_kept(host: Visitor, server: HostServer, room) -> None:
    page = host.page
    unfold(page, room)
    keep = page.get_by_label("What is said here is kept")
    expect(keep).to_have_value("Until the room closes")
    keep.click()
    page.get_by_role("option", name="30 days").click()
    until(page, lambda: room.kept.archive.retention == Retention("days", 30))
    server.call(server.hub.keep_transcript, room.code, Retention("days", 12))
    expect(keep).to_have_value("12 days")
    shoot(page, "host_transcript")
    check_accessible(page)
    keep.click()
    page.get_by_role("option", name="Not kept").click()
    expect(page.get_by_text("Nothing that is said here is kept.")).to_be_visible()
    until(page, lambda: lines(server, room) == 0)


def test_reading_searching_and_downloading(host: Visitor, server: HostServer, room) -> None:
    page = host.page
    unfold(page, room)
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Read and download").first.click()
    reader = opened.value
    expect(reader.locator(".lines > li")).to_have_count(3)
    first = reader.locator(".lines > li").first
    expect(first).to_contain_text("Pierre")
    expect(first).to_contain_text("synthetic voice")
    expect(first).to_contain_text("basic translation")
    expect(first.locator('[dir="rtl"]')).to_have_text("مرحبا بالجميع")
    expect(reader.locator(".lines > li").last).to_contain_text(EVIL)
    assert reader.evaluate("() => window.hacked") is None
    shoot(reader, "host_transcript_page")
    check_accessible(reader)
    reader.get_by_label("Search words and names").fill("COMMENCE")
    reader.keyboard.press("Enter")
    expect(reader.locator(".lines > li")).to_have_count(1)
    reader.get_by_label("Download").select_option("original")
    with reader.expect_download() as download:
        reader.get_by_role("button", name="VTT").click()
    text = download.value.path().read_text()
    assert "Pierre: On commence ?" in text and "Bonjour" not in text
    reader.close()
    acts = [entry.act for entry in server.call(server.hub.storage.audit_log)]
    assert {"transcript_read", "transcript_downloaded"} <= set(acts)


def test_deleted_now_and_after_the_room_was_closed(host: Visitor, server: HostServer, room) -> None:
    page = host.page
    unfold(page, room)
    page.get_by_role("button", name="Delete transcript").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert lines(server, room) == 3
    page.get_by_role("button", name="Delete transcript").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete transcript").click()
    expect(page.get_by_text("The transcript is deleted.")).to_be_visible()
    assert lines(server, room) == 0

    server.call(server.hub.keep_transcript, room.code, Retention("days", 7))
    server.hub.storage.record(SpokenLine(room.code, "u9", 9, "Dan", "en", "Later.", 1.9e9))
    server.call(server.hub.close_room, room.code)
    expect(page.get_by_role("heading", name="Kept transcripts")).to_be_visible()
    shoot(page, "host_kept_transcripts")
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Read and download").first.click()
    expect(opened.value.get_by_text("Later.")).to_be_visible()
    opened.value.close()
    page.get_by_role("button", name="Delete transcript of Board meeting").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="Kept transcripts")).to_have_count(0)
    assert server.call(server.hub.storage.room, room.code) is None


def test_nobody_but_the_host_reads_them(host: Visitor, server: HostServer, room) -> None:
    cookies = {c["name"]: c["value"] for c in host.context.cookies()}
    with httpx.Client(base_url=server.base, timeout=PATIENCE) as stranger:
        with httpx.Client(base_url=server.base, cookies=cookies, timeout=PATIENCE) as admin:
            for path in ("", "/file"):
                url = f"/admin/transcripts/{room.code}{path}"
                assert stranger.get(url).status_code == 401
                answer = admin.get(url)
                assert answer.status_code == 200 and "Bonjour" in answer.text
                assert answer.headers["cache-control"] == "no-store"
                assert admin.get(f"/admin/transcripts/unknown{path}").status_code == 404
            for kind in ("txt", "srt", "vtt", "json"):
                url = f"/admin/transcripts/{room.code}/file?format={kind}&language=en"
                assert "Hello everybody." in admin.get(url).text
            assert admin.get(f"/admin/transcripts/{room.code}/file?format=exe").status_code == 422
            assert admin.get(f"/admin/transcripts/{room.code}?after=99").text.count("<li>") == 0
