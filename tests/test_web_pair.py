"""Two people at one phone, on the phone page in a real browser: the form, captions, settings."""
# ruff: noqa: F401, F811  (fixtures are imported by name)

from __future__ import annotations

from dataclasses import replace

import pytest
from playwright.sync_api import expect

from babblefish.protocol import Configure
from tests.web_browser import (
    DESKTOP,
    PHONE,
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
]


@pytest.fixture
def room(web: WebServer) -> ScriptedRoom:
    made = web.room("Interview")
    made.settings = replace(made.settings, detect_language=True, two_on_a_phone=True)
    return made


def said(page: PhonePage, utterance: str, spoken: str, texts: dict[str, str], **more) -> None:
    """As the server tells a shared phone: first what was said, then its translation."""
    for language, text in texts.items():
        other = {} if language == spoken else {
            "translated": True, "synthetic": True, "original_text": texts[spoken],
            "original_language": spoken,
        }  # fmt: skip
        page.say(utterance, text, language=language, **other, **more)


def conversation(page: PhonePage) -> None:
    me = {"member": page.member.id, "color": page.member.color, "name": "Ana"}
    other = me | {"color": page.member.also_color, "name": "Ana · 2"}
    said(page, "u1", "es", {"es": "¿Cuánto tiempo llevas aquí?",
                            "en": "How long have you been here?"}, **me)  # fmt: skip
    said(page, "u2", "en", {"en": "For about three years, and I like it a lot.",
                            "es": "Desde hace tres años, y me gusta mucho."}, **other)  # fmt: skip
    page.say("u3", "¿Y qué haces", final=False, language="es", **me)


@pytest.mark.parametrize("look", LOOKS)
def test_two_people_choose_their_languages_and_read_both(look, phone: OpenPhone, room) -> None:
    size, dark, name = look
    page = phone(room, size=size, dark=dark, locale="es-ES")
    page.form("Ana")
    expect(page.page.locator("#hears-label")).to_have_text("Hablamos")
    assert page.page.input_value("#hears") == "es" and page.page.input_value("#also") == "en"
    assert "de" not in page.page.locator("#also option").evaluate_all(
        "(o) => o.map((e) => e.value)"
    )
    page.shot(f"{name}-pair-join")
    page.check_targets()
    page.check_accessible()
    page.page.click("#join-button")
    page.connected()
    assert (page.member.hears, page.member.also, page.member.speaks) == ("es", "en", None)
    expect(page.page.locator(".person.me .tongues span").first).to_have_text("Español ⇄ English")
    conversation(page)
    page.until_texts(".caption:not(.partial) :is(.text, .second:not([hidden]))", [
        "¿Cuánto tiempo llevas aquí?", "How long have you been here?",
        "Desde hace tres años, y me gusta mucho.",
        "For about three years, and I like it a lot.",
    ])  # fmt: skip
    rows = page.page.locator(".caption")
    assert rows.count() == 3
    assert [rows.nth(n).get_attribute("class").split()[1] for n in range(2)] == [
        f"c{page.member.color}", f"c{page.member.also_color}",
    ]  # fmt: skip
    assert page.page.locator(".caption.mine").count() == 0, "neither is the reader's alone"
    second = page.page.locator(".caption .second").first
    assert (second.get_attribute("lang"), second.get_attribute("dir")) == ("en", "ltr")
    page.check_targets()
    page.check_accessible()
    page.shot(f"{name}-pair-room")


def test_somebody_else_s_words_are_read_in_both_and_come_back_after_a_reload(phone, room) -> None:
    page = phone(room, locale="es-ES").join("Ana")
    both = {
        "name": "Pierre",
        "translated": True,
        "original_text": "Bonjour",
        "original_language": "fr",
    }
    page.say("u1", "Hola", language="es", **both)
    page.say("u1", "Hello", language="en", **both)
    page.say("u1", "Hi", language="en", **both)
    texts = [".caption :is(.text, .second:not([hidden]))", ["Hola", "Hello"]]
    page.until_texts(*texts)
    page.page.locator(".caption .translate").click()
    expect(page.page.locator(".caption .original")).to_have_text("Bonjour")
    page.page.reload()
    page.connected()
    page.until_texts(*texts)
    assert room.members and page.member.also == "en"


def test_the_languages_can_be_changed_and_the_phone_be_one_person_s_again(phone, room) -> None:
    page = phone(room).join("Ana")
    page.page.click("#open-settings")
    expect(page.page.locator("#room-hears-label")).to_have_text("We speak")
    expect(page.page.locator("#room-speaks-field")).to_be_hidden()
    page.page.select_option("#room-also", "fr")
    page.until("document.getElementById('room-also').value === 'fr'")
    page.page.locator("#room-also-hint").scroll_into_view_if_needed()
    page.shot("phone-light-pair-settings")
    page.page.select_option("#room-also", "")
    expect(page.page.locator("#room-hears-label")).to_have_text("I want to hear")
    expect(page.page.locator("#room-speaks-field")).to_be_visible()
    events = page.member.events
    page.eventually(lambda: len([e for e in events if isinstance(e, Configure)]) >= 2)
    changed = [e for e in events if isinstance(e, Configure)]
    assert [(e.hears, e.speaks, e.also) for e in changed] == [
        ("en", "auto", "fr"), ("en", "auto", ""),
    ]  # fmt: skip


def test_alone_at_a_phone_and_in_other_rooms_there_is_one_language(phone, web, room) -> None:
    page = phone(room).form("Dan")
    page.page.select_option("#also", "")
    expect(page.page.locator("#hears-label")).to_have_text("I want to hear")
    page.page.click("#join-button")
    page.connected()
    assert page.member.also is None
    listener = phone(room)
    listener.join("Eva", listen_only=True)
    assert [m.also for m in room.members.values()] == [None, None], "two need a microphone"
    other = phone(web.room("Stand-up")).form("Dan")
    expect(other.page.locator("#also-field")).to_be_hidden()
    other.page.click("#join-button")
    other.connected()
    assert other.member.also is None
