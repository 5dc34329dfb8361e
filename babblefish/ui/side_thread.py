"""One thread beside the event loop for short jobs that compute or wait for a disk, bounded.

Knows nothing of what the jobs do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from babblefish.errors import SignInError, StorageError
from babblefish.storage.worker import Worker

T = TypeVar("T")


class SideThread:
    """At most ``limit`` jobs wait; one takes ``seconds`` at most, or is not waited for."""

    def __init__(self, name: str, limit: int, seconds: float) -> None:
        self._seconds = seconds
        self._worker = Worker(name, limit, lambda: None, lambda: None, lambda: None)
        self._started = False

    async def run(self, job: Callable[[], T]) -> T:
        """What ``job`` returns or raises. Raises SignInError("busy" | "slow")."""
        if not self._started:
            self._started = True
            self._worker.start()
        try:
            future = self._worker.submit(job)
        except StorageError as error:
            raise SignInError(
                "busy", "Too many people sign in at once. Try again in a few seconds."
            ) from error
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self._seconds)
        except TimeoutError as error:
            raise SignInError(
                "slow", "The server is too slow at the moment. Try again in a few seconds."
            ) from error
