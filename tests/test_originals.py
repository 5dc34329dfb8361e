"""Live original voices: bursts, drifting clocks, pauses; frame by frame."""

from __future__ import annotations

import numpy as np
import pytest

from rooms.originals import FRAME, Originals

FRAME_S = 0.02


def word(number: int, seconds: float = 0.4, level: int = 8000) -> list[np.ndarray]:
    """A tone of its own pitch for each number."""
    t = np.arange(int(seconds / FRAME_S) * FRAME) / 48_000
    samples = (level * np.sin(2 * np.pi * (300 + 200 * number) * t)).astype(np.int16)
    return list(samples.reshape(-1, FRAME))


def pause(seconds: float = 0.2, noise: int = 60) -> list[np.ndarray]:
    random = np.random.default_rng(1)
    return [
        random.integers(-noise, noise, FRAME).astype(np.int16)
        for _ in range(int(seconds / FRAME_S))
    ]


def sentence(words: int) -> list[np.ndarray]:
    return [frame for number in range(words) for frame in (*word(number), *pause())]


def loud(frames) -> int:
    return sum(frame is not None and np.abs(frame).max() > 4000 for frame in frames)


def played(originals: Originals, frames, late: slice) -> list[np.ndarray | None]:
    """Frames come at an even pace, except that those of ``late`` come at once at its end."""
    out = []
    for number, frame in enumerate(frames):
        if number == late.stop:
            for held in frames[late]:
                originals.put("a", held, True)
        if not late.start <= number < late.stop:
            originals.put("a", frame, True)
        out.append(originals.mix(False))
    while originals.waiting:
        out.append(originals.mix(False))
    return out


@pytest.mark.parametrize("late", [5, 15, 30, 45])
def test_a_burst_costs_no_word(late):
    frames = sentence(6)
    originals = Originals(0.2)
    out = played(originals, frames, slice(10, 10 + late))
    assert loud(out) >= loud(frames) - 2


def test_the_delay_of_a_burst_is_worked_off_in_pauses():
    originals = Originals(0.2)
    frames = sentence(8)
    played(originals, frames[:-10], slice(10, 50))
    for frame in frames[-10:]:
        originals.put("a", frame, True)
        originals.mix(False)
    assert originals.waiting <= 3


def test_with_an_even_pace_nothing_is_cut_not_even_pauses():
    originals = Originals(0.2)
    frames = sentence(3)
    out = [originals.put("a", frame, True) or originals.mix(False) for frame in frames]
    assert sum(frame is not None for frame in out) >= len(frames) - 2


def test_a_microphone_whose_clock_is_fast_gets_no_further_ahead():
    originals = Originals(0.2)
    heard = []
    for number, frame in enumerate(sentence(40)):
        originals.put("a", frame, True)
        if number % 50:  # the listener takes 49 frames while 50 come
            heard.append(originals.mix(False))
        assert originals.waiting <= 25
    assert loud(heard) >= 0.99 * loud(sentence(40))


def test_what_waits_is_bounded_and_a_silent_voice_is_forgotten():
    originals = Originals(0.2)
    for frame in sentence(10):
        originals.put("a", frame, True)
    assert originals.waiting <= 50
    for _ in range(400):
        originals.mix(False)
    assert originals.mix(False) is None and not originals._voices
