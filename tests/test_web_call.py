"""The phone page in a real browser over real WebRTC: talking, settings, lost connections."""
# ruff: noqa: F401, F811  (fixtures are imported by name)

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Route, expect

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
_KEEP_FAILURES = """{
  const Real = RTCPeerConnection;
  window.failures = 0;
  window.RTCPeerConnection = class extends Real {
    constructor(...given) {
      super(...given);
      this.addEventListener("connectionstatechange", () => {
        if (this.connectionState === "failed") window.failures += 1;
      });
    }
  };
}"""
_PRESS_RETRY = """(() => {
  const button = document.getElementById("banner-button");
  if (button.checkVisibility()) button.click();
  else return document.getElementById("room").dataset.link !== "waiting";
  return true;
})()"""


# --- talking ---


def test_mute_and_hold_to_talk(phone: OpenPhone) -> None:
    dan = phone().join()

    def microphone() -> list[bool]:
        return [event.on for event in dan.member.events if isinstance(event, Microphone)]

    def heard(*expected: bool) -> None:
        dan.eventually(lambda: len(microphone()) >= len(expected))
        assert microphone() == list(expected)

    talk = dan.page.locator("#talk")
    heard(True)
    dan.page.click("#mute")
    expect(dan.page.locator("#mute")).to_have_attribute("aria-pressed", "true")
    heard(True, False)
    dan.page.focus("#captions")
    dan.page.keyboard.down("Space")
    expect(talk).to_contain_text("Talking")
    heard(True, False, True)
    dan.page.keyboard.up("Space")
    heard(True, False, True, False)
    dan.page.hover("#talk")
    dan.page.mouse.down()
    heard(True, False, True, False, True)
    dan.page.mouse.up()
    heard(True, False, True, False, True, False)
    # A control that has the focus keeps its space bar.
    dan.page.focus("#open-settings")
    dan.page.keyboard.press("Space")
    expect(dan.page.locator("#settings")).to_be_visible()
    dan.page.wait_for_timeout(450)
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
    dan.until("Math.abs(document.getElementById('sound').volume - 0.3) < 1e-6")
    levels = lambda: [e.level for e in dan.member.events if isinstance(e, OriginalLevel)]  # noqa: E731
    dan.eventually(lambda: levels()[-1:] == [0.45])
    dan.eventually(lambda: dan.member.hears == "fr")
    dan.until("document.documentElement.classList.contains('size-4')")
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
    dan.until("window.awake === 'screen'")
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
    # The page may try again by itself at any moment, and then has no button to press.
    dan.until(_PRESS_RETRY)
    dan.connected()
    dan.until_texts(".caption .text", ["Before.", "Missed."])
    assert list(dan.room.members.values()) == [member]
    first, *others = [e.after for e in member.events if isinstance(e, Resume)]
    assert first == 0 and set(others) == {1} and member.links == 1 + len(others)
    expect(dan.page.locator("#banner")).to_be_hidden()
    assert dan.loudness() > 0.05


def test_an_attempt_that_stalls_is_soon_followed_by_another(phone: OpenPhone) -> None:
    """The page does not wait until the browser calls the connection failed: that takes long."""
    dan = phone()
    dan.page.add_init_script(_KEEP_FAILURES)
    answers: list[str] = []

    def spoil_the_first(route: Route) -> None:
        answer = route.fetch()
        sdp = answer.json()["sdp"]
        answers.append(sdp)
        if len(answers) == 1:  # packets that never arrive look just like this
            sdp = re.sub(r"(?<=a=ice-pwd:)\w{3}", "no+", sdp)
        route.fulfill(response=answer, json={**answer.json(), "sdp": sdp})

    dan.page.route("**/offer", spoil_the_first)
    dan.join()
    assert len(answers) >= 2 and dan.page.evaluate("window.failures") == 0


def test_a_silent_connection_is_noticed(phone: OpenPhone) -> None:
    dan = phone().join()
    dan.room.deaf = True
    dan.page.wait_for_selector('#room:not([data-link="connected"])')
    dan.room.deaf = False
    dan.connected()
    assert dan.member.links >= 2


def test_an_expired_seat_is_taken_again(phone: OpenPhone, web: WebServer) -> None:
    dan = phone().join()
    dan.say("a", "Before.")
    member = dan.member
    web.do(lambda: dan.room.members.clear())
    web.drop(member)
    dan.eventually(lambda: any(m is not member and m.link for m in dan.room.members.values()))
    dan.connected()
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
    assert len(dan.room.members) == 1, "the same person"
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
    dan.until(
        f"async (wanted) => (await ({_OUTBOUND})())?.targetBitrate === wanted", MICROPHONE_BIT_RATE
    )
