"""How often somebody may guess: each address for itself, and all of them together.

Pure: times come in, seconds to wait go out. Addresses are opaque keys; knows no disk.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

_NOBODY = ""
"""whose tries count for all, but for no address any more"""
_LONGEST_KEY = 64


@dataclass(frozen=True, slots=True)
class Limit:
    number: int
    seconds: float


class Tries:
    """``each``: what one address may do; ``together``: all of them. Only tries that were let
    through are remembered, so that ``together`` bounds how many there are."""

    def __init__(
        self, each: Sequence[Limit], together: Sequence[Limit], remembered: Any = ()
    ) -> None:
        """remembered: what ``remember`` gave; anything that is not is ignored."""
        self._each, self._together = each, together
        self._window = max(limit.seconds for limit in (*each, *together))
        self._most = max(limit.number for limit in together)
        self._tries = list(_readable(remembered))[-self._most :]
        """(Unix time, key), the oldest first"""

    def wait(self, key: str, now: float) -> int:
        """Count one try of ``key``; seconds to wait before the next, 0: go ahead."""
        # a clock that was set back must not keep tries for longer
        self._tries = [
            (min(at, now), who) for at, who in self._tries if at > now - self._window
        ]  # fmt: skip
        own = [at for at, who in self._tries if who == key]
        every = [at for at, _ in self._tries]
        waits = [_over(limit, own, now) for limit in self._each]
        waits += [_over(limit, every, now) for limit in self._together]
        if longest := max(waits):
            return max(1, math.ceil(longest))
        self._tries.append((now, key))
        return 0

    def forgive(self, key: str) -> None:
        """Who turned out to know the secret starts counting afresh."""
        self._tries = [(at, _NOBODY if who == key else who) for at, who in self._tries]

    def remember(self) -> list[tuple[float, str]]:
        """For ``remembered`` of the next process."""
        return list(self._tries)


def _over(limit: Limit, times: list[float], now: float) -> float:
    """Seconds until ``limit`` allows another."""
    recent = [at for at in times if at > now - limit.seconds]
    return recent[-limit.number] + limit.seconds - now if len(recent) >= limit.number else 0.0


def _readable(remembered: Any) -> Iterable[tuple[float, str]]:
    for entry in remembered if isinstance(remembered, list | tuple) else ():
        match entry:
            case (int() | float() as at, str(key)) if (
                math.isfinite(at) and len(key) <= _LONGEST_KEY
            ):
                yield float(at), key
