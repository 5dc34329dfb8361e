"""What can be wrong with speech that F5 made, and what to do about it.

F5 is not told which sound belongs to which letter. Its users report dropped first words, parts of
the reference in the result, speech that never ends or is over at once, and silence; NaN comes of
references that are silent or of 16 bits that overflow. Each fault is judged by what can be
measured, and asks for another try with another noise and other time. Arrays in, decisions out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from babblefish.accelerator import sound
from babblefish.audio import match_loudness

Fault = Literal["nan", "silent", "short", "long", "noise", "clipped", "words"]
LEAD, TAIL = 0.02, 0.04
"""seconds of silence left around a clause"""
_LONGEST_PAUSE, _KEPT_PAUSE = 0.7, 0.3
_SHORT, _LONG = 0.45, 1.9
"""speech may take so many times of what it is expected to take"""
_SPARE = 0.5
"""seconds that it may take more or less all the same"""
_CLIPPED = 0.02
_LEVEL_DB = -20.0
"""dBFS, as the other voices of BabbleFish"""


@dataclass(frozen=True, slots=True)
class Verdict:
    fault: Fault | None
    time: float = 1.0
    """times as much as before is to be given at the next try"""


def judge(samples: np.ndarray, expected: float) -> Verdict:
    """samples: (n,) float32 at ``sound.RATE`` as the vocoder made them. expected: seconds that
    the words take at the speaker's pace."""
    if len(samples) == 0 or not np.isfinite(samples).all():
        return Verdict("nan")
    if not sound.voiced(samples).any():
        return Verdict("silent")
    if np.mean(np.abs(samples) > 0.99) > _CLIPPED:
        return Verdict("clipped")
    spoken = sound.speech_seconds(samples)
    if spoken < expected * _SHORT - _SPARE or spoken < 0.08:
        return Verdict("short", 1.2)
    if spoken > expected * _LONG + _SPARE:
        return Verdict("long", 0.8)
    return Verdict(None)


def finished(samples: np.ndarray) -> np.ndarray:
    """Good speech as it is sent: without silence around it, without long gaps, as loud as the
    other voices."""
    said = sound.trim(sound.shorten_pauses(samples, _LONGEST_PAUSE, _KEPT_PAUSE), LEAD, TAIL)
    return match_loudness(said, _LEVEL_DB)
