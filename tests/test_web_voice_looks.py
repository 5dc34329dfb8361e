""" "My voice" on the phone page: how it looks, with the keyboard alone, and in large letters."""
# ruff: noqa: F401, F811  (fixtures are imported by name)

from __future__ import annotations

import io
import re
import wave
from collections.abc import Callable

import numpy as np
import pytest

from babblefish.engine.consent_texts import consent_text
from babblefish.engine.enrolment_prompts import prompts
from babblefish.protocol import Microphone
from tests.voice_page import VoicePage, agreed, joined
from tests.voice_script import VoiceScript
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

pytestmark = pytest.mark.e2e


def test_with_the_keyboard_alone_from_the_settings(phone: OpenPhone) -> None:
    voice = joined(phone)
    page = voice.page
    page.focus("#open-settings")
    page.keyboard.press("Enter")
    page.focus("#open-voice")
    page.keyboard.press("Enter")
    voice.heading("Your voice is not known here")
    assert voice.focused() == "Your voice is not known here", "screen readers start here"

    def press_next(name: str) -> None:
        for _ in range(12):
            page.keyboard.press("Tab")
            if voice.focused().startswith(name):
                return page.keyboard.press("Enter")
        raise AssertionError(f"{name} cannot be reached")

    press_next("Introduce my voice")
    voice.heading("Your voice")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert page.is_checked("#voice-voiceprint")
    press_next(consent_text("en").agree)
    voice.heading("How shall we get to know it?")
    press_next("Read three sentences")
    voice.heading("Sentence 1 of 3")
    press_next("Record")
    voice.until_recorded(0.8)
    page.keyboard.press("Enter")
    voice.says("That sounds good.")
    assert voice.focused() == "Next"
    page.keyboard.press("Escape")
    page.wait_for_selector("#voice", state="hidden")
    assert page.evaluate("document.activeElement.id") == "open-settings"


LOOKS = [
    pytest.param(((360, 740), False, "phone-light"), id="phone-light"),
    pytest.param((PHONE, True, "phone-dark"), id="phone-dark"),
    pytest.param((DESKTOP, False, "desktop-light"), id="desktop-light"),
    pytest.param((DESKTOP, True, "desktop-dark"), id="desktop-dark"),
]


@pytest.mark.parametrize("look", LOOKS)
def test_pictures(look, phone: OpenPhone) -> None:
    size, dark, name = look
    voice = joined(phone, size=size, dark=dark)
    dan = voice.phone

    def look_at(what: str) -> None:
        dan.shot(f"{name}-voice-{what}")
        dan.check_accessible()
        dan.check_targets()

    voice.open()
    look_at("unknown")
    voice.press("Introduce my voice").heading("Your voice")
    look_at("consent")
    voice.page.check("#voice-voiceprint")
    voice.page.check("#voice-cloning")
    voice.press(consent_text("en").agree).heading("How shall we get to know it?")
    look_at("ways")
    voice.body.get_by_role("button", name="Read three sentences").click()
    voice.heading("Sentence 1 of 3")
    look_at("sentence")
    voice.press("Record")
    voice.until_recorded(0.1)
    look_at("recording")
    voice.script.least_seconds = 60
    voice.press("Stop").says("Too short.")
    look_at("too-short")
    voice.script.least_seconds = 0
    for number in range(3):
        voice.record(0.3, "Record" if number else "Again").says("That sounds good.")
        voice.press("Next")
    voice.heading("Does that sound like you?")
    look_at("review")
    voice.press("Save").heading("Your voice is known here")
    look_at("known")
    voice.page.check("input[name=voice-kind][value=chosen]")
    voice.page.wait_for_selector("input[value=fr_3]")
    voice.page.locator("#voice-list").scroll_into_view_if_needed()
    look_at("choosing")
    voice.press("Delete everything")
    look_at("delete")
    voice.page.keyboard.press("Escape")
    dan.shot(f"{name}-voice-room")


@pytest.mark.parametrize("locale", ["de-DE", "fr-FR", "pl-PL"])
def test_twice_as_large_a_text_fits_a_small_phone(phone: OpenPhone, locale: str) -> None:
    voice = joined(phone, size=(360, 640), locale=locale)
    dan = voice.phone
    voice.page.evaluate("document.documentElement.style.setProperty('font-size', '200%')")

    def agree() -> None:
        voice.page.check("#voice-voiceprint")
        voice.body.locator("button.primary").first.click()

    voice.page.evaluate("document.getElementById('open-voice').click()")
    voice.page.wait_for_selector("#voice .voice-heading")
    dan.check_targets()
    dan.shot(f"voice-200-{locale}")
    steps: list[Callable[[], object]] = [
        lambda: voice.body.locator("button.primary").first.click(),
        agree,
        lambda: voice.body.locator("button.recommended").click(),
    ]
    for number, step in enumerate(steps):
        before = voice.page.inner_text("#voice .voice-heading")
        step()
        dan.until(
            "(t) => document.querySelector('#voice .voice-heading')?.textContent !== t", before
        )
        inside = "(d => d.scrollWidth - d.clientWidth)(document.getElementById('voice'))"
        assert voice.page.evaluate(inside) <= 0
        dan.check_targets()
        dan.shot(f"voice-200-{locale}-{number}")
    assert re.search(r"\d", voice.page.inner_text("#voice .voice-heading"))
