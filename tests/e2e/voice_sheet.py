"""The sheet "My voice" of a phone in a real meeting, as one person uses it."""

from __future__ import annotations

import numpy as np
from playwright.sync_api import Page

from babblefish.engine.consent_texts import consent_text
from tests.e2e.browsers import Participant
from tests.patience import PATIENCE_MS
from tests.speech import Clip

READING_S = 9
"""Wherever in the recording that the microphone plays round and round these seconds begin, three
of them are speech, which is what a sentence needs; of seven, not always."""


def one_person(speech: list[Clip]) -> np.ndarray:
    """Somebody, talking for some seconds. (n,) float32 at 16 kHz."""
    speakers = sorted({clip.speaker for clip in speech if clip.speaker})
    own = [clip for clip in speech if clip.speaker == speakers[0]]
    return max(own, key=lambda clip: clip.seconds).samples


class Sheet:
    def __init__(self, person: Participant) -> None:
        self.page: Page = person.page
        self.sheet = person.page.locator("#voice")

    def press(self, name: str, exact: bool = True) -> None:
        self.sheet.get_by_role("button", name=name, exact=exact).first.click()

    def heading(self, text: str) -> None:
        self.sheet.locator(".voice-heading", has_text=text).wait_for(timeout=PATIENCE_MS)

    def says(self, text: str) -> None:
        """A verdict or message; any other but "Listening" fails at once."""
        lines = self.sheet.locator(".voice-status p").filter(has_not_text="Listening to it")
        lines.first.wait_for(timeout=3 * PATIENCE_MS)
        shown = " ".join(lines.all_inner_texts())
        assert text in shown, shown

    def record(self, seconds: int = READING_S, button: str = "Record") -> None:
        """Records until the page's own clock shows so many seconds."""
        self.press(button, exact=False)
        self.page.wait_for_function(
            "(wanted) => parseInt(document.querySelector('.voice-clock').textContent) >= wanted",
            arg=seconds, timeout=seconds * 1000 + PATIENCE_MS,
        )  # fmt: skip
        self.press("Stop", exact=False)

    def agree(self, *purposes: str) -> None:
        """From the room to the choice of how to give one's voice. The page is in English."""
        words = consent_text("en")
        self.page.click(".person.me .voice-entry")
        self.press("Introduce my voice")
        self.heading(words.title)
        for purpose in purposes:
            self.page.locator(f"label:has(#voice-{purpose})").click()
        self.press(words.agree)
