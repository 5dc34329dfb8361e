"""Programs are not listened to while a person waits for a translation to begin.

Thirty open microphones give a small machine many little things to do, and each of them stops a
voice that is being made on all cores: it takes a third longer. So what comes from microphones that
no person waits for stays where it is for that moment, in the network's buffers, and is taken up
right after; nothing is lost. Knows no microphones and no rooms.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

MOST_S = 1.0
"""that it lasts at a time; before it lasts as long again, so much time has to pass without it"""
GRACE_S = 0.03
"""after it was kept: often the next to keep it follows at once"""
APART_S = 0.004
"""between those who go on: what waits behind them all must not come in one piece"""


class Hush:
    """For one event loop."""

    def __init__(self) -> None:
        self._kept = 0
        self._since: float | None = None
        """when it began (the loop's time); None: it is over"""
        self._credit, self._over_at = MOST_S, 0.0
        """seconds that it might have lasted on when it was last over"""
        self._end: asyncio.TimerHandle | None = None
        self._next: asyncio.TimerHandle | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()

    @contextmanager
    def keep(self) -> Iterator[None]:
        """For the length of the block, or as long as it may last."""
        self._kept += 1
        if self._kept == 1:
            self._begin()
        try:
            yield
        finally:
            self._kept -= 1
            if not self._kept and self.goes_on:
                self._end_in(min(GRACE_S, self._left))

    @property
    def goes_on(self) -> bool:
        return self._since is not None

    async def over(self) -> None:
        """Returns at once where nobody keeps it."""
        if self.goes_on:
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            await waiting

    @property
    def _left(self) -> float:
        """Seconds that it may last on."""
        assert self._since is not None
        return max(0.0, self._since + self._credit - asyncio.get_running_loop().time())

    def _begin(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._since is None:
            self._credit = min(MOST_S, self._credit + now - self._over_at)
            self._since = now
        if self._next is not None:
            self._next.cancel()
        self._end_in(self._left)

    def _end_in(self, seconds: float) -> None:
        if self._end is not None:
            self._end.cancel()
        self._end = asyncio.get_running_loop().call_later(seconds, self._lift)

    def _lift(self) -> None:
        self._credit, self._since = self._left, None
        self._over_at = asyncio.get_running_loop().time()
        self._go_on()

    def _go_on(self) -> None:
        """One of them, and the others one after the other."""
        self._next = None
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)
                self._next = asyncio.get_running_loop().call_later(APART_S, self._go_on)
                return
