"""A quarter of an hour of a meeting, made up: what ``Watch`` would have seen."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from prometheus_client import CollectorRegistry

from babblefish.engine.cloning_messages import LaptopFigures, LaptopState
from babblefish.metrics import Durations
from babblefish.ui.reading import Cost, PoolReading, Reading
from babblefish.ui.watch import EVERY_S, KEPT_S, Sample

POOLS = ("vad", "recogniser", "translator", "drafter", "synthesiser-0", "synthesiser-1", "speaker")
QUIET = Reading(
    profile="compact", ready=True, strain=0.3, rooms=1, connected=0, away=0, at_doors=0,
    speaking=0, calls=0, lag_median=0.0, lag_worst=0.0, frames_waiting=0, utterances=0,
    pools=(), laptops=(), storage_ok=True, storage_message="", storage_waiting=0, storage_lost=0,
    server=Cost(10.0, 310_000_000), models=Cost(100.0, 1_900_000_000), open_files=60, threads=30,
)  # fmt: skip
SAMPLE = Sample(1000.0, QUIET, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0.0)


def pools(restarts: int = 0, busy: float = 100.0) -> tuple[PoolReading, ...]:
    """restarts: of the recogniser."""
    return tuple(
        PoolReading(
            name, int(name == "translator"), 100 * (number + 2), 0,
            restarts if name == "recogniser" else 0, 0, busy / (number + 1), (1000 + number,),
        )
        for number, name in enumerate(POOLS)
    )  # fmt: skip


def laptop(condition: str = "away", name: str = "Marie's laptop") -> LaptopState:
    message = "Not reachable; everybody is heard in the neutral voice until it is back."
    return LaptopState(
        "a1", name, condition, message, condition == "ready", "https", None, None,
        LaptopFigures(), 0,
    )  # fmt: skip


def meeting(trouble: bool = False) -> list[Sample]:
    """Up to 14 people in two rooms; seeded."""
    rng, samples = np.random.default_rng(7), []
    failed = dropped = 0
    for number in range(round(KEPT_S / EVERY_S) + 1):
        share = number * EVERY_S / KEPT_S
        people = round(14 / (1 + math.exp(-12 * (share - 0.3))))
        speaking = int(rng.random() < 0.75) + int(rng.random() < 0.2) if people > 1 else 0
        load = speaking * 0.55 + 0.1 * rng.random()
        if trouble and share > 0.7:
            failed += int(rng.random() < 0.15)
            dropped += int(rng.random() < 0.1)
        lag = max(0.0, 0.6 * speaking + 0.5 * rng.standard_normal()) * (4 if trouble else 1)
        reading = replace(
            QUIET, strain=1.7 if trouble else 0.6, rooms=2, connected=people, away=int(trouble),
            speaking=speaking, lag_worst=lag if people > 1 else 0.0, lag_median=lag / 2,
            pools=pools(2 if trouble and share > 0.8 else 0, 500 * share),
            utterances=speaking, laptops=(laptop(),) if trouble else (),
            server=Cost(10.0, int(3.1e8 + 4e6 * people)),
            models=Cost(100.0, int(1.9e9 + 2e7 * rng.random())),
        )  # fmt: skip
        samples.append(Sample(
            1000.0 + number * EVERY_S, reading, 0.2 + 0.01 * people, load, 0.002, failed, dropped,
            2 if trouble and share > 0.8 else 0, 40.0 * number,
        ))  # fmt: skip
    return samples


def spoken(sentences: int = 120, slow: float = 1.0) -> tuple[Durations, Durations]:
    """(turns, stages) of as many sentences; ``slow``: times the usual."""
    now, rng = [0.0], np.random.default_rng(11)
    turns, stages = (
        Durations(name, "Test.", "of", CollectorRegistry(), clock=lambda: now[0])
        for name in ("turn", "stage")
    )
    for number in range(sentences):
        now[0] = KEPT_S * (0.2 + 0.8 * number / sentences)
        recognise = slow * float(rng.lognormal(-0.8, 0.25))
        stages.observe("endpoint", 0.35)
        stages.observe("recognise", recognise)
        stages.observe("translate", slow * 0.06)
        stages.observe("first_clause", slow * float(rng.lognormal(-1.2, 0.3)))
        stages.observe("speak", slow * float(rng.lognormal(-0.1, 0.3)))
        turns.observe("caption", 0.3 + 0.6 * recognise)
        turns.observe("heard", 0.45 + recognise * float(rng.lognormal(0.1, 0.2)))
    now[0] = KEPT_S
    return turns, stages
