"""What a voice has promised to say and has not said yet, and how long that will take it.

Pure bookkeeping; the seconds are of speech as it will sound, estimated from the text. It decides
nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_RATE = 0.5
"""seconds of work a second of speech, until there are measurements"""
_WEIGHT = 0.2
"""of the newest measurement"""


class Promise:
    """One text that is being said, clause by clause."""

    def __init__(self, seconds: float) -> None:
        self.owed = seconds

    def keep(self, seconds: float) -> None:
        """So much of it has been said, or will not be said any more."""
        self.owed = max(0.0, self.owed - seconds)


class Backlog:
    """Of one pool. ``clock``: seconds, monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._promises: set[Promise] = set()
        self._rate = _RATE
        self._free_at = 0.0

    def wait(self, seconds: float = 0.0) -> float:
        """Seconds until everything that was promised, and so much more speech, has been made."""
        return self._rate * (seconds + sum(promise.owed for promise in self._promises))

    @contextmanager
    def promise(self, seconds: float) -> Iterator[Promise]:
        """Count on so much speech for the length of the block."""
        promise = Promise(seconds)
        self._promises.add(promise)
        try:
            yield promise
        finally:
            self._promises.discard(promise)

    @contextmanager
    def work(self, seconds: float) -> Iterator[None]:
        """The block has so much speech made: learn how long that takes now. The time in which
        other speech was made does not count. A block that was not waited for to the end teaches
        that it takes longer; one that fails teaches nothing."""
        asked = self._clock()
        try:
            yield
        except asyncio.CancelledError:
            self._learn(seconds, max(self._took(asked), self._rate * seconds))
            raise
        self._learn(seconds, self._took(asked))
        self._free_at = self._clock()

    def _took(self, asked: float) -> float:
        return self._clock() - max(asked, self._free_at)

    def _learn(self, seconds: float, took: float) -> None:
        if seconds > 0:
            self._rate += _WEIGHT * (took / seconds - self._rate)
