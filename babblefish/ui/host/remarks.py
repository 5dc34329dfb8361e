"""What a host should know of how the server does, in words: readings in, sentences out.

Pure. Each sentence says what is the matter and what follows from it for the people in the rooms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from babblefish.engine import strain
from babblefish.ui.host.views import count
from babblefish.ui.watch import Sample

_SLOW_S, _FEW = 2.0, 5
"""to the first sound, of 95 % of at least so many sentences"""
_BEHIND_S = 5.0
_LATE_S = 0.15
"""of the event loop, from which sound may stutter"""
_STAGES = {
    "vad": "voice activity", "recogniser": "the recogniser", "drafter": "partial captions",
    "translator": "the translator", "speaker": "telling voices apart",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Remark:
    text: str
    grade: Literal["note", "fair", "bad"]


def stage(pool: str) -> str:
    """A pool of workers in words."""
    if pool.startswith("synthesiser"):
        number = int(pool.rpartition("-")[2] or 0) + 1
        return "the voice" if number == 1 else f"voice {number}"
    return _STAGES.get(pool, pool)


def remarks(samples: Sequence[Sample], sound: tuple[float, ...], sentences: int) -> list[Remark]:
    """sound: p50, p95 and p99 to the first sound, empty where there was none; sentences: of how
    many. The worst first."""
    if not samples:
        return [Remark("The first figures come in a moment.", "note")]
    now = samples[-1]
    found = [*_server(now), *_machine(samples), *_laptops(now)]
    found += _slowness(now, sound, sentences)
    return sorted(found, key=lambda remark: ("bad", "fair", "note").index(remark.grade))


def _server(now: Sample) -> list[Remark]:
    found = []
    if not now.reading.ready:
        found.append(Remark("Models are being loaded: nobody is translated yet.", "bad"))
    if not now.reading.storage_ok:
        found.append(Remark(f"{now.reading.storage_message} Meetings go on meanwhile.", "bad"))
    return found


def _machine(samples: Sequence[Sample]) -> list[Remark]:
    now, first = samples[-1], samples[0]
    found = []
    if now.reading.strain >= strain.OVERLOADED:
        found.append(Remark(
            "The machine is overloaded: captions come at the end of a sentence only, and voices "
            "later.", "bad",
        ))  # fmt: skip
    elif now.reading.strain >= strain.BUSY:
        found.append(Remark("The machine is busy: partial captions come seldom.", "fair"))
    if max(sample.loop_lag for sample in samples[-3:]) > _LATE_S:
        found.append(Remark(
            "The server itself gets too little of the machine: sound may stutter.", "fair"
        ))  # fmt: skip
    before = {pool.name: pool.restarts for pool in first.reading.pools}
    for pool in now.reading.pools:
        died = pool.restarts - before.get(pool.name, 0)
        if died > 0:
            times = count(died, "time", "times")
            name = stage(pool.name)
            found.append(Remark(
                f"{name[0].upper()}{name[1:]} failed and was started again {times} in the last "
                "15 minutes.", "fair",
            ))  # fmt: skip
    failed = round(now.failed - first.failed)
    if failed > 0:
        said = count(failed, "sentence", "sentences")
        found.append(Remark(
            f"{said} could not be interpreted in the last 15 minutes; their speakers were told.",
            "fair",
        ))  # fmt: skip
    return found


def _laptops(now: Sample) -> list[Remark]:
    return [
        Remark(f"Laptop “{laptop.name}”: {laptop.message}", "fair")
        for laptop in now.reading.laptops
        if laptop.condition in ("away", "refused", "resting")
    ]


def _slowness(now: Sample, sound: tuple[float, ...], sentences: int) -> list[Remark]:
    found = []
    if now.reading.lag_worst > _BEHIND_S:
        found.append(Remark(
            f"Somebody hears the translation {now.reading.lag_worst:.0f} s late. Pauses are cut "
            "and speech is a little faster until they have caught up.", "fair",
        ))  # fmt: skip
    if sentences >= _FEW and sound and sound[1] > _SLOW_S:
        found.append(Remark(
            f"One sentence in twenty takes over {sound[1]:.1f} s to be heard.", "fair"
        ))  # fmt: skip
    return found
