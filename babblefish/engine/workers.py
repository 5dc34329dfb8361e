"""Where blocking inference meets asyncio: pools of worker processes with priorities.

Models never run in the server's process: there, their threads and the interpreter lock would
starve the 20 ms audio clock. A ``WorkerPool`` owns the processes of one stage; callers await
``call``. Jobs wait in a bounded priority queue on this side and go to a process one at a time,
so that an urgent job waits for at most one other, which is given up if it is a draft. A process
that dies or hangs is replaced and its job fails with a WorkerError. Pools know no rooms and no
messages.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import structlog

from babblefish.engine.stages import StageSpec
from babblefish.engine.worker_process import BACKOFF, Job, WorkerProcess
from babblefish.errors import BabbleFishError, WorkerError

log = structlog.get_logger(__name__)


class Priority(IntEnum):
    """Smaller is served first; within one, what is needed first."""

    NOW = 0
    """what somebody is waiting to hear or read"""
    NEXT = 1
    """what will probably be wanted soon"""
    DRAFT = 2
    """partial captions: worthless when late, dropped first"""
    BATCH = 3
    """files and other work without a listener"""


@dataclass(slots=True)
class PoolStats:
    calls: int = 0
    errors: int = 0
    restarts: int = 0
    dropped: int = 0
    busy_seconds: float = 0.0


class WorkerPool:
    """The processes of one stage. Use from one event loop; ``start`` before ``call``."""

    def __init__(
        self, name: str, spec: StageSpec, *, processes: int = 1, threads: int = 1,
        nice: int = 5, max_queue: int = 64,
    ) -> None:  # fmt: skip
        self.name, self.spec, self.threads, self.nice = name, spec, threads, nice
        self.capabilities: Any = None
        self.stats = PoolStats()
        self._count, self._max_queue = processes, max_queue
        self._queue: list[Job] = []
        self._order = itertools.count()
        self._processes: list[WorkerProcess] = []
        self._idle: list[WorkerProcess] = []
        self._timers: dict[WorkerProcess, asyncio.TimerHandle] = {}
        self._broken: BabbleFishError | None = None
        self._closed = False
        self._loop: asyncio.AbstractEventLoop
        """set by ``start``, like ``_ready``"""
        self._ready: asyncio.Future[None]
        self._started = False

    @property
    def depth(self) -> int:
        """Jobs waiting."""
        return len(self._queue)

    @property
    def worked(self) -> float:
        """Seconds of work so far, of all processes, including what is being done now."""
        now = time.monotonic()
        running = [now - p.current[0].begun for p in self._processes if p.current]
        return self.stats.busy_seconds + sum(running)

    @property
    def idle(self) -> bool:
        """Whether a call made now would be served at once."""
        return bool(self._idle) and not self._queue

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._processes]

    async def start(self) -> None:
        """Start the processes and wait until one serves.

        Raises the error that building the stage raised (WeightsError, …).
        """
        self._loop = asyncio.get_running_loop()
        self._ready = self._loop.create_future()
        self._started = True
        self._processes = [WorkerProcess(self, i) for i in range(self._count)]
        await asyncio.shield(self._ready)

    async def close(self) -> None:
        """Kill the processes; everything that waits fails with WorkerError("closed")."""
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        self._fail_all(WorkerError("closed", f"The {self.name} workers were shut down."))
        for process in self._processes:
            process.close()
        while any(process.alive for process in self._processes):
            await asyncio.sleep(0.01)

    async def call(
        self, method: str, *args: Any, priority: Priority = Priority.NOW, timeout: float = 30.0,
        deadline: float | None = None, batch: int = 1,
    ) -> Any:  # fmt: skip
        """Run ``stage.method(*args)`` in a worker process.

        deadline: when the answer is needed, on ``time.monotonic``'s clock; now by default. Within
        a priority, the earliest is served first.
        timeout: seconds of work (not of waiting) after which the process counts as hung.
        batch: where more than one such call waits, up to so many are taken at once, by
        ``stage.method_batch`` with a list of their arguments; it returns a list of what each of
        them gets, errors included.
        Raises what the stage raised, or WorkerError("worker_died" | "worker_hung" |
        "overloaded" | "closed" | "stage_crashed"), and for a draft also "superseded".
        Cancelling takes the job out of the queue; one that already runs is given up if the stage
        can (see ``interruption``), else finished and its answer dropped.
        """
        if self._broken is not None:
            raise self._broken
        if self._closed or not self._started:
            raise WorkerError("closed", f"The {self.name} workers are not running.")
        due = time.monotonic() if deadline is None else deadline
        job = Job(
            (int(priority), due, next(self._order)), method, args, timeout,
            self._loop.create_future(), batch,
        )  # fmt: skip
        self._admit(job)
        self._dispatch()
        if priority is Priority.NOW and job in self._queue:
            self._interrupt_draft()
        try:
            return await job.done
        finally:
            if job in self._queue:
                self._queue.remove(job)
                heapq.heapify(self._queue)
            elif job.done.cancelled():
                self._interrupt(job)

    def _admit(self, job: Job) -> None:
        heapq.heappush(self._queue, job)
        if len(self._queue) <= self._max_queue:
            return
        least = max(self._queue)
        self._queue.remove(least)
        heapq.heapify(self._queue)
        self.stats.dropped += 1
        if not least.done.done():
            least.done.set_exception(
                WorkerError("overloaded", f"Too much is waiting for {self.name}; try again.")
            )

    def _dispatch(self) -> None:
        while self._idle and self._queue:
            job = heapq.heappop(self._queue)
            if job.done.done():
                continue
            process = self._idle.pop()
            jobs = [job, *self._companions(job)]
            timeout = sum(job.timeout for job in jobs)
            self._timers[process] = self._loop.call_later(timeout, self._on_hang, process, timeout)
            process.give(jobs)

    def _companions(self, first: Job) -> list[Job]:
        """Jobs that go to a process together with ``first``; taken out of the queue."""
        alike = [
            job for job in sorted(self._queue)
            if job.method == first.method and job.key[0] == first.key[0] and not job.done.done()
        ][: first.batch - 1]  # fmt: skip
        if alike:
            self._queue = [job for job in self._queue if job not in alike]
            heapq.heapify(self._queue)
        return alike

    def _interrupt_draft(self) -> None:
        """Something urgent has to wait: let one process give up a draft, if any makes one."""
        running = [process.current[0] for process in self._processes if process.current]
        drafts = [job for job in running if job.key[0] == Priority.DRAFT and not job.interrupted]
        if drafts:
            self._interrupt(drafts[0])

    def _interrupt(self, job: Job) -> None:
        for process in self._processes:
            if process.current == [job]:  # others may wait for what it shares a batch with
                job.interrupted = True
                process.interrupt()

    def _post(self, callback: Any, *args: Any) -> None:
        """Run ``callback`` on the event loop; called from the processes' threads."""
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            self._closed = True  # the loop is gone: nobody waits any more

    def _on_ready(self, process: WorkerProcess, capabilities: Any) -> None:
        self.capabilities = capabilities
        self._free(process)
        if not self._ready.done():
            self._ready.set_result(None)

    def _free(self, process: WorkerProcess) -> None:
        process.current = []
        if timer := self._timers.pop(process, None):
            timer.cancel()
        if not self._closed and process not in self._idle:
            self._idle.append(process)
        self._dispatch()

    def _on_answer(self, process: WorkerProcess, answers: list[Any], seconds: float) -> None:
        """answers: one for each of the process's jobs; those that failed have an error."""
        self.stats.calls += len(process.current)
        self.stats.busy_seconds += seconds
        for job, answer in zip(process.current, answers, strict=True):
            failed = isinstance(answer, BabbleFishError)
            self.stats.errors += failed
            if not job.done.done():
                if failed:
                    job.done.set_exception(answer)
                else:
                    job.done.set_result(answer)
        self._free(process)

    def _on_hang(self, process: WorkerProcess, timeout: float) -> None:
        self._timers.pop(process, None)
        _fail(
            process.current,
            WorkerError("worker_hung", f"{self.name} took over {timeout:g} s; restarted."),
        )
        process.kill()

    def _on_death(self, process: WorkerProcess, failures: int) -> None:
        jobs, process.current = process.current, []
        if timer := self._timers.pop(process, None):
            timer.cancel()
        if process in self._idle:
            self._idle.remove(process)
        self.stats.restarts += 1
        log.warning("worker died; starting another", pool=self.name, failures=failures)
        _fail(
            jobs,
            WorkerError("worker_died", f"The {self.name} process died; a new one is starting."),
        )
        if failures >= len(BACKOFF) and not self._ready.done():
            self._on_broken(
                process,
                WorkerError(
                    "worker_start", f"The {self.name} process dies at every start; see the log."
                ),
            )

    def _on_broken(self, process: WorkerProcess, error: BabbleFishError) -> None:
        """The stage cannot be built: starting again would not help."""
        if not self._ready.done():
            self._ready.set_exception(error)
        self._processes.remove(process)
        if not self._processes:
            self._broken = error
            self._fail_all(error)

    def _fail_all(self, error: BabbleFishError) -> None:
        waiting, self._queue = self._queue, []
        _fail([*waiting, *(job for p in self._processes for job in p.current)], error)
        if self._started and not self._ready.done():
            self._ready.set_exception(error)
            self._ready.exception()  # start() may have been cancelled; do not warn


class PoolPart:
    """One of several stages that a pool's processes hold, to be called like a pool of its own."""

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


def _fail(jobs: Sequence[Job], error: BabbleFishError) -> None:
    for job in jobs:
        if not job.done.done():
            job.done.set_exception(error)
