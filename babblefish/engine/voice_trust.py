"""Whose own voice has come through: only those are waited for.

Nobody is kept waiting for a laptop that never answered. A voice is tried out beside the neutral
one, unheard, and is known to work when all of it came in time; one that was waited for in vain is
tried out again first.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from babblefish.engine.clone_stream import CloneStream

_WITHIN_S = 30.0
"""for the first clause of a try: the laptop may have to get a voice and weights first"""
_NOT_AGAIN_S = 10.0
"""after a try that told that it is too slow, or needless"""


class VoiceTrust:
    """Of a server. For the event loop; ``close`` at the end."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._proven: set[str] = set()
        self._tries: dict[str, asyncio.Task] = {}
        self._not_before: dict[str, float] = {}
        self._tasks: set[asyncio.Task] = set()

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs until it is done or the server stops."""
        task = asyncio.create_task(work, name="own voice")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @property
    def anybody(self) -> bool:
        """Whether any voice has come through."""
        return bool(self._proven)

    def proven(self, speaker: str) -> bool:
        return speaker in self._proven

    def learn(self, speaker: str, good: bool) -> None:
        """It came in time, or was waited for in vain."""
        if good:
            self._proven.add(speaker)
        else:
            self._proven.discard(speaker)

    def forget(self, speaker: str) -> None:
        self._proven.discard(speaker)
        self._not_before.pop(speaker, None)
        if task := self._tries.pop(speaker, None):
            task.cancel()

    def try_out(self, speaker: str, begin: Callable[[float], CloneStream]) -> None:
        """Unless that goes on already, or was done just now. begin: seconds that the first clause
        may take → a stream."""
        running = self._tries.get(speaker)
        if (running and not running.done()) or self._clock() < self._not_before.get(speaker, 0.0):
            return
        self._tries[speaker] = self.start(self._try(speaker, begin(_WITHIN_S)))

    async def _try(self, speaker: str, stream: CloneStream) -> None:
        try:
            if await stream.finished():
                if self.proven(speaker) or not stream.kept_up:
                    self._not_before[speaker] = self._clock() + _NOT_AGAIN_S
                self.learn(speaker, stream.kept_up)
        finally:
            stream.close()
