"""What the laptop has promised to say, which of it is said next, and how long that will take.

Decisions without a clock, a thread or a model: whoever uses this holds a lock. First clauses come
before later ones, since nobody hears anything before them; what waits at the same moment is said
together as far as the device gains by it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from babblefish.accelerator.reference_voices import Reference
from babblefish.accelerator_protocol import ClauseSpoken
from babblefish.errors import SynthesisError

_UNEVEN = 1.5
"""a batch takes as long as its longest row for each: others may be so many times as long"""
_RECENT = 0.3
"""weight of the latest measurement"""


@dataclass(eq=False, slots=True)
class Request:
    id: str
    speaker_name: str
    reference: Reference
    language: str
    checkpoint: str
    """key"""
    arrived: float
    """seconds, of the caller's clock"""
    begin_by: float
    """nobody waits for the first clause after this"""
    tell: Callable[[ClauseSpoken | SynthesisError], None]
    """called on the synthesis thread, clause after clause"""
    clauses: int
    begun: float | None = None
    parts: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)
    """(clause, piece) → (n,) float32, until the clause is whole"""
    told: int = 0
    """clauses that were sent off"""
    done: dict[int, ClauseSpoken] = field(default_factory=dict)
    """those that wait for an earlier one"""
    over: bool = False
    """answered, failed, or nobody waits any more"""


@dataclass(eq=False, slots=True)
class Job:
    """A clause, or a piece of one that is too long to be said in one go."""

    request: Request
    clause: int
    text: str
    """as ``text.readable`` makes it"""
    new_frames: int
    seed: int
    attempt: int = 0
    piece: int = 0
    pieces: int = 1

    @property
    def frames(self) -> int:
        """reference and new speech"""
        return len(self.request.reference.mel) + self.new_frames

    @property
    def urgency(self) -> tuple[int, int, float, int]:
        return (min(1, self.clause), self.clause, self.request.arrived, self.piece)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the device takes at once."""

    rows: int
    frames: int
    """of all rows, each as long as the longest"""

    def halved(self, rows: int) -> Limits:
        """After ``rows`` were too many."""
        return Limits(max(1, rows // 2), self.frames)


class Schedule:
    def __init__(self) -> None:
        self._jobs: list[Job] = []

    def add(self, jobs: Sequence[Job]) -> None:
        self._jobs += jobs

    def take(self, limits: Limits) -> list[Job]:
        """What to say next, together: at least one job, none if none waits."""
        self._jobs = [job for job in self._jobs if not job.request.over]
        if not self._jobs:
            return []
        self._jobs.sort(key=lambda job: job.urgency)
        head, longest = self._jobs[0], self._jobs[0].frames
        batch = [head]
        for job in self._jobs[1:]:
            fits = max(longest, job.frames) * (len(batch) + 1) <= limits.frames
            even = job.frames <= head.frames * _UNEVEN
            alike = job.request.checkpoint == head.request.checkpoint
            alike = alike and min(1, job.clause) == min(1, head.clause)
            if len(batch) < limits.rows and fits and even and alike:
                batch.append(job)
                longest = max(longest, job.frames)
        self._jobs = [job for job in self._jobs if job not in batch]
        return batch

    def drop(self, request: Request) -> None:
        self._jobs = [job for job in self._jobs if job.request is not request]

    @property
    def jobs(self) -> list[Job]:
        """that somebody waits for"""
        return [job for job in self._jobs if not job.request.over]


class Figures:
    """What work took of late."""

    def __init__(self) -> None:
        self.real_time_factor: float | None = None
        self.first_clause_s: float | None = None
        self.seconds_per_frame: float | None = None

    def batch(self, frames: int, seconds: float, spoken: float) -> None:
        """frames: of all rows; spoken: seconds of speech that came of it."""
        if frames:
            self.seconds_per_frame = _mixed(self.seconds_per_frame, seconds / frames)
        if spoken > 0:
            self.real_time_factor = _mixed(self.real_time_factor, max(1e-4, seconds / spoken))

    def first_clause(self, seconds: float) -> None:
        self.first_clause_s = _mixed(self.first_clause_s, seconds)

    def seconds(self, jobs: Sequence[Job]) -> float:
        """That these jobs will take."""
        return sum(job.frames for job in jobs) * (self.seconds_per_frame or 0.0)


def _mixed(before: float | None, now: float) -> float:
    return now if before is None else before + _RECENT * (now - before)
