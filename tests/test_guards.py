"""Faults of F5, provoked: each is found, and good speech is left alone."""

from __future__ import annotations

import numpy as np
import pytest

from babblefish.accelerator import guards, sound
from babblefish.accelerator.round_trip import differs, load
from tests.speech import Clip

RATE = sound.RATE


def speech(seconds: float, level: float = 0.1) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    source = np.random.default_rng(0).normal(0, level, len(time))
    return (source * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * time))).astype(np.float32)


def quiet(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), np.float32)


@pytest.mark.parametrize(
    ("samples", "expected", "fault"),
    [
        (speech(2.0), 2.0, None),
        (speech(1.2), 2.0, None),
        (speech(3.0), 2.0, None),
        (np.concatenate([quiet(0.8), speech(2.0), quiet(1.0)]), 2.0, None),
        (speech(0.3), 0.25, None),
        (np.full(RATE, np.nan, np.float32), 1.0, "nan"),
        (np.where(np.arange(RATE) == 500, np.inf, 0.1).astype(np.float32), 1.0, "nan"),
        (np.zeros(0, np.float32), 1.0, "nan"),
        (quiet(2.0), 2.0, "silent"),
        (speech(2.0, level=1e-5), 2.0, "silent"),
        (np.clip(speech(2.0, level=5.0), -1, 1), 2.0, "clipped"),
        (np.concatenate([speech(0.4), quiet(2.0)]), 3.0, "short"),
        (speech(9.0), 2.0, "long"),
    ],
)
def test_each_fault_is_found(samples, expected, fault):
    assert guards.judge(samples, expected).fault == fault


def test_too_short_gets_more_time_and_too_long_less():
    assert guards.judge(speech(0.3), 3.0).time > 1 > guards.judge(speech(9.0), 2.0).time


def test_finished_speech_has_no_silence_around_it_no_long_gap_and_one_loudness():
    raw = np.concatenate([quiet(0.7), speech(1.0), quiet(2.0), speech(1.0, 0.2), quiet(1.5)])
    said = guards.finished(raw)
    assert len(said) / RATE == pytest.approx(2.3 + guards.LEAD + guards.TAIL, abs=0.1)
    assert abs(said[0]) < 1e-3 and abs(said[-1]) < 1e-3, "no click"
    loud, soft = guards.finished(speech(2.0, 0.3)), guards.finished(speech(2.0, 0.02))
    assert np.sqrt(np.mean(loud**2)) == pytest.approx(np.sqrt(np.mean(soft**2)), rel=0.05)
    assert np.abs(loud).max() <= 0.98


def test_short_pauses_stay():
    raw = np.concatenate([speech(1.0), quiet(0.4), speech(1.0)])
    assert len(sound.shorten_pauses(raw, 0.7, 0.3)) == len(raw)


REFERENCE = "Les deux autres sont situés au bord de la mer Jaune."


@pytest.mark.parametrize(
    ("text", "heard", "wrong"),
    [
        ("Today only platforms one and three are used.",
         "today, only platforms 1 and 3 are used", False),
        ("Today only platforms one and three are used.",
         "To day only plat forms one and tree are used.", False),
        ("Où est-ce que vous êtes?", "Ou est ce que vous etes", False),
        ("Today only platforms one and three are used.", "one and three are used.", True),
        ("Today only platforms one and three are used.", "", True),
        ("Today only platforms one and three are used.", "Thank you for watching!", True),
        ("Les trois sont là, dans la salle du fond.",
         "Au bord de la mer Jaune. Les trois sont là, dans la salle du fond.", True),
        ("Good.", "Good.", False),
    ],
)  # fmt: skip
def test_what_a_recogniser_heard_is_held_against_the_text(text, heard, wrong):
    assert differs(text, heard, REFERENCE) == wrong


def test_without_a_recogniser_nobody_listens(tmp_path):
    assert load(tmp_path) is None


def test_a_real_recogniser_tells_right_from_wrong(weights_dir, speech: list[Clip]):
    from babblefish.audio import resample

    listener = load(weights_dir, always=True)
    assert listener is not None and listener.worthwhile and listener.seconds > 0
    clip = next(clip for clip in speech if clip.language == "en" and clip.transcript)
    said = resample(clip.samples, 16_000, RATE)
    other = "The meeting begins at nine with coffee and a word of welcome."
    assert not listener.is_wrong(said, "en", clip.transcript, REFERENCE)
    assert listener.is_wrong(said, "en", other, REFERENCE)
    assert listener.is_wrong(said[len(said) // 2 :], "en", clip.transcript, REFERENCE)
