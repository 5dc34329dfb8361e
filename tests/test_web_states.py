"""Every state of the phone page: reachable, recoverable, accessible, and pictured in e2e/shots."""
# ruff: noqa: F401, F811  (fixtures are imported by name)

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from babblefish.protocol import Lag, Person, Speaking, Voicing
from tests.web_browser import (
    DESKTOP,
    INSECURE_HOST,
    PHONE,
    SHOTS,
    OpenPhone,
    PhonePage,
    chromium,
    phone,
    playwright,
    web,
)
from tests.web_server import ScriptedRoom, WebServer

pytestmark = pytest.mark.e2e

LOOKS = [
    pytest.param((PHONE, False, "phone-light"), id="phone-light"),
    pytest.param((PHONE, True, "phone-dark"), id="phone-dark"),
    pytest.param((DESKTOP, False, "desktop-light"), id="desktop-light"),
    pytest.param((DESKTOP, True, "desktop-dark"), id="desktop-dark"),
]
PEOPLE = [
    Person("p1", "Pierre", "fr", "fr", 1, True, True),
    Person("p2", "Marek Nowak-Kowalczyk", "pl", "en", 2, False, True),
    Person("p3", "Sofía", "es", "es", 3, True, True),
    Person("p4", "ليلى", "ar", "ar", 5, True, False),
]


def populate(room: ScriptedRoom) -> ScriptedRoom:
    room.extras = list(PEOPLE)
    return room


def converse(room: ScriptedRoom) -> None:
    """A short meeting that shows every kind of caption."""
    voiced = {"translated": True, "synthetic": True}
    room.say(
        "u1",
        "Good morning everyone. Shall we begin with the schedule?",
        **voiced,
        original_text="Bonjour à tous. On commence par le planning\u202f?",
        original_language="fr",
    )
    room.say(
        "u2",
        "The second milestone moves to March.",
        **voiced,
        original_text="Le deuxième jalon passe en mars.",
        original_language="fr",
    )
    room.say(
        "u3",
        "I can send the numbers this afternoon.",
        name="Sofía",
        member="p3",
        color=3,
        **voiced,
        quality="basic",
        original_language="es",
        original_text="Puedo enviar los números esta tarde.",
    )
    room.say("u4", "Great, thank you!", name="Dan", member=next(iter(room.members)), color=0)
    room.say(
        "u5", "صباح الخير للجميع", name="ليلى", member="p4", color=5, language="ar", direction="rtl"
    )
    room.say(
        "u6",
        "Does everybody have the new plan?",
        name="Marek Nowak-Kowalczyk · 2",
        member="p2",
        color=2,
        **voiced,
        original_text="Czy wszyscy mają nowy plan?",
        original_language="pl",
    )
    for event in (
        Voicing("u3", "skipped"),
        Voicing("u6", "playing"),
        Lag(3.0),
        Speaking("p1", True),
    ):
        room.send(event)
    room.say("u7", "Yes, I have it in front of me and I", final=False)


