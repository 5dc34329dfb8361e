"""Where in a clip somebody speaks: levels, edges, long pauses. Arrays in, arrays out."""

from __future__ import annotations

import itertools

import numpy as np

RATE = 24_000
"""Hertz, of everything here"""
_FRAME = RATE // 100
_SPEECH_DB = 32.0
"""below the loud parts of a clip, speech is no longer heard"""
_SILENT_LEVEL = 10 ** (-58 / 20)
"""a clip whose loud parts stay below this is silent"""


def levels(samples: np.ndarray) -> np.ndarray:
    """(n // 240,) root mean square of each 10 ms."""
    frames = samples[: len(samples) // _FRAME * _FRAME].reshape(-1, _FRAME)
    return np.sqrt(np.mean(np.square(frames, dtype=np.float64), axis=1))


def voiced(samples: np.ndarray) -> np.ndarray:
    """(n // 240,) bool: in which 10 ms there is sound, as loud as speech is beside the rest."""
    level = levels(samples)
    if len(level) == 0:
        return np.zeros(0, bool)
    loud = float(np.percentile(level, 95))
    if loud < _SILENT_LEVEL:
        return np.zeros(len(level), bool)
    return level > max(loud * 10 ** (-_SPEECH_DB / 20), _SILENT_LEVEL / 4)


def speech_seconds(samples: np.ndarray, longest_pause: float = 0.25) -> float:
    """Seconds in which there is speech, pauses up to ``longest_pause`` counted in."""
    speech = np.flatnonzero(voiced(samples))
    if len(speech) == 0:
        return 0.0
    gaps = np.minimum(np.diff(speech), 1 + round(longest_pause * 100))
    return float(gaps.sum() + 1) / 100


def trim(samples: np.ndarray, lead: float, tail: float, fade: float = 0.005) -> np.ndarray:
    """A copy without the silence around the speech, but for so many seconds of it; edges faded.
    Empty where there is no speech."""
    speech = np.flatnonzero(voiced(samples))
    if len(speech) == 0:
        return samples[:0].copy()
    start = max(0, int(speech[0] * _FRAME - lead * RATE))
    end = min(len(samples), int((speech[-1] + 1) * _FRAME + tail * RATE))
    said = samples[start:end].astype(np.float32)
    ramp = np.linspace(0.0, 1.0, min(int(fade * RATE), len(said) // 2), dtype=np.float32)
    said[: len(ramp)] *= ramp
    said[len(said) - len(ramp) :] *= ramp[::-1]
    return said


def shorten_pauses(samples: np.ndarray, longest: float, kept: float) -> np.ndarray:
    """Pauses of more than ``longest`` seconds inside the speech become ``kept`` seconds."""
    speech = np.flatnonzero(voiced(samples))
    cuts = [
        (int((before + 1 + kept * 50) * _FRAME), int((after - kept * 50) * _FRAME))
        for before, after in itertools.pairwise(speech)
        if after - before > longest * 100
    ]
    if not cuts:
        return samples
    parts, at = [], 0
    for start, end in cuts:
        parts.append(samples[at:start])
        at = end
    return np.concatenate([*parts, samples[at:]])
