"""Rooms before programs, where the stages share their cores.

A recording that a program sent takes the processor from the voice that a room waits for, although
each has a process of its own. So work without a listener (``Priority.BATCH``) rests in all pools
while any of them works for a room; now and then one job of it is let through, so that it comes to
an end in the longest meeting, too. Knows no jobs: pools ask, and are told.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

GRACE = 0.5
"""seconds after a room's work: more of it usually follows at once"""
PATIENCE = 30.0
"""seconds of waiting for rooms after which one job is let through"""


class Yielding(Protocol):
    """A pool."""

    def give_way(self) -> None:
        """Stop what has no listener, to be done again later."""
        ...

    def go_on(self) -> None:
        """It may be that work without a listener can begin."""
        ...


class Precedence:
    """Of the rooms, over the pools that share a machine's cores. For one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pools: list[Yielding] = []
        self._rooms = 0
        """jobs of rooms that wait or run"""
        self._free_at = 0.0
        self._held_since: float | None = None
        """since when something is kept from beginning; None: nothing is"""
        self._timer: asyncio.TimerHandle | None = None

    def join(self, pool: Yielding) -> None:
        self._pools.append(pool)

    @contextmanager
    def room(self) -> Iterator[None]:
        """A room waits for what is done meanwhile."""
        self._rooms += 1
        if self._rooms == 1:
            for pool in self._pools:
                pool.give_way()
        try:
            yield
        finally:
            self._rooms -= 1
            if not self._rooms:
                self._free_at = self._clock() + GRACE
                if self._held_since is not None:
                    self._ask_again(GRACE)

    def ask(self) -> bool | None:
        """May a job without a listener begin? True: yes. None: yes, and rooms do not stop it, for
        it has waited long enough. False: not now; ``go_on`` is called when it is worth asking
        again."""
        now = self._clock()
        if not self._rooms and now >= self._free_at:
            self._held_since = None
            return True
        if self._held_since is None:
            self._held_since = now
        if now >= self._held_since + PATIENCE:
            self._held_since = now
            return None
        patience = self._held_since + PATIENCE - now
        self._ask_again(patience if self._rooms else min(patience, self._free_at - now))
        return False

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
