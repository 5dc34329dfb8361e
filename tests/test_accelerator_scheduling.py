"""What the laptop says next, and together; how many steps it takes."""

from __future__ import annotations

import pytest
import torch

from babblefish.accelerator.networks import STEPS, steps_for
from babblefish.accelerator.reference_voices import Reference
from babblefish.accelerator.scheduling import Figures, Job, Limits, Request, Schedule


def request(name: str, arrived: float, checkpoint: str = "base", clauses: int = 3) -> Request:
    reference = Reference(name, "0", torch.zeros(100, 100), "words.", 14.0)
    return Request(name, name, reference, "en", checkpoint, arrived, 99.0, print, clauses)


def jobs(of: Request, frames: int = 100) -> list[Job]:
    return [Job(of, clause, "text", frames, 0) for clause in range(of.clauses)]


def taken(schedule: Schedule, limits: Limits) -> list[list[str]]:
    batches = []
    while batch := schedule.take(limits):
        batches.append([f"{job.request.id}{job.clause}" for job in batch])
    return batches


def test_first_clauses_come_before_later_ones_and_in_the_order_of_arrival():
    schedule = Schedule()
    for name, arrived in (("a", 2.0), ("b", 1.0), ("c", 3.0)):
        schedule.add(jobs(request(name, arrived)))
    assert taken(schedule, Limits(1, 9999)) == [
        ["b0"], ["a0"], ["c0"], ["b1"], ["a1"], ["c1"], ["b2"], ["a2"], ["c2"],
    ]  # fmt: skip


def test_a_batch_is_of_one_checkpoint_even_and_within_its_limits():
    schedule = Schedule()
    schedule.add(jobs(request("a", 1.0, clauses=1)))
    schedule.add(jobs(request("b", 2.0, "fr", clauses=1)))
    schedule.add(jobs(request("c", 3.0, clauses=1), 900))
    schedule.add(jobs(request("d", 4.0, clauses=2)))
    batches = taken(schedule, Limits(4, 9999))
    assert batches == [["a0", "d0"], ["b0"], ["c0"], ["d1"]]
    for name in "efgh":
        schedule.add(jobs(request(name, 1.0, clauses=1)))
    assert taken(schedule, Limits(4, 450)) == [["e0", "f0"], ["g0", "h0"]]


def test_what_nobody_waits_for_is_not_taken():
    schedule, gone, kept = Schedule(), request("a", 1.0), request("b", 2.0, clauses=1)
    schedule.add([*jobs(gone), *jobs(kept)])
    gone.over = True
    assert len(schedule.jobs) == 1 and taken(schedule, Limits(8, 9999)) == [["b0"]]


def test_one_job_is_taken_however_long_it_is():
    schedule = Schedule()
    schedule.add(jobs(request("a", 1.0, clauses=1), 5000))
    assert taken(schedule, Limits(8, 100)) == [["a0"]]


def test_figures_follow_what_was_measured_of_late():
    figures, work = Figures(), jobs(request("a", 1.0, clauses=2))
    assert figures.seconds(work) == 0 and figures.real_time_factor is None
    for _ in range(30):
        figures.batch(400, 2.0, 1.0)
    assert figures.seconds(work) == pytest.approx(2.0)
    assert figures.real_time_factor == pytest.approx(2.0)
    figures.batch(400, 1.0, 1.0)
    assert 1.0 < figures.real_time_factor < 2.0


def test_steps_are_as_many_as_a_first_clause_has_time_for():
    assert steps_for(1e-9) == max(STEPS) and steps_for(1.0) == min(STEPS) == 7
    chosen = [steps_for(2.0**-power) for power in range(30)]
    assert chosen == sorted(chosen) and set(chosen) >= {7, 16, 32}
