"""People before programs, where the stages share their cores.

A recording that a program sent takes the processor from the voice that a room waits for, although
each has a process of its own. So work without a listener (``Priority.BATCH``) rests in all pools
while any of them works for a room, and what is said among programs alone (``Priority.PROGRAM``)
rests while any of them makes what people wait for. Now and then one job of each kind is let
through, so that it comes to an end in the longest meeting, too. Knows no jobs: pools ask, and are
told.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from babblefish.engine.job_queue import Priority, stopped_for

GRACE = {Priority.PROGRAM: 0.05, Priority.BATCH: 0.5}
"""seconds after more urgent work: more of it usually follows at once"""
PATIENCE = {Priority.PROGRAM: 5.0, Priority.BATCH: 30.0}
"""seconds of waiting after which one job is let through"""


_MEMORY_S = 10.0
"""time constant with which it is forgotten that more urgent work went on"""


class Yielding(Protocol):
    """A pool."""

    def give_way(self, least: Priority) -> None:
        """Stop what is not more urgent than ``least``, to be done again later."""
        ...

    def go_on(self) -> None:
        """It may be that work that rested can begin."""
        ...


class _Rest:
    """Of the work of one priority."""

    def __init__(self, priority: Priority) -> None:
        self.priority = priority
        self.before = 0
        """more urgent jobs that wait or run"""
        self.free_at = 0.0
        self.held_since: float | None = None
        """since when something is kept from beginning; None: nothing is"""
        self._share, self._shared_at = 0.0, 0.0

    def share(self, now: float) -> float:
        """See ``Precedence.share``."""
        target = float(self.before > 0)
        faded = math.exp((self._shared_at - now) / _MEMORY_S)
        self._share, self._shared_at = target + (self._share - target) * faded, now
        return self._share

    def count(self, change: int, now: float) -> None:
        """change: more urgent jobs that came, or went where it is negative."""
        self.share(now)
        self.before += change

    def ask(self, now: float) -> tuple[bool | None, float]:
        """See ``Precedence.ask``; and in how many seconds to ask again."""
        if not self.before and now >= self.free_at:
            self.held_since = None
            return True, 0.0
        if self.held_since is None:
            self.held_since = now
        patience = self.held_since + PATIENCE[self.priority] - now
        if patience <= 0:
            self.held_since = now
            return None, 0.0
        return False, patience if self.before else min(patience, self.free_at - now)


class Precedence:
    """Over the pools that share a machine's cores. For one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pools: list[Yielding] = []
        self._rests = {priority: _Rest(priority) for priority in GRACE}
        self._timer: asyncio.TimerHandle | None = None

    def join(self, pool: Yielding) -> None:
        self._pools.append(pool)

    @contextmanager
    def work(self, priority: Priority) -> Iterator[None]:
        """A job that others wait for, from when it is asked for until it is done."""
        rests = [rest for rest in self._rests.values() if rest.priority > priority]
        for rest in rests:
            rest.count(1, self._clock())
        for pool in self._pools if rests else ():
            pool.give_way(stopped_for(priority))
        try:
            yield
        finally:
            for rest in rests:
                rest.count(-1, self._clock())
                if not rest.before:
                    rest.free_at = self._clock() + GRACE[rest.priority]
                    if rest.held_since is not None:
                        self._ask_again(GRACE[rest.priority])

    def ask(self, priority: Priority) -> bool | None:
        """May a job that yields begin? True: yes. None: yes, and other pools' work does not stop
        it, for it has waited long enough. False: not now; ``go_on`` is called when it is worth
        asking again."""
        answer, again = self._rests[priority].ask(self._clock())
        if answer is False:
            self._ask_again(again)
        return answer

    def share(self, priority: Priority) -> float:
        """Part of the time, of late, in which there was work for which such work rests."""
        rest = self._rests.get(priority)
        return rest.share(self._clock()) if rest else 0.0

    def _ask_again(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is None or self._timer.when() > loop.time() + seconds:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = loop.call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        self._timer = None
        for pool in self._pools:
            pool.go_on()
