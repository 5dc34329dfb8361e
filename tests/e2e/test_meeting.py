"""A meeting as people have it: the real server over https, real browsers, real speech."""

from __future__ import annotations

import time

import jiwer
import numpy as np
import pytest
from playwright.sync_api import sync_playwright

from babblefish.audio import rms
from babblefish.engine.stages import RecognitionRequest
from tests import read_aloud
from tests.e2e.browsers import DESKTOP, EAR_RATE, browser, microphone
from tests.e2e.real_server import RealServer
from tests.patience import awake


@pytest.fixture(scope="module")
def server(tmp_path_factory, weights_dir):
    with RealServer(tmp_path_factory.mktemp("data")) as server:
        yield server


@pytest.fixture(scope="module")
def french(weights_dir):
    return read_aloud.sentence(weights_dir, "fr")


@pytest.fixture(scope="module")
def ear(whisper):
    """Writes down what was heard."""

    def transcribe(samples: np.ndarray, language: str) -> str:
        request = RecognitionRequest(language, language_fixed=True)
        return whisper.transcribe(_without_pauses(samples)[-14 * EAR_RATE :], request).text

    return transcribe


def words(text: str) -> list[str]:
    return "".join(c.lower() if c.isalnum() else " " for c in text).split()


def agreement(spoken: str, reference: str) -> float:
    """1 − word error rate."""
    return 1 - jiwer.wer(" ".join(words(reference)), " ".join(words(spoken)) or "-")


def test_two_browsers_understand_each_other(server, french, ear, tmp_path):
    mic = microphone(tmp_path / "fr.wav", [french.samples], lead=4.0, gap=9.0)
    with sync_playwright() as playwright, browser(playwright, server.base, mic) as pierre:
        with (
            browser(playwright, server.base, size=DESKTOP) as dan,
            browser(playwright, server.base, dark=True) as zoe,
        ):
            dan.join(server.room_path, "Dan", "en", listen_only=True)
            zoe.join(server.room_path, "Zoé", "fr", listen_only=True)
            pierre.join(server.room_path, "Pierre", "fr")
            for number in range(5):
                dan.listen()
                zoe.listen()
                caption = dan.caption(number)
                marker = len(dan.heard())
                said = zoe.caption(number)
                dan.until_spoken(number + 1)
                if agreement(said, french.transcript) >= 0.5:
                    break
                # Who joins slowly does so in the middle of a sentence; it is said again.
            assert agreement(said, french.transcript) >= 0.5
            assert len(words(caption)) >= 4
            line = dan.finals.nth(number)
            assert "Pierre" in line.inner_text()
            assert line.locator(".text").get_attribute("lang") == "en"
            dan.shot("meeting_desktop_light")
            zoe.shot("meeting_phone_dark")
            pierre.shot("meeting_phone_light")

            heard = dan.heard()
            translation = heard[marker - EAR_RATE // 5 :]
            assert agreement(ear(translation, "en"), caption) >= 0.6, "B hears what B reads"
            original = heard[:marker]
            loud, low = _voiced_level(translation), _voiced_level(original)
            assert 0.003 < low < 0.6 * loud, "the original is there, ducked"
            assert agreement(ear(zoe.heard(), "fr"), french.transcript) >= 0.5, (
                "who speaks the language hears the original"
            )
            assert _voiced_level(zoe.heard()) > 1.5 * low

            line.locator("button.translate").click()
            assert agreement(line.locator(".original").inner_text(), said) == 1.0
            assert not pierre.outside and not dan.outside and not zoe.outside
            dan.page.locator("#leave").click()


def _without_pauses(samples: np.ndarray) -> np.ndarray:
    """A busy machine leaves long pauses between clauses, which say nothing about the words."""
    size = EAR_RATE // 10
    parts = [samples[i : i + size] for i in range(0, len(samples) - size, size)]
    loud = [rms(part) > 0.004 for part in parts]
    kept = [p for i, p in enumerate(parts) if any(loud[max(0, i - 2) : i + 3])]
    return np.concatenate(kept) if kept else samples


def _voiced_level(samples: np.ndarray) -> float:
    """RMS of the louder half-second stretches."""
    size = EAR_RATE // 2
    levels = sorted(rms(samples[i : i + size]) for i in range(0, len(samples) - size, size))
    return float(np.mean(levels[-3:])) if levels else 0.0


def test_promise_6_a_phone_that_drops_mid_sentence_comes_back_as_the_same_person(
    server, french, tmp_path
):
    mic = microphone(tmp_path / "fr.wav", [french.samples], lead=3.0, gap=5.0)
    with sync_playwright() as playwright, browser(playwright, server.base, mic) as paul:
        with browser(playwright, server.base) as mia:
            mia.join(server.room_path, "Mia", "en", listen_only=True)
            paul.join(server.room_path, "Paul", "fr")
            before = mia.finals.count()
            mia.page.locator("#people li.speaking", has_text="Paul").wait_for()
            time.sleep(1.0)  # he is in the middle of a sentence
            began = awake()
            paul.drop()
            paul.shot("meeting_reconnecting")
            paul.until_back()
            assert awake() - began < 15
            mia.caption(before)
            mia.caption(before + 1)
            assert mia.page.locator("#people li", has_text="Paul").count() == 1

            seen = mia.finals.count()
            mia.drop()
            mia.until_back()
            mia.caption(seen)
            texts = mia.finals.evaluate_all(
                "(lines) => lines.map((line) => line.querySelectorAll('.text').length)"
            )
            assert set(texts) == {1}
