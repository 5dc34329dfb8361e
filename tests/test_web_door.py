"""The phone page at the door of a room, and in a room where only presenters are heard."""
# ruff: noqa: F401, F811  (fixtures are imported by name)

from __future__ import annotations

from dataclasses import replace

import pytest
from playwright.sync_api import expect

from tests.test_web_states import LOOKS
from tests.web_browser import OpenPhone, PhonePage, chromium, phone, playwright, web
from tests.web_server import ScriptedRoom, WebServer

pytestmark = pytest.mark.e2e


def guarded(web: WebServer) -> ScriptedRoom:
    room = web.room("Project meeting")
    room.settings = replace(room.settings, waiting_list=True)
    return room


def knock(dan: PhonePage) -> PhonePage:
    dan.form()
    dan.page.click("#join-button")
    dan.state("waiting")
    return dan


def decide(web: WebServer, room: ScriptedRoom, act: str) -> None:
    web.do(lambda: getattr(room.admission, act)(room.admission.waiting[0].id))


@pytest.mark.parametrize("look", LOOKS)
def test_pictures(look, phone: OpenPhone, web: WebServer) -> None:
    size, dark, name = look
    dan = knock(phone(guarded(web), size=size, dark=dark))
    dan.shot(f"{name}-waiting")
    dan.check_accessible()
    dan.check_targets()
    decide(web, dan.room, "refuse")
    dan.state("refused")
    dan.shot(f"{name}-refused")
    dan.check_accessible()
    dan.check_targets()


def test_admitted_with_the_microphone_on(phone: OpenPhone, web: WebServer) -> None:
    dan = knock(phone(guarded(web)))
    assert "Dan" not in [m.name for m in dan.room.members.values()]
    decide(web, dan.room, "admit")
    dan.connected()
    assert dan.member.name == "Dan"
    dan.until_heard()


def test_the_place_is_kept_over_a_reload_and_a_lost_connection(
    phone: OpenPhone, web: WebServer
) -> None:
    dan = knock(phone(guarded(web)))
    (place,) = dan.room.admission.waiting
    dan.page.reload()
    dan.state("waiting")
    dan.context.set_offline(True)
    dan.page.wait_for_timeout(500)
    dan.context.set_offline(False)
    assert dan.room.admission.waiting == [place], "the same place, not another one"
    decide(web, dan.room, "admit")
    dan.connected()
    dan.page.reload()
    dan.connected()
    assert len(dan.room.members) == 1


def test_refused_may_ask_again_and_the_form_remembers(phone: OpenPhone, web: WebServer) -> None:
    dan = knock(phone(guarded(web)))
    decide(web, dan.room, "refuse")
    dan.state("refused")
    expect(dan.page.get_by_text("The host did not let you in")).to_be_visible()
    assert not dan.page.evaluate("() => document.querySelector('#room:not([hidden])')")
    dan.page.get_by_role("button", name="Ask again").click()
    dan.page.wait_for_selector("#join:not([hidden])")
    assert dan.page.input_value("#name") == "Dan"


def test_stopping_to_wait_frees_the_place(phone: OpenPhone, web: WebServer) -> None:
    dan = knock(phone(guarded(web)))
    dan.page.get_by_role("button", name="Stop waiting").click()
    dan.page.wait_for_selector("#join:not([hidden])")
    gone = "the host still sees somebody who has gone"
    dan.eventually(lambda: not dan.room.admission.waiting, gone)


def test_a_room_that_closes_and_a_place_that_is_lost(phone: OpenPhone, web: WebServer) -> None:
    dan = knock(phone(guarded(web)))
    dan.web.do(lambda: dan.room.admission._places.clear())  # as after a restart
    dan.page.reload()
    dan.state("waiting")
    dan.eventually(lambda: dan.room.admission.waiting, "a new place by itself")
    assert [p.name for p in dan.room.admission.waiting] == ["Dan"]
    web.do(lambda: dan.room.admission.close())
    dan.state("closed")
    expect(dan.page.locator("#state-text")).to_have_text("")


def test_a_removed_phone_says_so_and_waits_when_it_comes_back(
    phone: OpenPhone, web: WebServer
) -> None:
    dan = phone().join()
    web.do(lambda: dan.room.remove(dan.member.id))
    dan.state("removed")
    dan.page.get_by_role("button", name="Join again").click()
    dan.page.wait_for_selector("#join:not([hidden])")
    dan.page.click("#join-button")
    dan.state("waiting")
    assert not dan.room.members


@pytest.mark.parametrize("language", ["de", "es", "fr", "it", "pl", "pt"])
def test_waiting_in_the_readers_language(phone: OpenPhone, web: WebServer, language: str) -> None:
    dan = knock(phone(guarded(web), locale=language))
    english = {"The host will let you in", "Stop waiting"}
    shown = dan.texts("#state-title, #state-text, #state-actions button")
    assert len(shown) == 3 and all(shown) and not english & set(shown)


def listening(web: WebServer) -> ScriptedRoom:
    room = web.room("Lecture")
    room.settings = replace(room.settings, listen_only=True)
    join = room.join

    def as_listener(**who):
        member = join(**who)
        member.may_speak = False
        return member

    room.join = as_listener
    return room


def test_in_a_lecture_nobody_needs_a_microphone(phone: OpenPhone, web: WebServer) -> None:
    dan = phone(listening(web)).form()
    expect(dan.page.locator("#listen-only")).to_be_checked()
    expect(dan.page.locator("#listen-hint")).to_contain_text("Only presenters are heard")
    dan.shot("phone-light-lecture-join")
    dan.page.click("#join-button")
    dan.connected()
    expect(dan.page.locator("#talk")).to_have_text("Listening only")
    dan.page.click("#mute")
    expect(dan.page.get_by_text("The host can make you one")).to_be_visible()
    dan.shot("phone-light-lecture-listener")


def present(web: WebServer, dan: PhonePage, may: bool) -> None:
    def change() -> None:
        dan.member.may_speak = may
        dan.room.roster_changed()

    web.do(change)


def test_a_listener_becomes_a_presenter_and_listens_again(phone: OpenPhone, web: WebServer) -> None:
    room = listening(web)
    dan = phone(room).form()
    dan.page.uncheck("#listen-only")
    dan.page.click("#join-button")
    dan.connected()
    expect(dan.page.locator("#talk")).to_have_text("Listening only")
    present(web, dan, True)
    dan.until("window.toasts.some(({ text }) => text.includes('You are a presenter now'))")
    expect(dan.page.locator("#talk")).to_have_text("Hold to talk")
    dan.shot("phone-light-lecture-presenter")
    dan.page.click("#mute")
    dan.until_heard()
    present(web, dan, False)
    expect(dan.page.locator("#talk")).to_have_text("Listening only")
    assert dan.page.evaluate("() => document.querySelector('#room .bar.no-mic') !== null")


def test_in_an_interview_nobody_is_asked_what_they_speak(phone: OpenPhone, web: WebServer) -> None:
    room = web.room("Interview")
    room.settings = replace(room.settings, detect_language=True)
    dan = phone(room).form()
    expect(dan.page.locator("#speaks-more")).to_be_hidden()
    expect(dan.page.locator("#speak-notes")).to_contain_text("language of each sentence")
    dan.page.click("#join-button")
    dan.connected()
    assert dan.member.speaks is None
