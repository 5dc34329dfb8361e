"""The phone page in a real browser over real WebRTC: talking, settings, lost connections."""
# ruff: noqa: F401, F811  (fixtures are imported by name)

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Route

from babblefish.protocol import (
    Lag,
    Microphone,
    OriginalLevel,
    Person,
    Resume,
    Speaking,
)
from babblefish.ui.sdp import MICROPHONE_BIT_RATE
from tests.web_browser import (
    OpenPhone,
    chromium,
    phone,
    playwright,
    web,
)
from tests.web_server import WebServer

pytestmark = pytest.mark.e2e

_KEEP_CONNECTION = """
const Real = RTCPeerConnection;
window.RTCPeerConnection = function (...given) { return (window.connection = new Real(...given)); };
"""
_OUTBOUND = """async () => [...(await window.connection.getStats()).values()]
    .find((report) => report.type === "outbound-rtp" && report.kind === "audio")"""


# --- talking ---


def test_mute_and_hold_to_talk(phone: OpenPhone) -> None:
    dan = phone().join()

    def microphone() -> list[bool]:
        dan.page.wait_for_timeout(450)
        return [event.on for event in dan.member.events if isinstance(event, Microphone)]

    assert microphone() == [True]
    dan.page.click("#mute")
    assert dan.page.get_attribute("#mute", "aria-pressed") == "true"
    assert microphone() == [True, False]
    dan.page.focus("#captions")
    dan.page.keyboard.down("Space")
    assert "Talking" in dan.page.inner_text("#talk")
    dan.page.keyboard.up("Space")
    assert microphone() == [True, False, True, False]
    dan.page.hover("#talk")
    dan.page.mouse.down()
    assert microphone()[-1] is True
    dan.page.mouse.up()
    assert microphone()[-1] is False
    # A control that has the focus keeps its space bar.
    dan.page.focus("#open-settings")
    dan.page.keyboard.press("Space")
    assert dan.page.is_visible("#settings")
    assert len(microphone()) == 6


def test_levels_languages_and_lag(phone: OpenPhone) -> None:
    dan = phone().join()
    dan.send(Lag(4.2))
    dan.page.wait_for_selector("#lag >> text=4 s behind")
    dan.send(Lag(0.0))
    dan.page.wait_for_selector("#lag", state="hidden")
    dan.page.click("#open-settings")
    assert dan.page.input_value("#original-level") == "20"
    dan.page.fill("#original-level", "45")
    dan.page.fill("#volume", "30")
    dan.page.fill("#text-size", "4")
    dan.page.select_option("#room-hears", "fr")
    dan.page.wait_for_timeout(400)
    assert dan.page.evaluate("document.getElementById('sound').volume") == pytest.approx(0.3)
    assert [e.level for e in dan.member.events if isinstance(e, OriginalLevel)][-1] == 0.45
    assert dan.member.hears == "fr"
    assert dan.page.evaluate("document.documentElement.classList.contains('size-4')")
    dan.send(Speaking(dan.member.id, True))
    dan.page.wait_for_selector(".person.speaking")


def test_the_screen_stays_on_and_the_speaker_in_sight(phone: OpenPhone, web: WebServer) -> None:
    room = web.room()
    room.extras = [Person(f"x{i}", f"Person {i}", "en", "en", i, True, True) for i in range(12)]
    dan = phone(room)
    dan.page.add_init_script(
        "const ask = navigator.wakeLock.request.bind(navigator.wakeLock);"
        "navigator.wakeLock.request = (kind) => { window.awake = kind; return ask(kind); };"
    )
    dan.join()
    assert dan.page.evaluate("window.awake") == "screen"
    dan.until("document.querySelectorAll('.person').length === 13")
    dan.send(Speaking("x11", True))
    dan.until(
        "(r => r.left >= 0 && r.right <= innerWidth)"
        "(document.querySelector('.person.speaking').getBoundingClientRect())"
    )


# --- connection ---


