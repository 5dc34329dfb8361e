"""People's own voices in real rooms while their laptops are killed, hung, slowed and revived:
``python -m bench.cloning``.

Laptops are real processes over https that speak in tones; rooms, engine, client and playout are the
product's. What each listener hears is compared, frame by frame, with what was to be said.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from babblefish.engine.cloning import Cloning
from bench import report
from bench.chaos import USUAL, Chaos
from bench.cloning_rooms import Heard, Meeting, meetings, server
from bench.laptop_process import LaptopProcess
from bench.marks import GAP_S
from bench.measures import summary
from rooms.hub import Hub
from rooms.room_settings import Voices

OUT = Path(__file__).with_name("results") / "cloning.json"
_UNKNOWN_S = 60.0
_VOICES = 6
"""processes of the neutral voice"""
_PAIRS = 3


async def measure(utterances: int, rooms: int, seed: int, folder: Path) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), "machine": report.machine(),
        "seed": seed,
    }  # fmt: skip
    pair = [LaptopProcess(folder, name) for name in ("one", "two")]
    try:
        for process in pair:
            await process.start()
            await process.behave(**USUAL)
        kinds: list[Voices] = ["sequential" if n % 2 else "replace" for n in range(rooms)]
        async with server(folder / "well", _VOICES) as hub, meetings(hub, kinds) as there:
            await _connect(hub, pair)
            _tell("all is well")
            heard = await _talk(there, 4, 0)
            figures["well"] = {
                kind: _sums([h for h, k in zip(heard, _each(kinds, 4), strict=True) if k == kind])
                for kind in ("sequential", "replace")
            }
            figures["misbehaving"] = await _misbehaving(hub, there, pair, utterances, seed)
        figures["absent"] = await _absent(folder / "absent", pair[0])
    finally:
        for process in pair:
            process.kill()
    return figures


def _each(kinds: Sequence[str], times: int) -> list[str]:
    return [kind for kind in kinds for _ in range(times)]


async def _connect(hub: Hub, pair: Sequence[LaptopProcess]) -> None:
    for process in pair:
        hub.cloning.add(process.laptop())
    async with asyncio.timeout(_UNKNOWN_S):
        while not all(state.asked_now for state in hub.cloning.laptops()):
            await asyncio.sleep(0.05)


async def _talk(there: Sequence[Meeting], times: int, begin: int) -> list[Heard]:
    """In every meeting, one after the other; all meetings at once."""

    async def one(meeting: Meeting, number: int) -> list[Heard]:
        await asyncio.sleep(0.37 * number)
        return [await meeting.say((begin + number * times + turn) % 200) for turn in range(times)]

    found = await asyncio.gather(*(one(meeting, n) for n, meeting in enumerate(there)))
    return [heard for each in found for heard in each]


async def _misbehaving(
    hub: Hub, there: Sequence[Meeting], pair: Sequence[LaptopProcess], utterances: int, seed: int
) -> dict[str, Any]:
    _tell("laptops misbehave")
    chaos = [Chaos(process, seed + number) for number, process in enumerate(pair)]
    troubles = [asyncio.create_task(each.run()) for each in chaos]
    begun = time.monotonic()
    heard = await _talk(there, -(-utterances // len(there)), 50)
    took = time.monotonic() - begun
    for task in troubles:
        task.cancel()
    await asyncio.gather(*troubles, return_exceptions=True)
    figures = _sums(heard)
    figures["seconds"] = round(took, 1)
    figures["faults"] = dict(sum((each.done for each in chaos), Counter()))
    figures["late audio clocks"] = sum(meeting.stalls for meeting in there)
    figures["back"] = await _back(hub.cloning, chaos)
    return figures


async def _back(cloning: Cloning, chaos: Sequence[Chaos]) -> dict[str, Any]:
    """How long after its restart a laptop that was killed is asked again."""
    found = []
    _tell("coming back")
    for each in chaos:
        await each.well()
    for _ in range(3):
        process = chaos[0]._process
        process.kill()
        await asyncio.sleep(1.0)
        await process.start()
        begun = time.monotonic()
        while not cloning.laptops()[0].asked_now and time.monotonic() - begun < _UNKNOWN_S:
            await asyncio.sleep(0.02)
        found.append(time.monotonic() - begun)
    return summary(found)


async def _absent(folder: Path, process: LaptopProcess) -> dict[str, Any]:
    """Meetings at the same time, half of which never have a laptop and half of which lose it."""
    _tell("a laptop that is lost")
    kinds: list[Voices] = ["neutral", "sequential"] * _PAIRS
    async with server(folder, _VOICES) as hub, meetings(hub, kinds) as there:
        await _connect(hub, [process])
        await _talk(there, 2, 0)  # the second in the own voice, if there is one: it will be missed
        process.kill()
        heard = await _talk(there, 12, 20)
    at_last = [(h, kind) for h, kind in zip(heard, _each(kinds, 12), strict=True)]
    without = [h for h, kind in at_last if kind == "neutral"]
    missing = [h for h, kind in at_last if kind == "sequential"]
    figures: dict[str, Any] = {
        "never a laptop, ready": summary([h.ready_s for h in without]),
        "laptop lost, ready": summary([h.ready_s for h in missing]),
        "never a laptop, heard": summary([h.first_s for h in without]),
        "laptop lost, heard": summary([h.first_s for h in missing]),
    }
    a, b = (figures[f"{kind}, ready"]["p50"] for kind in ("never a laptop", "laptop lost"))
    figures["added_ms"] = None if a is None or b is None else round((b - a) * 1000, 1)
    figures["lost"] = sum(h.verdict.lost_s > 0 for h in missing)
    for kind, some in (("never a laptop", without), ("laptop lost", missing)):
        figures[f"{kind}, gaps"] = _sums(some)["gaps_elsewhere"]
    return figures


def _tell(text: str) -> None:
    print(f"{datetime.now():%H:%M:%S} {text}", file=sys.stderr, flush=True)


def _sums(heard: Sequence[Heard]) -> dict[str, Any]:
    verdicts = [h.verdict for h in heard]
    changes = [gap for v in verdicts for gap in v.change_gaps]
    others = [gap for v in verdicts for gap in v.other_gaps]
    voices = Counter("+".join(sorted(v.voices)) or "nothing" for v in verdicts)
    return {
        "utterances": len(heard),
        "heard in": dict(voices),
        "own_voice_rate": round(sum("own" in v.voices for v in verdicts) / len(verdicts), 3),
        "lost": sum(v.lost_s > 0 for v in verdicts),
        "doubled": sum(v.doubled_s > 0 or v.out_of_order for v in verdicts),
        "changes": len(changes),
        "gaps_at_changes": sum(gap > GAP_S for gap in changes),
        "longest_gap_at_a_change_s": round(max(changes, default=0.0), 3),
        "gaps_elsewhere": sum(gap > GAP_S for gap in others),
        "longest_gap_elsewhere_s": round(max(others, default=0.0), 3),
        "first_sound_s": summary([h.first_s for h in heard]),
        "first_ready_s": summary([h.ready_s for h in heard]),
        "outcomes": dict(Counter(h.outcome for h in heard)),
        "blemishes": [
            {"number": h.number, "lost_s": round(h.verdict.lost_s, 2), "doubled_s": round(
                h.verdict.doubled_s, 2), "order": h.verdict.out_of_order,
             "gaps": [round(g, 2) for g in (*h.verdict.change_gaps, *h.verdict.other_gaps)],
             "runs": [(r.clause, r.voice, r.begin, r.end) for r in h.verdict.runs]}
            for h in heard if _blemished(h)
        ],
    }  # fmt: skip


def _blemished(heard: Heard) -> bool:
    v = heard.verdict
    gap = max((*v.change_gaps, *v.other_gaps), default=0.0)
    return v.lost_s > 0 or v.doubled_s > 0 or v.out_of_order or gap > GAP_S


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--utterances", type=int, default=200)
    parser.add_argument("--rooms", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(
            measure(arguments.utterances, arguments.rooms, arguments.seed, Path(folder))
        )
    arguments.out.parent.mkdir(exist_ok=True)
    arguments.out.write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
