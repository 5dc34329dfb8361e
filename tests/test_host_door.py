"""The host page in a real browser: who waits at the door, what a room is for, its terms."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from tests.host_browser import PHONE, Visitor, close_rooms, join, newest, shoot, until
from tests.host_server import HostServer
from tests.test_host_page import HOSTILE, server, visitor  # noqa: F401 (fixtures)
from tests.web_browser import SHOTS, check_accessible, settled

# ruff: noqa: F811

pytestmark = pytest.mark.e2e


def knock(server: HostServer, name: str, address: str = "a"):
    who = {"name": name, "speaks": "fr", "hears": "en", "microphone": True}
    return server.call(newest(server).admission.enter, address, **who)


def open_room(visitor: Visitor, server: HostServer, name: str, preset: str = "meeting"):
    room = server.call(server.hub.create, name, preset)
    expect(visitor.page.get_by_role("heading", name=name, exact=True)).to_be_visible()
    return room


def open_settings(visitor: Visitor) -> None:
    visitor.page.get_by_text("Settings of this room").click()


def test_the_host_admits_and_refuses_those_who_wait(visitor: Visitor, server: HostServer) -> None:
    room = open_room(visitor, server, "Guarded")
    page = visitor.page
    open_settings(visitor)
    page.get_by_label("People wait until you admit them").check()
    until(page, lambda: room.settings.waiting_list)
    expect(page.get_by_text("you admit those who join")).to_be_visible()
    places = [knock(server, name, name) for name in (HOSTILE, "Pierre", "Zoe", "Ann")]
    door = page.locator(".bf-door")
    expect(door.get_by_role("listitem")).to_have_count(4)
    expect(door.locator(".bf-name").first).to_have_text(HOSTILE)
    expect(door).to_contain_text("speaks French · hears English")
    assert page.evaluate("() => window.hacked") is None
    door.get_by_role("button", name="Refuse").first.click()
    expect(door.get_by_role("listitem")).to_have_count(3)
    assert places[0].state == "refused"
    door.get_by_role("button", name="Admit Pierre").click()
    expect(page.get_by_role("button", name="Remove Pierre")).to_be_visible()
    door.get_by_role("button", name="Admit all").click()
    expect(door).to_have_count(0)
    assert [m.name for m in room.members.values()] == ["Pierre", "Zoe", "Ann"]
    late = knock(server, "Late")
    expect(door.get_by_role("listitem")).to_have_count(1)
    page.get_by_label("People wait until you admit them").uncheck()
    until(page, lambda: late.state == "admitted")
    open_settings(visitor)


def test_the_projector_does_not_show_who_waits(visitor: Visitor, server: HostServer) -> None:
    room = open_room(visitor, server, "Wall")
    server.call(room.set, waiting_list=True)
    knock(server, "Pierre")
    wall = visitor.open()
    wall.goto(f"{server.base}/admin/projector/{room.code}")
    expect(wall.get_by_role("heading", name="Wall")).to_be_visible()
    assert "Pierre" not in wall.content() and "1 person" not in wall.content()


def test_who_was_removed_waits_at_the_door(visitor: Visitor, server: HostServer) -> None:
    room = open_room(visitor, server, "Removed")
    page = visitor.page
    dan = knock(server, "Dan")
    page.get_by_role("button", name="Remove Dan").click()
    expect(page.get_by_role("dialog")).to_contain_text("they wait until you admit them")
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    until(page, lambda: dan.id not in room.members)
    knock(server, "Dan")
    expect(page.locator(".bf-door").get_by_role("listitem")).to_have_count(1)
    assert not room.members


def test_presets_say_what_they_change_and_do_it(visitor: Visitor, server: HostServer) -> None:
    page = visitor.page
    form = page.locator("#bf-new-preset")
    expect(form).to_contain_text("Everybody talks")
    form.get_by_label("Lecture").check()
    expect(form).to_contain_text("only those whom you make presenters")
    page.get_by_label("New room").fill("Talk")
    page.get_by_role("button", name="Create room").click()
    expect(page.get_by_role("heading", name="Talk", exact=True)).to_be_visible()
    room = newest(server)
    assert room.settings.listen_only
    eva = join(server, "Eva")
    expect(page.get_by_text("Nobody is heard yet")).to_be_visible()
    page.get_by_role("button", name="Make presenter: Eva").click()
    expect(page.locator(".bf-presenter")).to_have_text("presenter")
    assert room.presenters == [eva.id]
    page.get_by_role("button", name="Stop presenting: Eva").click()
    until(page, lambda: not room.presenters)
    open_settings(visitor)
    chosen = page.locator("#bf-preset")
    expect(chosen.get_by_label("Lecture")).to_be_checked()
    chosen.get_by_label("Interview").check()
    expect(chosen).to_contain_text("Two people at one phone")
    until(page, lambda: room.settings.detect_language and not room.settings.listen_only)
    join(server, "Table", "auto", hears="fr", also="en")
    expect(page.get_by_text("two people: French and English")).to_be_visible()
    expect(page.get_by_role("button", name="Make presenter: Eva")).to_have_count(0)
    open_settings(visitor)
    form.get_by_label("Stand-up").check()


def test_whose_voices_speak_is_the_hosts_choice_at_any_time(
    visitor: Visitor, server: HostServer
) -> None:
    room = open_room(visitor, server, "Voices")
    page = visitor.page
    open_settings(visitor)
    voices = page.locator("#bf-voices")
    expect(voices.get_by_label("Own voice when it is ready")).to_be_checked()
    expect(voices).to_contain_text("only for people who agreed to it")
    voices.get_by_label("change to the own one").check()
    until(page, lambda: room.settings.voices == "replace")
    expect(voices).to_contain_text("only what was not heard yet is replaced")
    voices.get_by_label("Neutral voices only").check()
    until(page, lambda: room.settings.voices == "neutral")
    expect(voices).to_contain_text("Nobody is imitated")
    server.call(room.set, voices="sequential")  # on another screen
    expect(voices.get_by_label("Own voice when it is ready")).to_be_checked()
    open_settings(visitor)  # closes them again


def test_names_and_terms_hold_at_once_and_mistakes_are_explained(
    visitor: Visitor, server: HostServer
) -> None:
    room = open_room(visitor, server, "Terms")
    page = visitor.page
    open_settings(visitor)
    box = page.get_by_label("Names and terms, one per line")
    box.fill("Zyrianova\nBabbleFish\n")
    until(page, lambda: room.settings.glossary == "Zyrianova\nBabbleFish\n")
    assert set(server.call(room.conversation.glossary, "")) == {"Zyrianova", "BabbleFish"}
    box.fill("Zyrianova\n" + "x" * 60)
    expect(page.get_by_text("is too long: a name or term has at most 40")).to_be_visible()
    page.wait_for_timeout(1_300)
    expect(box).to_have_value("Zyrianova\n" + "x" * 60)
    assert room.settings.glossary == "Zyrianova\nBabbleFish\n"
    box.fill(HOSTILE)
    until(page, lambda: room.settings.glossary == HOSTILE)
    other = server.call(server.hub.create, "Other")
    page.get_by_role("button", name="Other").click()
    expect(box).to_have_value("")
    assert other.settings.glossary == "" and page.evaluate("() => window.hacked") is None
    open_settings(visitor)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_looks(browser: Browser, server: HostServer, scheme: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    close_rooms(server)
    visitor = Visitor(browser, server, color_scheme=scheme)
    page = visitor.sign_in()
    room = server.call(server.hub.create, "Guest lecture", "lecture")
    server.call(room.set, glossary="Zyrianova\nBabbleFish\nISO 27001")
    eva = join(server, "Eva Lindqvist", "en")
    join(server, "Dan", "en", microphone=False)
    server.call(room.present, eva.id, True)
    server.call(room.set, waiting_list=True)
    for name in ("Pierre Dupont", "Marek Wiśniewski", "ليلى"):
        knock(server, name, name)
    expect(page.locator(".bf-door").get_by_role("listitem")).to_have_count(3)
    open_settings(visitor)
    settled(page)
    check_accessible(page)
    shoot(page, f"host_door_{scheme}", (PHONE,))
    page.set_viewport_size({"width": 1280, "height": 1500})
    settled(page)
    page.screenshot(path=SHOTS / f"host_door_{scheme}_desktop.png")
    visitor.context.close()
    close_rooms(server)
