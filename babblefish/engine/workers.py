"""Where blocking inference meets asyncio: pools of worker processes with priorities.

Models never run in the server's process: there, their threads and the interpreter lock would
starve the 20 ms audio clock. A ``WorkerPool`` owns the processes of one stage; callers await
``call``. Jobs wait in a bounded priority queue on this side and go to a process one at a time,
so that an urgent job waits for at most one other, which is given up if it is a draft, and stopped
and done again later if it is a program's (``Priority.PROGRAM`` and ``BATCH``; ``precedence.py``). A
process that dies or hangs is replaced and its job fails with a WorkerError. Pools know no rooms and
no messages.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from babblefish.engine.job_queue import Job, JobQueue, Priority
from babblefish.engine.precedence import Precedence
from babblefish.engine.stages import StageSpec
from babblefish.engine.worker_process import BACKOFF, WorkerProcess
from babblefish.errors import BabbleFishError, WorkerError

log = structlog.get_logger(__name__)


MOST_STOPS = {Priority.PROGRAM: 4, Priority.BATCH: 20}
"""times that a job that yields is stopped; then it is done to its end. So at most one in
so many urgent jobs has to wait for one"""
_HEAVY = 0.05
"""mean seconds of a job from which a pool's work rests for other pools' more urgent work"""
_LEARNING = 0.2
_ASK_AGAIN = 0.05
"""seconds after which a process is asked once more to leave its job, then after twice as many"""


@dataclass(slots=True)
class PoolStats:
    calls: int = 0
    errors: int = 0
    restarts: int = 0
    dropped: int = 0
    gave_way: int = 0
    """times that a job was stopped for a more urgent one, to be done again"""
    busy_seconds: float = 0.0


class WorkerPool:
    """The processes of one stage. Use from one event loop; ``start`` before ``call``."""

    def __init__(
        self, name: str, spec: StageSpec, *, processes: int = 1, threads: int = 1,
        nice: int = 5, max_queue: int = 64, precedence: Precedence | None = None,
    ) -> None:  # fmt: skip
        """max_queue: jobs that wait; half as many without a listener. precedence: where the cores
        are shared with other pools."""
        self.name, self.spec, self.threads, self.nice = name, spec, threads, nice
        self.capabilities: Any = None
        self.stats = PoolStats()
        self._count = processes
        self._precedence = precedence
        if precedence is not None:
            precedence.join(self)
        self._job_seconds = 0.0
        """of a job, lately"""
        self._behind_seconds = {Priority.PROGRAM: 0.0, Priority.BATCH: 0.0}
        self._queue = JobQueue(max_queue)
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

    def worked_by(self, least: Priority) -> float:
        """Seconds of work so far on what is at least as urgent, of all processes, including what is
        being done now."""
        now = time.monotonic()
        running = [now - job.begun for job in self._running() if job.key[0] <= least]
        behind = sum(spent for priority, spent in self._behind_seconds.items() if priority > least)
        return self.stats.busy_seconds - behind + sum(running)

    @property
    def idle(self) -> bool:
        """Whether an urgent call made now would be served at once."""
        urgent = bool(self._queue) and not self._queue.first.yields
        return not urgent and (bool(self._idle) or any(map(_may_stop, self._running())))

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
        "overloaded" comes at once, or when more urgent jobs need the place in the queue; a job
        without a listener never takes the place of one with a listener.
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
        if self._precedence is None:
            return await self._answer(job)
        with self._precedence.work(priority):
            return await self._answer(job)

    async def _answer(self, job: Job) -> Any:
        self._admit(job)
        self._dispatch()
        if job in self._queue:
            self._make_room(job)
        try:
            return await job.done
        finally:
            if job in self._queue:
                self._queue.remove(job)
            elif job.done.cancelled():
                self._interrupt(job)

    def _admit(self, job: Job) -> None:
        self._queue.push(job)
        least = self._queue.surplus()
        if least is None:
            return
        self.stats.dropped += 1
        if not least.done.done():
            least.done.set_exception(
                WorkerError("overloaded", f"Too much is waiting for {self.name}; try again.")
            )

    def _dispatch(self) -> None:
        while self._idle and self._queue:
            job = self._queue.first
            if not job.done.done() and not self._may_begin(job):
                return
            self._queue.pop()
            if job.done.done():
                continue
            process = self._idle.pop()
            jobs = [job, *self._queue.companions(job)]
            timeout = sum(job.timeout for job in jobs)
            self._timers[process] = self._loop.call_later(timeout, self._on_hang, process, timeout)
            process.give(jobs)

    def _may_begin(self, job: Job) -> bool:
        """Not where it would take the last process that is left for those who have a listener, or
        the cores that more urgent work needs."""
        if not job.yields:
            return True
        patient = sum(other.patient for other in self._running())
        if job.patient and patient >= max(1, self._count - 1):
            return False
        if self._precedence is None or self._job_seconds < _HEAVY:
            return True
        answer = self._precedence.ask(Priority(job.key[0]))
        job.let_through = answer is None
        return answer is not False

    def _running(self) -> list[Job]:
        """The first job of each process that works; others that it does at once are like it."""
        return [process.current[0] for process in self._processes if process.current]

    def _make_room(self, job: Job) -> None:
        """A job has to wait: let one process stop what stands back for it, or for something urgent
        give up a draft, if any makes one."""
        if job.patient:
            return
        running = [other for other in self._running() if not other.interrupted]
        behind = [other for other in running if _may_stop(other) and other.stands_back(job)]
        drafts = [other for other in running if other.key[0] == Priority.DRAFT]
        if behind:
            self._stop(max(behind))
        elif drafts and job.key[0] == Priority.NOW:
            self._interrupt(drafts[0])

    def give_way(self, least: Priority) -> None:
        """See ``precedence.Yielding``."""
        if self._job_seconds >= _HEAVY:
            for job in self._running():
                if _may_stop(job) and job.key[0] >= least and not job.let_through:
                    self._stop(job)

    def go_on(self) -> None:
        """See ``precedence.Yielding``."""
        if not self._closed:
            self._dispatch()

    def _stop(self, first: Job) -> None:
        """Ask the process that does ``first``, and what it does together with it, to leave it."""
        for process in self._processes:
            if process.current and process.current[0] is first:
                self._leave(process, process.current)

    def _interrupt(self, job: Job) -> None:
        for process in self._processes:
            if process.current == [job]:  # others may wait for what it shares a batch with
                self._leave(process, process.current)

    def _leave(self, process: WorkerProcess, jobs: list[Job], again: float = _ASK_AGAIN) -> None:
        """Ask until it does: a process that has yet to begin with its jobs does not hear it."""
        if process.current is jobs and not self._closed:
            for job in jobs:
                job.interrupted = True
            process.interrupt()
            self._loop.call_later(again, self._leave, process, jobs, 2 * again)

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
        self.stats.busy_seconds += seconds
        priority = Priority(process.current[0].key[0])
        if priority in self._behind_seconds:
            self._behind_seconds[priority] += seconds
        if _again(process.current[0], answers[0]):
            self._later(process)
            return
        self._job_seconds += _LEARNING * (seconds - self._job_seconds)
        self.stats.calls += len(process.current)
        for job, answer in zip(process.current, answers, strict=True):
            failed = isinstance(answer, BabbleFishError)
            self.stats.errors += failed
            if not job.done.done():
                if failed:
                    job.done.set_exception(answer)
                else:
                    job.done.set_result(answer)
        self._free(process)

    def _later(self, process: WorkerProcess) -> None:
        """What it stopped for something more urgent waits again, before others of its kind."""
        for job in process.current:
            job.interrupted = job.let_through = False
            job.gave_way += 1
            if not job.done.done():
                self.stats.gave_way += 1
                self._queue.push(job)
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
        _fail([*self._queue.empty(), *(job for p in self._processes for job in p.current)], error)
        if self._started and not self._ready.done():
            self._ready.set_exception(error)
            self._ready.exception()  # start() may have been cancelled; do not warn


def _may_stop(job: Job) -> bool:
    """Whether it is of the kind that is stopped, and was not too often."""
    return job.yields and job.gave_way < MOST_STOPS[Priority(job.key[0])] and not job.interrupted


def _again(job: Job, answer: Any) -> bool:
    """Whether it was stopped, and did."""
    stopped = isinstance(answer, WorkerError) and answer.code == "superseded"
    return stopped and job.interrupted and job.yields


def _fail(jobs: Sequence[Job], error: BabbleFishError) -> None:
    for job in jobs:
        if not job.done.done():
            job.done.set_exception(error)
