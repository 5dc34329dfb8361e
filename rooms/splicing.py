"""From one voice into another in the middle of a clause: where to leave, where to enter, and the
cross-fade between.

Both voices say the same words, each in its own time. A place in one is found in the other by how
far between the clause's first and last sound it is, and both are left and entered where they are
quiet, between words or syllables if there is such a place near. Pure arithmetic on samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RATE = 48_000
_HOP = RATE // 100
"""samples between two places that are looked at"""
FADE = RATE // 25
"""samples of the cross-fade: 40 ms"""
_WITHIN_S = 0.4
"""how far ahead the old voice is left at the latest"""
_ASTRAY_S = 0.12
"""how far beside the corresponding place the new voice may be entered"""
_LEAST_S = 0.3
"""with less of a clause to go, it is said to its end"""
_SILENT = 0.04
"""of the loudest part: below, nothing is said yet, or any more"""
_ASTRAY_COST = 0.6
_LATE_COST = 0.3
"""of going as far astray, or waiting as long, as is allowed; 1: a cut through the loudest part"""


@dataclass(frozen=True, slots=True, eq=False)
class Splice:
    leave: int
    """the old voice is heard up to this sample"""
    rest: np.ndarray
    """int16 (n,): what follows, cross-fade first"""
    entered: int
    """sample of the new voice at which ``rest`` begins"""


def splice(old: np.ndarray, heard: int, new: np.ndarray) -> Splice | None:
    """old, new: the same clause, int16 (n,) at RATE. heard: samples of ``old`` that were played.

    None where so little is left that ``old`` is better played to its end.
    """
    levels_old, levels_new = _levels(old), _levels(new)
    first, last = _said(levels_old)
    begin, end = _said(levels_new)
    now = -(-heard // _HOP)
    if last - now < _LEAST_S * 100 or end - begin < _LEAST_S * 100:
        return None
    places = np.arange(now, min(now + round(_WITHIN_S * 100), last) + 1)
    fits = begin + (places - first) * (end - begin) / (last - first)
    astray = round(_ASTRAY_S * 100)
    aside = np.arange(-astray, astray + 1)
    entries = np.clip(np.rint(fits[:, None] + aside), 0, end).astype(int)
    cost = (
        levels_old[np.minimum(places, len(levels_old) - 1)][:, None]
        + levels_new[np.minimum(entries, len(levels_new) - 1)]
        + _ASTRAY_COST * np.abs(entries - fits[:, None]) / astray
        + _LATE_COST * (places - now)[:, None] / (_WITHIN_S * 100)
    )
    best, beside = np.unravel_index(np.argmin(cost), cost.shape)
    leave, enter = int(places[best]) * _HOP, int(entries[best, beside]) * _HOP
    return Splice(leave, _faded(old[leave : leave + FADE], new[enter:]), enter)


def _faded(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """``new``, with ``old`` going out under its beginning; equally loud throughout."""
    size = min(len(old), len(new))
    angle = np.linspace(0.0, np.pi / 2, size, dtype=np.float32)
    mixed = old[:size] * np.cos(angle) + new[:size] * np.sin(angle)
    head = np.clip(np.rint(mixed), -32768, 32767).astype(np.int16)
    return np.concatenate([head, new[size:]])


def _levels(samples: np.ndarray) -> np.ndarray:
    """Loudness around each place, one every _HOP samples, 1 where it is loudest. (n,)"""
    whole = samples[: len(samples) // _HOP * _HOP].reshape(-1, _HOP).astype(np.float32)
    power = np.mean(np.square(whole), axis=1)
    if not len(power):
        return np.zeros(1, np.float32)
    padded = np.pad(power, (0, 3), mode="edge")
    smooth = np.sqrt((padded[:-3] + padded[1:-2] + padded[2:-1] + padded[3:]) / 4)
    return smooth / max(float(smooth.max()), 1.0)


def _said(levels: np.ndarray) -> tuple[int, int]:
    """First and last place at which something is said."""
    loud = np.flatnonzero(levels > _SILENT)
    return (int(loud[0]), int(loud[-1])) if len(loud) else (0, 0)
