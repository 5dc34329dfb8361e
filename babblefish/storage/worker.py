"""One thread of its own for everything that may wait for a disk, with a bounded queue."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from babblefish.errors import StorageError


class Worker:
    """Runs submitted jobs in order, and ``tend`` whenever ``due`` says so and no job waits.

    ``due`` answers seconds from now, or None for never; ``tend`` must not raise.
    """

    def __init__(
        self, name: str, limit: int, tend: Callable[[], None], due: Callable[[], float | None],
        finish: Callable[[], None],
    ) -> None:  # fmt: skip
        self._limit, self._tend, self._due, self._finish = limit, tend, due, finish
        self._changed = threading.Condition()
        self._jobs: deque[tuple[Callable[[], Any], Future]] = deque()
        self._closing = False
        self.ended: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, job: Callable[[], Any]) -> Future:
        """Raises StorageError("busy" | "closed")."""
        future: Future = Future()
        with self._changed:
            if self._closing:
                raise StorageError("closed", "The storage is closed. Start the server again.")
            if len(self._jobs) >= self._limit:
                raise StorageError(
                    "busy", "The storage has too much to do. Try again in a few seconds."
                )
            self._jobs.append((job, future))
            self._changed.notify()
        return future

    def wake(self) -> None:
        """``due`` may say something else now."""
        with self._changed:
            self._changed.notify()

    def close(self) -> None:
        """Do what waits, finish, end the thread; ``ended`` tells when."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    def _run(self) -> None:
        while (job := self._next()) is not None:
            if job is _TEND:
                self._tend()
                continue
            work, future = job
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(work())
                except BaseException as error:
                    future.set_exception(error)
        try:
            self._finish()
        finally:
            self.ended.set_result(None)

    def _next(self) -> Any:
        with self._changed:
            while not self._jobs:
                if self._closing:
                    return None
                wait = self._due()
                if wait is not None and wait <= 0:
                    return _TEND
                self._changed.wait(wait)
            return self._jobs.popleft()


_TEND = object()
