"""One sound found in another: late, faint, with echo, through Opus."""

from __future__ import annotations

import numpy as np
import pytest

from babblefish.engine import bleed
from babblefish.errors import AudioError
from bench.damage import RATE, across_the_room

LATE, EARLY = (int(s * RATE) for s in (bleed.LATE_SECONDS, bleed.EARLY_SECONDS))


@pytest.fixture(scope="module")
def sounds(speech) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(what the microphone's owner says, what is played, something else), 4 s and their margins."""
    long = [clip for clip in speech if clip.speaker or clip.transcript]
    need = 4 * RATE + LATE + EARLY
    everything = np.concatenate([clip.samples for clip in long])
    pieces = [everything[start : start + need] for start in range(0, 3 * need, need)]
    return tuple(np.resize(piece, need).astype(np.float32) for piece in pieces)


def mixed(owner: np.ndarray, played: np.ndarray, level_db: float, delay: float) -> np.ndarray:
    arrived = across_the_room(played, delay, np.random.default_rng(5))[LATE:-EARLY]
    own = owner[LATE:-EARLY]
    gain = np.sqrt(np.mean(own**2) / np.mean(arrived**2)) * 10 ** (level_db / 20)
    return (own + arrived * gain).astype(np.float32)


@pytest.mark.parametrize("level_db", [-6, -15, -25])
@pytest.mark.parametrize("delay", [0.0, 0.4, 1.1])
def test_what_was_played_is_found(sounds, level_db, delay):
    owner, played, other = sounds
    microphone = mixed(owner, played, level_db, delay)
    assert bleed.likeness(microphone, played) > 15
    assert bleed.likeness(microphone, other) < 12


def test_what_was_not_heard_is_not_found(sounds):
    owner, played, other = sounds
    assert bleed.likeness(owner[LATE:-EARLY], played) < 12
    assert bleed.likeness(owner[LATE:-EARLY], other) < 12


def test_a_sound_may_reach_the_microphone_sooner_than_the_server(sounds):
    owner, played, _ = sounds
    early = np.roll(played, -int(0.25 * RATE))
    assert bleed.likeness(mixed(owner, early, -15, 0.0), played) > 15


def test_who_spoke_just_before_is_heard_only_where_they_were(sounds):
    owner, played, _ = sounds
    before = played.copy()
    before[LATE - RATE // 4 :] = 0  # over, before the microphone's owner begins
    silent = owner.copy()
    silent[: LATE + RATE // 2] = 0
    assert bleed.likeness(silent[LATE:-EARLY], before) < 12
    late = mixed(silent, before, -15, 1.1)
    assert bleed.likeness(late, before) > 15
    before[LATE - RATE :] = 0
    assert bleed.likeness(silent[LATE:-EARLY], before) == 0.0, "it cannot be that late"


def test_silence_is_like_nothing(sounds):
    owner, _, _ = sounds
    silence = np.zeros(len(owner), np.float32)
    assert bleed.likeness(owner[LATE:-EARLY], silence) == 0.0
    assert bleed.likeness(silence[LATE:-EARLY], owner) == 0.0


def test_wrong_lengths_and_bad_samples_are_refused(sounds):
    owner, played, _ = sounds
    for microphone, source in (
        (owner, played),
        (np.zeros(0, np.float32), played),
        (np.full(len(owner) - LATE - EARLY, np.nan, np.float32), played),
    ):
        with pytest.raises(AudioError) as caught:
            bleed.likeness(microphone, source)
        assert caught.value.code == "bad_audio"
