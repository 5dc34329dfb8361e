"""One of several stages that share their processes, as a pool of its own.

Knows which part of the stage it is, and nothing of processes.
"""

from __future__ import annotations

from typing import Any

from babblefish.engine.workers import PoolStats, WorkerPool


class PoolPart:
    """Is called like the pool whose processes hold it."""

    def __init__(self, pool: WorkerPool, part: str) -> None:
        self.pool, self._part = pool, part

    @property
    def name(self) -> str:
        return self.pool.name

    @property
    def stats(self) -> PoolStats:
        """Of the whole pool."""
        return self.pool.stats

    @property
    def capabilities(self) -> Any:
        return self.pool.capabilities.parts[self._part]

    async def call(self, method: str, *args: Any, **options: Any) -> Any:
        """See ``WorkerPool.call``."""
        return await self.pool.call(f"{self._part}.{method}", *args, **options)
