"""Enrolment from a phone, as people do it: real server and engine, real browser, real speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import sync_playwright

from tests.e2e.browsers import DESKTOP, browser, microphone
from tests.e2e.real_server import RealServer
from tests.e2e.voice_sheet import Sheet, one_person
from tests.patience import PATIENCE_MS
from tests.speech import Clip

_GAIN = """
const media = navigator.mediaDevices;
const open = media.getUserMedia.bind(media);
media.getUserMedia = async (wish) => {
  const source = await open({ ...wish, audio: true });
  const context = new AudioContext();
  window.gain = new GainNode(context);
  const out = context.createMediaStreamDestination();
  context.createMediaStreamSource(source).connect(window.gain).connect(out);
  return out.stream;
};
"""
"""the microphone of the browser; ``window.gain`` turns it down"""


@pytest.fixture
def somebody(speech: list[Clip]) -> np.ndarray:
    return one_person(speech)


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file() and path.suffix == ".wav"}


def test_a_person_enrols_on_their_phone_is_known_again_and_leaves_nothing_behind(
    somebody: np.ndarray, weights_dir: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    mic = microphone(tmp_path / "me.wav", [somebody], lead=0.0, gap=0.5)
    with (
        RealServer(data) as server,
        sync_playwright() as playwright,
        browser(playwright, server.base, mic) as dan,
        browser(playwright, server.base, size=DESKTOP, dark=True) as marie,
    ):
        marie.join(server.room_path, "Marie", "fr", listen_only=True)
        dan.page.add_init_script(_GAIN)
        dan.join(server.room_path, "Dan", "en")
        voice = Sheet(dan)
        voice.agree("voiceprint", "cloning")
        voice.press("Read three sentences", exact=False)
        voice.heading("Sentence 1 of 3")
        dan.page.evaluate("window.gain.gain.value = 0")
        voice.record(2)
        voice.says("Nothing was recorded.")
        dan.shot("my_voice_silent")
        dan.page.evaluate("window.gain.gain.value = 1")
        for number in range(1, 4):
            voice.heading(f"Sentence {number} of 3")
            voice.record(button="Again" if number == 1 else "Record")
            voice.says("That sounds good.")
            voice.press("Next")
        voice.heading("Does that sound like you?")
        voice.press("Listen: Sentence 1")
        dan.page.wait_for_function("() => window.__played > 0")
        voice.press("Save")
        voice.heading("Your voice is known here")
        progress = dan.page.locator(".voice-standing strong").inner_text()
        assert "of 20 s" in progress
        assert int(progress.split("%")[0].split()[-1]) >= 50, progress
        dan.shot("my_voice_known")
        assert len(files(data)) == 3

        dan.page.locator("input[name=voice-kind][value=chosen]").click()
        assert dan.page.locator("#voice-language").input_value() == "fr", "what Marie hears"
        dan.page.locator(".voice-row").nth(1).wait_for()
        dan.page.evaluate("() => { window.__played = 0; }")
        voice.press("Listen: Voice 2")
        dan.page.wait_for_function("() => window.__played > 0", timeout=3 * PATIENCE_MS)
        dan.page.locator("input[name=voice-name]").nth(1).click()
        voice.says("Your voice is chosen.")
        dan.shot("my_voice_chosen")

        dan.page.keyboard.press("Escape")
        dan.page.locator("#leave").click()
        dan.page.get_by_role("button", name="Join again").click()
        dan.page.locator("#join-button").click()
        dan.page.locator(".voice-entry.known").wait_for()
        dan.page.click(".person.me .voice-entry")
        voice.heading("Your voice is known here")

        dan.page.locator("label:has(#voice-cloning)").click()
        voice.press("Withdraw consent")
        voice.says("what was kept for it is deleted")
        assert files(data) == set()
        voice.press("Delete everything")
        dan.shot("my_voice_delete")
        voice.press("Delete for good")
        voice.heading("Your voice is not known here")
        assert dan.page.evaluate("() => localStorage.getItem('babblefish.profile')") is None
        assert not dan.outside and not marie.outside
