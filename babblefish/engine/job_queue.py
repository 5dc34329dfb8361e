"""Jobs on their way to a worker process: what is urgent first, and never more than can wait.

Knows no processes and no event loop beyond each job's future.
"""

from __future__ import annotations

import asyncio
import heapq
from dataclasses import dataclass, field
from enum import IntEnum


class Priority(IntEnum):
    """Smaller is served first; within one, what is needed first."""

    NOW = 0
    """what somebody is waiting to hear or read"""
    NEXT = 1
    """what will probably be wanted soon"""
    DRAFT = 2
    """partial captions: worthless when late, dropped first"""
    PROGRAM = 3
    """what is said where only programs take part: is stopped for what people wait for, and done
    again at once"""
    BATCH = 4
    """files and other work without a listener: begins where a process is left for what is urgent,
    is stopped for it and done again later"""


def stopped_for(priority: Priority) -> Priority:
    """The most urgent priority that is stopped in all pools for such work. Partial captions keep
    programs' work from beginning, but are not worth that it is done twice."""
    return Priority.PROGRAM if priority <= Priority.NEXT else Priority.BATCH


@dataclass(order=True, slots=True)
class Job:
    key: tuple[int, float, int]
    """priority, deadline, order of arrival"""
    method: str = field(compare=False)
    args: tuple = field(compare=False)
    timeout: float = field(compare=False)
    done: asyncio.Future = field(compare=False)
    batch: int = field(default=1, compare=False)
    """how many of its kind may be done at once"""
    begun: float = field(default=0.0, compare=False)
    interrupted: bool = field(default=False, compare=False)
    gave_way: int = field(default=0, compare=False)
    """how often it was stopped for something more urgent, to be done again"""
    let_through: bool = field(default=False, compare=False)
    """whether it goes on although rooms work elsewhere"""

    @property
    def patient(self) -> bool:
        """Whether it has no listener."""
        return self.key[0] == Priority.BATCH

    @property
    def yields(self) -> bool:
        """Whether it is stopped for something more urgent."""
        return self.key[0] >= Priority.PROGRAM

    def stands_back(self, other: Job) -> bool:
        """Whether it is stopped for ``other`` where that waits for the same process."""
        return self.yields and self.key[0] > other.key[0]


class JobQueue:
    """most: jobs that wait; half as many of them without a listener."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._jobs: list[Job] = []

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, job: Job) -> bool:
        return job in self._jobs

    @property
    def first(self) -> Job:
        """The most urgent; the queue must not be empty."""
        return self._jobs[0]

    def push(self, job: Job) -> None:
        heapq.heappush(self._jobs, job)

    def pop(self) -> Job:
        """Take ``first`` out."""
        return heapq.heappop(self._jobs)

    def remove(self, job: Job) -> None:
        self._jobs.remove(job)
        heapq.heapify(self._jobs)

    def surplus(self) -> Job | None:
        """The least urgent, taken out, where too many wait."""
        patient = sum(job.patient for job in self._jobs)
        if len(self._jobs) <= self._most and patient <= max(1, self._most // 2):
            return None
        least = max(self._jobs)
        self.remove(least)
        return least

    def companions(self, first: Job) -> list[Job]:
        """Jobs that go to a process together with ``first``, taken out."""
        alike = [
            job for job in sorted(self._jobs)
            if job.method == first.method and job.key[0] == first.key[0] and not job.done.done()
        ][: first.batch - 1]  # fmt: skip
        if alike:
            self._jobs = [job for job in self._jobs if job not in alike]
            heapq.heapify(self._jobs)
        return alike

    def empty(self) -> list[Job]:
        """All of them, taken out."""
        jobs, self._jobs = self._jobs, []
        return jobs