@pytest.mark.parametrize("look", LOOKS)
class TestPictures:
    """Each look goes through every state; the rest of this file asserts behaviour in one."""

    def test_joining(self, look, phone: OpenPhone, web: WebServer) -> None:
        size, dark, name = look
        dan = phone(size=size, dark=dark, locale="en-GB").form("")
        dan.page.wait_for_selector("#device-field:not([hidden])")
        dan.shot(f"{name}-join")
        dan.check_accessible()
        dan.check_targets()
        dan.page.click("#join-button")
        dan.page.select_option("#hears", "it")
        dan.page.click("#speaks-more summary")
        dan.page.select_option("#speaks", "pl")
        dan.page.check("#listen-only")
        dan.shot(f"{name}-join-notes")
        dan.check_accessible()
        dan.check_targets()
        dan = phone(size=size, dark=dark, mic=False).form()
        dan.page.click("#join-button")
        dan.page.wait_for_selector("#mic-problem:not([hidden])")
        dan.shot(f"{name}-mic-refused")
        dan.check_accessible()
        dan.check_targets()
        dan = phone(size=size, dark=dark).form(host=INSECURE_HOST)
        dan.shot(f"{name}-not-https")

    def test_room(self, look, phone: OpenPhone, web: WebServer) -> None:
        size, dark, name = look
        dan = phone(populate(web.room("Project meeting")), size=size, dark=dark).join()
        page = dan.page
        page.wait_for_selector(".person:nth-child(5)")
        dan.shot(f"{name}-room-empty")
        web.do(lambda: converse(dan.room))
        page.wait_for_selector(".caption.partial")
        page.locator(".caption.translated .text").nth(1).click()
        dan.shot(f"{name}-room")
        dan.check_accessible()
        dan.check_targets()
        page.click("#open-settings")
        dan.settled()
        dan.shot(f"{name}-settings")
        dan.check_accessible()
        dan.check_targets()
        page.fill("#text-size", "3")
        page.check("#show-originals")
        page.keyboard.press("Escape")
        page.click("#mute")
        page.evaluate("document.getElementById('captions').scrollTop = 0")
        page.wait_for_selector("#newest:not([hidden])")
        dan.say("u8", "One more thing.")
        dan.shot(f"{name}-muted-large-scrolled")
        dan.check_accessible()
        page.route("**/offer", lambda route: route.abort())
        web.drop(dan.member)
        page.wait_for_selector("#banner-button:not([hidden])")
        dan.shot(f"{name}-connection-lost")
        dan.check_accessible()
        page.unroute("**/offer")
        dan.connected()
        web.do(lambda: web.hub.close_room(dan.room.code))
        dan.state("closed")
        dan.shot(f"{name}-closed")
        dan.check_accessible()
        page.get_by_role("button", name="Read the captions").click()
        dan.shot(f"{name}-closed-captions")

    def test_waiting_and_refused(self, look, phone: OpenPhone, web: WebServer) -> None:
        size, dark, name = look
        dan = phone(size=size, dark=dark)
        dan.page.route("**/api/**", lambda route: None)
        dan.open()
        dan.shot(f"{name}-loading")
        dan.page.unroute_all()
        for state, act in _refusals(dan):
            act()
            dan.page.reload()
            dan.state(state)
            dan.shot(f"{name}-{state}")
        dan.check_accessible()
        dan.check_targets()

    def test_pages_of_text(self, look, phone: OpenPhone, web: WebServer) -> None:
        size, dark, name = look
        reader = phone(size=size, dark=dark)
        for path, title in (("/", "landing"), ("/trust", "trust")):
            reader.page.goto(f"http://localhost:{web.port}{path}")
            reader.page.wait_for_load_state("networkidle")
            for summary in reader.page.locator("summary").all()[:1]:
                summary.click()
            reader.page.screenshot(path=_shot(f"{name}-{title}"), full_page=True)
            reader.check_accessible()
            reader.check_targets()


def _shot(name: str) -> str:
    SHOTS.mkdir(parents=True, exist_ok=True)
    return str(SHOTS / f"{name}.png")


def _refusals(dan: PhonePage) -> Iterator[tuple[str, object]]:
    """State names, each with what brings it about; everything works again at the end."""
    engine, room = dan.web.engine, dan.room
    yield "starting", lambda: setattr(engine, "ready", False)
    engine.ready = True
    yield "unreachable", lambda: dan.page.route("**/api/**", lambda route: route.abort())
    dan.page.unroute_all()
    yield "locked", lambda: setattr(room, "locked", True)
    room.locked = False
    token = room.token
    yield "expired", lambda: setattr(room, "token", "another")
    room.token = token


def test_states_that_wait_go_on_by_themselves(phone: OpenPhone, web: WebServer) -> None:
    web.engine.ready = False
    dan = phone().open()
    dan.state("starting")
    web.engine.ready = True
    dan.page.wait_for_selector("#join:not([hidden])")
    dan.page.route("**/api/**", lambda route: route.abort())
    dan.page.reload()
    dan.state("unreachable")
    dan.page.unroute_all()
    dan.page.wait_for_selector("#join:not([hidden])")


