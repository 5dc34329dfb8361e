"""Speech that can be told apart by ear and by program: every clause is a tone of its own, an octave
higher in the neutral voice than in the speaker's own; and what a listener heard of it.

Arrays in, verdicts out; knows no rooms and no laptops.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from babblefish.engine import clauses
from babblefish.engine.clauses import Clause

PLAYOUT_RATE = 48_000
FRAME = 960
FRAME_S = FRAME / PLAYOUT_RATE
_LOWEST, _STEP, _STEPS = 400.0, 50.0, 48
_NEUTRAL_UP = _STEP * (_STEPS + 4)
_SYLLABLES = 5.0
"""Hertz, at which a tone swells, as speech does"""
_QUIET = 10 ** (-60 / 20)
_ASTRAY_S = 0.2
"""a change of voice inside a clause may miss by so much: where to leave and enter is chosen"""
GAP_S = 0.06

Voice = Literal["own", "neutral"]


def tone_of(text: str, voice: Voice = "own") -> float:
    """Hertz. 400 to 2750 in the own voice, 3000 to 5350 in the neutral one."""
    hertz = _LOWEST + _STEP * (zlib.crc32(text.encode()) % _STEPS)
    return hertz if voice == "own" else hertz + _NEUTRAL_UP


def spoken(text: str, rate: int, voice: Voice = "own") -> np.ndarray:
    """float32 (n,): the tone of ``text``, as long as it would take to say it."""
    t = np.arange(int(max(0.3, clauses.seconds(text)) * rate)) / rate
    swell = 0.55 - 0.45 * np.cos(2 * np.pi * _SYLLABLES * t + np.pi)
    return (0.3 * swell * np.sin(2 * np.pi * tone_of(text, voice) * t)).astype(np.float32)


def sentence(number: int) -> str:
    """English, of two to four clauses whose tones differ."""
    rng = np.random.default_rng(number)
    while True:
        words = [_WORDS[i] for i in rng.integers(0, len(_WORDS), 14)]
        cut = int(rng.integers(3, 6))
        text = f"{' '.join(words[:cut])}, {' '.join(words[cut : cut + 5])}"
        text += rng.choice([".", f", and {' '.join(words[cut + 5 : cut + 9])}."])
        text = text.capitalize()
        parts = clauses.split(text, "en")
        if len(parts) >= 2 and len({tone_of(part.text) for part in parts}) == len(parts):
            return text


_WORDS = (
    *("river", "mountain", "window", "garden", "evening", "paper", "silver", "common", "travel"),
    *("winter", "letter", "music", "yellow", "bridge", "market", "summer", "table", "simple"),
    *("number", "people", "matter", "answer", "follow", "listen", "remember", "open"),
)


class Run(NamedTuple):
    """Frames of one clause in one voice, one after the other."""

    clause: int
    voice: Voice
    begin: int
    end: int
    """frames"""


@dataclass
class Verdict:
    """What became of one utterance at one listener's ear."""

    runs: list[Run] = field(default_factory=list)
    lost_s: float = 0.0
    """of clauses, beyond what a change of voice may miss"""
    doubled_s: float = 0.0
    out_of_order: bool = False
    foreign: int = 0
    """frames with another sound"""
    change_gaps: list[float] = field(default_factory=list)
    """seconds of silence at each change of voice, beyond the pause between clauses"""
    other_gaps: list[float] = field(default_factory=list)
    """the same between clauses in one voice"""

    @property
    def voices(self) -> set[Voice]:
        return {run.voice for run in self.runs}

    @property
    def first(self) -> int | None:
        """Frame of the first sound."""
        return self.runs[0].begin if self.runs else None


def verdict(frames: np.ndarray, text: str) -> Verdict:
    """frames: int16 (n, FRAME), what was heard from the utterance's end to the next one's begin."""
    parts = clauses.split(text, "en")
    found = Verdict(_runs(frames, parts))
    found.foreign = int((_labels(frames, parts) == _FOREIGN).sum())
    order = [run.clause for run in found.runs]
    found.out_of_order = order != sorted(order) or _goes_back(found.runs)
    for number, part in enumerate(parts):
        heard = [run for run in found.runs if run.clause == number]
        length = max(0.3, clauses.seconds(part.text))
        much = sum(run.end - run.begin for run in heard) * FRAME_S
        found.lost_s += max(0.0, length - much - _ASTRAY_S)
        found.doubled_s += max(0.0, much - length - _ASTRAY_S)
    for before, after in zip(found.runs, found.runs[1:], strict=False):
        silence = (after.begin - before.end) * FRAME_S
        pauses = sum(part.pause_after for part in parts[before.clause : after.clause])
        gaps = found.other_gaps if before.voice == after.voice else found.change_gaps
        gaps.append(max(0.0, silence - pauses))
    return found


def _goes_back(runs: Sequence[Run]) -> bool:
    """Whether a clause is taken up again in a voice that it was left in."""
    seen = [(run.clause, run.voice) for run in runs]
    return len(set(seen)) < len(seen)


_SILENT, _FOREIGN = -1, -2


def _labels(frames: np.ndarray, parts: Sequence[Clause]) -> np.ndarray:
    """(n,) int: 2 × clause, one more in the neutral voice."""
    voices: tuple[Voice, Voice] = ("own", "neutral")
    tones = np.array([tone_of(part.text, voice) for part in parts for voice in voices])
    sound = frames.astype(np.float32) / 32768
    power = np.abs(np.fft.rfft(sound * np.hanning(FRAME), axis=1))
    loudest = np.argmax(power, axis=1) * (PLAYOUT_RATE / FRAME)
    near = np.abs(loudest[:, None] - tones)
    labels = np.where(near.min(axis=1) <= _STEP / 2, near.argmin(axis=1), _FOREIGN)
    return np.where(np.abs(sound).max(axis=1) < _QUIET, _SILENT, labels)


def _runs(frames: np.ndarray, parts: Sequence[Clause]) -> list[Run]:
    runs: list[Run] = []
    for at, label in enumerate(_labels(frames, parts)):
        if label < 0:
            continue
        clause, voice = int(label) // 2, ("own", "neutral")[int(label) % 2]
        if runs and runs[-1][:2] == (clause, voice) and at - runs[-1].end <= 3:
            runs[-1] = runs[-1]._replace(end=at + 1)
        else:
            runs.append(Run(clause, voice, at, at + 1))
    return [run for run in runs if run.end - run.begin > 1]
