"""Transactions and other work on the storage's thread, awaited. Knows no tables."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection

from babblefish.errors import StorageError
from babblefish.storage.database import Database
from babblefish.storage.keeper import Keeper
from babblefish.storage.worker import Worker

T = TypeVar("T")


class Calls:
    """One is waited for ``seconds`` at most; then StorageError("slow")."""

    def __init__(self, keeper: Keeper, worker: Worker, seconds: float) -> None:
        self._keeper, self._worker, self._call_seconds = keeper, worker, seconds

    async def _read(self, query: Callable[[Connection], T]) -> T:
        return await self._transaction(query, write=False)

    async def _write(self, change: Callable[[Connection], T]) -> T:
        return await self._transaction(change, write=True)

    async def _transaction(self, work: Callable[[Connection], T], write: bool) -> T:
        def run(database: Database) -> T:
            with database.begin(write) as connection:
                return work(connection)

        return await self._call(run)

    async def _call(self, operation: Callable[[Database], T]) -> T:
        return await self._submit(partial(self._keeper.run, operation))

    async def _submit(self, job: Callable[[], T]) -> T:
        future = asyncio.wrap_future(self._worker.submit(job))
        try:  # wait_for would lose a cancellation that comes together with the answer
            async with asyncio.timeout(self._call_seconds):
                return await future
        except TimeoutError as error:
            raise StorageError(
                "slow", "The storage does not answer. Check the disk of the server, then try again."
            ) from error