def test_a_dead_connection_resumes_as_the_same_person(phone: OpenPhone, web: WebServer) -> None:
    dan = phone().join()
    member = dan.member
    dan.say("a", "Before.")
    dan.say("b", "Never fin", final=False)
    dan.until_texts(".caption .text", ["Before.", "Never fin"])
    dan.page.route("**/offer", lambda route: route.abort())
    web.drop(member)
    dan.page.wait_for_selector("#banner:not([hidden]) >> text=Connection lost")
    assert dan.texts(".caption .text")[0] == "Before."
    dan.say("c", "Missed.")
    dan.page.wait_for_selector("#banner-button:not([hidden])")
    dan.until("document.getElementById('banner-text').textContent.includes('Trying again in')")
    dan.page.unroute("**/offer")
    dan.page.click("#banner-button")
    dan.connected()
    dan.until_texts(".caption .text", ["Before.", "Missed."])
    assert list(dan.room.members.values()) == [member]
    assert member.links == 2
    assert [e.after for e in member.events if isinstance(e, Resume)] == [0, 1]
    assert dan.page.is_hidden("#banner")
    assert dan.loudness() > 0.05


def test_an_attempt_that_stalls_is_soon_followed_by_another(phone: OpenPhone) -> None:
    dan = phone()
    answers: list[float] = []

    def spoil_the_first(route: Route) -> None:
        answer = route.fetch()
        sdp = answer.json()["sdp"]
        answers.append(time.monotonic())
        if len(answers) == 1:  # packets that never arrive look just like this
            sdp = re.sub(r"(?<=a=ice-pwd:)\w{3}", "no+", sdp)
        route.fulfill(response=answer, json={**answer.json(), "sdp": sdp})

    dan.page.route("**/offer", spoil_the_first)
    dan.join()
    first, second = answers
    assert second - first < 9


def test_a_silent_connection_is_noticed(phone: OpenPhone) -> None:
    dan = phone().join()
    dan.room.deaf = True
    dan.page.wait_for_selector('#room:not([data-link="connected"])', timeout=12000)
    dan.room.deaf = False
    dan.connected()
    assert dan.member.links == 2


def test_an_expired_seat_is_taken_again(phone: OpenPhone, web: WebServer) -> None:
    dan = phone().join()
    dan.say("a", "Before.")
    member = dan.member
    web.do(lambda: dan.room.members.clear())
    web.drop(member)
    dan.until("document.querySelector('#room').dataset.link !== 'connected'")
    dan.connected()
    assert dan.member is not member
    assert dan.member.name == "Dan"
    dan.until_texts(".caption .text", ["Before."])


def test_a_reload_returns_to_the_seat(phone: OpenPhone) -> None:
    dan = phone().join(listen_only=True)
    member = dan.member
    dan.say("a", "Before.")
    dan.page.reload()
    dan.connected()
    assert list(dan.room.members.values()) == [member]
    dan.until_texts(".caption .text", ["Before."])


def test_a_second_tab_replaces_the_first(phone: OpenPhone) -> None:
    dan = phone().join(listen_only=True)
    first, seat = dan.page, dan.page.evaluate("({...sessionStorage})")
    second = dan.context.new_page()
    second.add_init_script(f"if (!sessionStorage.length) Object.assign(sessionStorage, {seat!r})")
    second.goto(dan.web.link(dan.room))
    dan.state("replaced")
    assert len(dan.room.members) == 1
    # Nobody has touched the second tab: the browser lets it play after a tap only.
    second.click("#tap-to-hear")
    second.wait_for_selector("#tap-to-hear", state="hidden")
    assert dan.loudness(second) > 0.05
    first.get_by_role("button", name="Continue here").click()
    dan.connected()
    second.wait_for_selector('#state[data-state="replaced"]')


def test_the_microphone_is_sent_in_the_quality_that_was_asked_for(phone: OpenPhone) -> None:
    dan = phone()
    dan.page.add_init_script(_KEEP_CONNECTION)
    dan.join()
    dan.page.wait_for_timeout(1000)
    sending = dan.page.evaluate(_OUTBOUND)
    assert sending["targetBitrate"] == MICROPHONE_BIT_RATE