@pytest.mark.parametrize(("state", "attribute"), [("full", "full"), ("locked", "locked")])
def test_a_refused_seat_can_be_tried_again(phone: OpenPhone, state: str, attribute: str) -> None:
    dan = phone().form()
    setattr(dan.room, attribute, True)
    dan.page.click("#join-button")
    dan.state(state)
    setattr(dan.room, attribute, False)
    dan.page.get_by_role("button", name="Try again").click()
    dan.page.wait_for_selector("#join:not([hidden])")
    dan.page.click("#join-button")
    dan.connected()


def test_removed_and_closed(phone: OpenPhone, web: WebServer) -> None:
    dan = phone().join()
    dan.say("a", "Words.")
    dan.until_texts(".caption .text", ["Words."])
    web.do(lambda: dan.room.remove(dan.member.id))
    dan.state("removed")
    dan.page.get_by_role("button", name="Join again").click()
    dan.page.click("#join-button")
    dan.state("waiting")
    web.do(dan.room.admission.admit_all)
    dan.connected()
    web.do(lambda: web.hub.close_room(dan.room.code))
    dan.state("closed")
    dan.page.get_by_role("button", name="Read the captions").click()
    assert dan.texts(".caption .text") == ["Words."]
    dan.page.reload()
    dan.state("expired")


def test_no_link_no_room(phone: OpenPhone, web: WebServer) -> None:
    dan = phone()
    dan.page.goto(f"http://localhost:{web.port}/r/{dan.room.code}")
    dan.state("expired")


@pytest.mark.parametrize("size", [(320, 568), (844, 390), (768, 1024), (2200, 1200)])
def test_every_size_fits(phone: OpenPhone, web: WebServer, size) -> None:
    name = f"size-{size[0]}x{size[1]}"
    dan = phone(populate(web.room("Quarterly review of everything we planned")), size=size)
    dan.form()
    dan.shot(f"{name}-join")
    dan.check_targets()
    dan.page.click("#join-button")
    dan.connected()
    web.do(lambda: converse(dan.room))
    dan.page.wait_for_selector(".caption.partial")
    dan.shot(f"{name}-room")
    dan.check_targets()
    box = dan.page.locator("#captions").bounding_box()
    assert box is not None
    assert box["height"] > size[1] * 0.4
    dan.page.click("#open-settings")
    dan.check_targets()


def test_twelve_colours_are_readable_and_different(phone: OpenPhone) -> None:
    dan = phone().join(listen_only=True)
    for number in range(12):
        dan.say(f"u{number}", "Hello.", name=f"P{number}", member=f"x{number}", color=number)
        dan.send(Voicing(f"u{number}", "playing"))
    dan.page.wait_for_selector(".caption:nth-child(12)")
    for scheme in ("light", "dark"):
        dan.page.emulate_media(color_scheme=scheme)
        colours = dan.page.evaluate(
            "[...document.querySelectorAll('.who')].map((e) => getComputedStyle(e).color)"
        )
        assert len(set(colours)) == 12
        dan.check_accessible()


def test_every_language_of_the_page_has_every_sentence(phone: OpenPhone) -> None:
    dan = phone().open()
    tables = dan.page.evaluate(
        """async () => {
          const {LANGUAGES} = await import('/web/strings.js');
          const tables = {};
          for (const code of LANGUAGES) {
            tables[code] = (await import(`/web/strings/${code}.js`)).default;
          }
          return tables;
        }"""
    )
    assert {"en", "es", "fr", "de", "pt", "it"} <= set(tables)
    english = tables["en"]
    for code, table in tables.items():
        assert table.keys() == english.keys(), code
        for key, text in table.items():
            wanted = set(re.findall(r"\{\w+\}", english[key]))
            assert set(re.findall(r"\{\w+\}", text)) == wanted, (code, key)


@pytest.mark.parametrize("locale", ["fr-FR", "de-DE", "es-ES", "pt-PT", "it-IT", "pl-PL"])
def test_the_longest_words_fit_a_small_phone(phone: OpenPhone, locale: str) -> None:
    dan = phone(size=(320, 568), locale=locale).form()
    dan.shot(f"locale-{locale}-join")
    dan.check_targets()
    if locale not in ("fr-FR", "de-DE"):  # the longest
        return
    dan.page.click("#join-button")
    dan.connected()
    dan.page.click("#mute")
    dan.shot(f"locale-{locale}-room")
    dan.check_targets()
