"""Keeps the database going on the storage's thread: opens it, writes batches, gets over trouble.

Every method but ``health`` belongs to that thread. Knows neither tables nor asyncio.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    ProgrammingError,
    StatementError,
)

from babblefish.errors import StorageError
from babblefish.storage import transcripts
from babblefish.storage.database import Database
from babblefish.storage.outbox import Outbox
from babblefish.storage.records import StorageHealth
from babblefish.storage.trouble import code_of, trouble

_log = logging.getLogger(__name__)
T = TypeVar("T")
BATCH_SECONDS = 0.2
"""longest that a transcript line waits for company"""
BATCH_LINES = 500
KEEP_ASIDE_DAYS = 7
"""for an admin who wants to look at a damaged database: people's data is in it"""
_CHECK_SHARE = 50
"""times as long as a look at the database took is the pause after it"""
_BAD_VALUES = (
    DataError, IntegrityError, InterfaceError, ProgrammingError, ValueError, TypeError,
    OverflowError,
)  # fmt: skip
_ERASING = StorageError(
    "erasing",
    "It is deleted, but traces of it may still lie on the disk. BabbleFish goes on removing them "
    "and says here when that fails.",
)


class Keeper:
    """``retry``: seconds until the first try after trouble, and at most between two of them;
    ``check_seconds``: between two looks at a database that nobody uses."""

    def __init__(
        self, database: Database, outbox: Outbox, clock: Callable[[], float],
        retry: tuple[float, float] = (0.5, 10.0), check_seconds: float = 5.0,
    ) -> None:  # fmt: skip
        self._database, self._outbox, self._clock = database, outbox, clock
        self._retry, self._check_seconds = retry, check_seconds
        self._check_at = 0.0
        self._pause = retry[0]
        self._retry_at = 0.0
        self._trouble: StorageError | None = StorageError("starting", "The storage is starting.")
        self._set_aside: tuple[str, ...] = ()

    # --- seen by every thread -----------------------------------------------------------------

    @property
    def health(self) -> StorageHealth:
        problem, aside = self._trouble, self._set_aside
        code, message = (problem.code, problem.message) if problem else ("", "")
        if not problem and aside:
            code, message = "set_aside", self._aside_message()
        state = "degraded" if problem else "ok"
        return StorageHealth(state, code, message, len(self._outbox), self._outbox.dropped, aside)

    # --- the storage's thread -----------------------------------------------------------------

    def due(self) -> float:
        """Seconds until ``tend`` has something to do."""
        if self._trouble is not None:
            return self._retry_at - time.monotonic()
        age, check = self._outbox.age(), self._check_at - time.monotonic()
        return check if age is None else min(check, BATCH_SECONDS - age)

    def tend(self) -> None:
        """Write what waits, and get over trouble if that is possible by now. Never raises."""
        try:
            self._ready()
            self._write_waiting()
            if self._trouble is not None:
                self._database.probe()
            elif time.monotonic() >= self._check_at:
                self._check()
            self._finish_erasure()
        except Exception as error:
            self._note(error)
        else:
            self._recover()

    def run(self, operation: Callable[[Database], T]) -> T:
        """What ``operation`` returns. Raises StorageError, with the transaction undone, or
        StorageError("erasing") when it was done and its traces are still to be removed."""
        resting = not self._database.is_open and time.monotonic() < self._retry_at
        if self._trouble is not None and resting:
            raise self._trouble
        try:
            self._ready()
            self._write_waiting()
            due = self._database.erasure_due()
            result = operation(self._database)
            if self._set_aside:
                self._look_aside()
        except Exception as error:
            raise self._explain(error) from error
        try:
            if self._database.erasure_due() > due:
                self._finish_erasure()
        except Exception as error:
            self._note(error)
            raise _ERASING from error
        return result

    def discard_set_aside(self) -> None:
        """Remove damaged files for good."""
        self.run(lambda database: database.discard_set_aside())

    def close(self) -> None:
        self.tend()
        waiting = len(self._outbox)
        if waiting:
            self._outbox.lose(waiting)
            _log.warning("storage closes with %d transcript lines unwritten", waiting)
        self._database.release()

    def _ready(self) -> None:
        if self._database.is_open:
            if self._database.in_place():
                return
            self._database.close()
        thorough = self._trouble is not None and self._trouble.code == "corrupt"
        self._database.open(self._clock(), thorough)
        self._check_at = time.monotonic() + self._check_seconds
        self._look_aside()

    def _check(self) -> None:
        """Trouble is told within seconds, whether or not anybody uses the storage."""
        begun = time.monotonic()
        self._check_at = begun + self._check_seconds
        self._database.check()
        self._look_aside()
        self._check_at = max(self._check_at, begun + _CHECK_SHARE * (time.monotonic() - begun))

    def _look_aside(self) -> None:
        names = tuple(path.name for path in self._database.set_aside())
        new = not set(names) <= set(self._set_aside)
        self._set_aside = names
        if new:
            _log.warning("storage: %s", self._aside_message())

    def _aside_message(self) -> str:
        return (
            f"The database was damaged; it was set aside as {', '.join(self._set_aside)} in "
            f"{self._database.folder}, and a new one begun. Restore a backup, or discard it; "
            f"after {KEEP_ASIDE_DAYS} days it is deleted."
        )

    def _write_waiting(self) -> None:
        while self._outbox.age() is not None:
            batch = self._outbox.take(BATCH_LINES)
            try:
                with self._database.begin() as connection:
                    lost = transcripts.store(connection, batch.rooms, batch.lines)
            except BaseException:
                self._outbox.give_back(batch)
                raise
            self._outbox.lose(lost)

    def _finish_erasure(self) -> None:
        if self._database.erasure_due():
            self._database.erase_traces()
            self._look_aside()

    def _explain(self, error: Exception) -> StorageError:
        """The error to raise for a request; trouble of the storage as a whole is noted."""
        if code_of(error) is not None:
            return self._note(error)
        if isinstance(error, StorageError):
            return error
        if isinstance(error, _BAD_VALUES) or type(error) is StatementError:
            return StorageError("bad_value", "The storage cannot keep this value. Change it.")
        return self._note(error)

    def _note(self, error: Exception) -> StorageError:
        code = code_of(error) or "failed"
        problem = error if isinstance(error, StorageError) else None
        problem = problem or trouble(code, self._database.folder, _innermost(error))
        if self._trouble is None or self._trouble.code != problem.code:
            _log.warning("storage: %s", problem.message)
            self._pause = self._retry[0]
        self._trouble = problem
        self._retry_at = time.monotonic() + self._pause
        if code == "corrupt":
            self._retry_at = 0.0
        self._pause = min(2 * self._pause, self._retry[1])
        if code != "locked":  # whatever it was, a fresh look at the file is the cure
            self._database.close()
        return problem

    def _recover(self) -> None:
        if self._trouble is not None and self._trouble.code != "starting":
            lost = self._outbox.dropped
            _log.warning("storage works again; %d transcript lines were lost so far", lost)
        self._trouble = None
        self._pause = self._retry[0]


def _innermost(error: BaseException) -> BaseException:
    return error.orig if isinstance(error, DBAPIError) and error.orig else error
