"""How long one laptop takes to its first clause: what it usually needs, and when it is late.

Mean and deviation of late, as TCP estimates round trips, for each second of speech plus what every
request costs. Pure numbers over a clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from babblefish.accelerator_protocol import Health

_FIXED_S = 4.0
"""of speech: what a request costs beside its length, since the reference is worked on, too"""
_UNKNOWN_S = 1.0
"""until anything was measured or reported"""
_SHARE, _DEVIATION_SHARE = 0.2, 0.25
"""of the newest measurement"""
_LATE_DEVIATIONS = 4.0
_LATE_AT_LEAST_S = 0.15
_DOUBTED_S = 30.0
"""how long "it took longer than anybody waited" counts for a measurement"""


class Pace:
    """seconds: of speech in the first clause. ``clock``: seconds, monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._mean: float | None = None
        self._deviation = 0.0
        self._doubt = 0.0
        """what was waited in vain, of late; like the mean, for each second and what is fixed"""
        self._doubted_at = 0.0
        self.transfer_s: float | None = None

    def usual(self, seconds: float, health: Health | None) -> float:
        """From being asked to the first clause, when it has nothing else to do."""
        doubted = self._clock() - self._doubted_at < _DOUBTED_S
        doubt = self._doubt * (_FIXED_S + seconds) if doubted else 0.0
        return max(self.measured(seconds, health), doubt)

    def measured(self, seconds: float, health: Health | None) -> float:
        """The same for those requests that were answered."""
        if self._mean is None:
            return _reported(seconds, health)
        return self._mean * (_FIXED_S + seconds)

    def late_after(self, seconds: float, health: Health | None) -> float:
        """It usually has answered by then."""
        measured = self.measured(seconds, health)
        spread = measured / 2 if self._mean is None else self._deviation * (_FIXED_S + seconds)
        return measured + max(_LATE_AT_LEAST_S, _LATE_DEVIATIONS * spread)

    def learn(self, seconds: float, took: float, transfer: float) -> None:
        """took: without waiting for others. transfer: what of it passed on the way."""
        unit = max(0.0, took) / (_FIXED_S + seconds)
        if self._mean is None:
            self._mean, self._deviation = unit, unit / 2
        else:
            self._deviation += _DEVIATION_SHARE * (abs(unit - self._mean) - self._deviation)
            self._mean += _SHARE * (unit - self._mean)
        self._doubt = 0.0
        was = self.transfer_s
        self.transfer_s = transfer if was is None else was + _SHARE * (transfer - was)

    def doubt(self, seconds: float, waited: float) -> None:
        """Nobody waited longer than ``waited``, and the first clause had not come."""
        self._doubt, self._doubted_at = waited / (_FIXED_S + seconds), self._clock()

    @property
    def first_clause_s(self) -> float | None:
        """Usual, for a short clause."""
        return None if self._mean is None else self._mean * (_FIXED_S + 1.0)


def _reported(seconds: float, health: Health | None) -> float:
    if health is not None and health.first_clause_s is not None:
        return health.first_clause_s
    if health is not None and health.real_time_factor is not None:
        return health.real_time_factor * (1.0 + seconds)
    return _UNKNOWN_S
