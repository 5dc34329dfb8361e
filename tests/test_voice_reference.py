"""The reference that a voice is cloned from: chosen, kept, joined."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from babblefish.audio import decibels, rms
from babblefish.engine.reference_material import Stretch
from babblefish.engine.voice_reference import (
    LEAST_SECONDS,
    MOST_SECONDS,
    PAUSE_SECONDS,
    choose,
    join,
)

RATE = 16_000
OWN, OTHER = np.eye(4, dtype=np.float32)[:2]
WORDS = (
    "The quick brown fox jumps over the lazy dog near the bank.",
    "We should begin the meeting before everybody has to leave.",
    "My favourite colour is green, and yours may well be purple.",
    "Joyful zebras vex quietly while munching on kumquats.",
)


def stretch(number: int, seconds: float = 5.0, **changes) -> Stretch:
    made = Stretch(
        f"s{number}", "monday", 10.0 * number, seconds, seconds * 0.9, WORDS[number % 4], "en",
        25.0, OWN, True,
    )  # fmt: skip
    return replace(made, **changes)


def test_there_is_none_before_six_seconds():
    assert choose([]) is None
    assert choose([stretch(0, 3.0)]) is None
    assert choose([stretch(0, 13.0)]) is None


def test_one_long_stretch_is_enough():
    found = choose([stretch(0, 8.0)])
    assert found is not None
    assert (found.stretches, found.text, found.seconds) == (("s0",), WORDS[0], 8.0)


def test_stretches_of_one_session_are_joined_in_their_order():
    found = choose([stretch(1, 4.0), stretch(0, 4.0)])
    assert found is not None and found.stretches == ("s0", "s1")
    assert found.text == f"{WORDS[0]} {WORDS[1]}"
    assert found.seconds == pytest.approx(8.0 + PAUSE_SECONDS)


def test_sessions_and_languages_are_never_joined():
    assert choose([stretch(0, 4.0), stretch(1, 4.0, session="tuesday")]) is None
    assert choose([stretch(0, 4.0), stretch(1, 4.0, language="fr")]) is None


def test_the_cleanest_whole_sentences_nearest_to_the_voice_win():
    good = stretch(0, 8.0)
    for worse in (
        stretch(1, 8.0, snr_db=15.0, text=WORDS[0]),
        stretch(1, 8.0, whole=False, text=WORDS[0]),
        stretch(1, 8.0, voiceprint=(0.8 * OWN + 0.6 * OTHER).astype(np.float32), text=WORDS[0]),
        stretch(1, 8.0, text="No no no no no."),
    ):
        found = choose([worse, good], OWN)
        assert found is not None and found.stretches == ("s0",), worse


def test_it_stays_for_tiny_gains_and_changes_for_large_ones():
    first = choose([stretch(0, 8.0)])
    slightly = [stretch(0, 8.0), stretch(1, 8.0, session="tuesday", snr_db=26.0)]
    assert choose(slightly, None, first) is first
    clearly = [stretch(0, 8.0), stretch(1, 8.0, session="tuesday", snr_db=40.0)]
    better = choose(clearly, None, first)
    assert better is not None and better.stretches == ("s1",)
    assert choose([stretch(1, 8.0)], None, first).stretches == ("s1",), "s0 was deleted"
    assert choose([], None, first) is None


def test_it_never_gets_worse_while_material_comes_in():
    random, kept, current, scores, changes = np.random.default_rng(5), [], None, [], 0
    for number in range(12):
        kept.append(
            stretch(
                number, float(random.uniform(2, 8)), snr_db=float(random.uniform(16, 38)),
                session=str(number % 2), whole=bool(random.integers(2)),
            )
        )  # fmt: skip
        new = choose(kept, OWN, current)
        changes += current is not None and new is not current
        current = new
        if current is not None:
            assert LEAST_SECONDS <= current.seconds <= MOST_SECONDS
            scores.append(current.score)
    assert scores == sorted(scores)
    assert 1 <= changes <= 5


def test_joined_sound_is_equally_loud_with_pauses_between():
    random = np.random.default_rng(6)
    loud, faint = (random.normal(0, level, 2 * RATE).astype(np.float32) for level in (0.2, 0.01))
    joined = join([loud, faint])
    pause = int(PAUSE_SECONDS * RATE)
    assert joined.dtype == np.float32 and len(joined) == 4 * RATE + pause
    assert not joined[2 * RATE : 2 * RATE + pause].any()
    levels = [decibels(rms(part)) for part in (joined[: 2 * RATE], joined[-2 * RATE :])]
    assert levels[0] == pytest.approx(levels[1], abs=0.5)
    assert abs(joined[0]) < 1e-3 and abs(joined[2 * RATE - 1]) < 1e-3, "no click at the seams"
    assert decibels(rms(loud)) > -15, "what came in is left alone"
