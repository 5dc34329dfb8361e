"""Speech, faster or slower, at the same pitch.

WSOLA: short pieces of the sound are laid over each other more closely than they were, or less, each
taken from where it continues its predecessor best. Pure arithmetic on samples.
"""

from __future__ import annotations

import numpy as np

from babblefish.engine.stages import PLAYOUT_RATE

_HOP = PLAYOUT_RATE * 15 // 1000
_SEEK = PLAYOUT_RATE * 6 // 1000
"""samples that a piece is looked for on either side of its place"""
_STEP = 4
"""samples between two places that are compared"""


def faster(samples: np.ndarray, speed: float) -> np.ndarray:
    """float32 (n,) at PLAYOUT_RATE → about n / speed. speed: 1 to 2. 10 ms for a long clause."""
    return stretched(samples, max(1.0, speed))


def stretched(samples: np.ndarray, speed: float) -> np.ndarray:
    """float32 (n,) at PLAYOUT_RATE → about n / speed. speed: 0.5 to 2, below 1 is slower."""
    if speed == 1.0 or len(samples) < 4 * _HOP:
        return samples
    window = np.hanning(2 * _HOP + 1)[:-1].astype(np.float32)
    count = int((len(samples) - 2 * _HOP) / speed / _HOP) + 1
    padded = np.concatenate([samples, np.zeros(3 * _HOP + _SEEK, np.float32)])
    out = np.zeros((count + 1) * _HOP, np.float32)
    out[:_HOP] = samples[:_HOP] * (1 - window[:_HOP])
    follows = 0
    for number in range(count):
        place = round(number * _HOP * speed)
        at = place if number == 0 else _best(padded, place, follows)
        out[number * _HOP : (number + 2) * _HOP] += padded[at : at + 2 * _HOP] * window
        follows = at + _HOP
    return out


def _best(samples: np.ndarray, place: int, follows: int) -> int:
    """Where near ``place`` the sound goes on as it does at ``follows``."""
    first = max(0, place - _SEEK)
    wanted = samples[follows : follows + _HOP : _STEP]
    near = samples[first : place + _SEEK + _HOP : _STEP]
    return first + _STEP * int(np.argmax(np.correlate(near, wanted, "valid")))
