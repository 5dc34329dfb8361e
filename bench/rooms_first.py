"""How much a room notices of programs that never stop asking: its turns with and without them.

The real engine. A room's turn is a recorded sentence that ended; measured until its translation is
first heard, as ``Engine.process`` does it. Between turns there are pauses. Programs transcribe
recordings of 15 s with the times of their words, translate and speak, as many at once as are told,
all the time. Blocks with and without them take turns, so that what else the machine does falls on
both.

    python -m bench.rooms_first [--blocks 4] [--turns 6] [--programs 4]
"""

from __future__ import annotations

import argparse
import asyncio
import time

import numpy as np

from babblefish.engine.engine import Engine
from babblefish.engine.job_queue import Priority
from babblefish.engine.profiles import installed_profile
from babblefish.engine.stages import SPEECH_RATE
from babblefish.errors import BabbleFishError
from babblefish.protocol import Audio, Speech, Transcript, Utterance
from babblefish.settings import load_settings
from tests.speech import Clip, clips

_PAUSE_S = 1.0
_FILE_S = 15.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=4, help="of each kind")
    parser.add_argument("--turns", type=int, default=6, help="in a block")
    parser.add_argument("--programs", type=int, default=4, help="that ask at the same time")
    chosen = parser.parse_args()
    asyncio.run(measure(chosen.blocks, chosen.turns, chosen.programs))


async def measure(blocks: int, turns: int, programs: int) -> None:
    engine = Engine(installed_profile(load_settings()))
    await engine.start()
    said = [c for c in clips() if c.language == "es" and c.seconds < 8]
    recording = np.concatenate([c.samples for c in clips() if c.language == "en"])
    latencies: dict[bool, list[float]] = {False: [], True: []}
    done = [0]
    try:
        await _turn(engine, said[0])  # the first of everything takes longer
        for _ in range(blocks):
            for loaded in (False, True):
                async with asyncio.TaskGroup() as group:
                    load = [
                        group.create_task(_program(engine, recording, n, done))
                        for n in range(programs if loaded else 0)
                    ]
                    await asyncio.sleep(_PAUSE_S)
                    for number in range(turns):
                        latencies[loaded].append(await _turn(engine, said[number % len(said)]))
                        await asyncio.sleep(_PAUSE_S)
                    for task in load:
                        task.cancel()
        stopped = sum(pool.stats.gave_way for pool in engine.pools)
    finally:
        await engine.close()
    _report(latencies, done[0], stopped)


async def _turn(engine: Engine, clip: Clip) -> float:
    """Seconds from the end of a sentence until its translation is first heard."""
    heard: list[float] = []
    begun = time.perf_counter()

    def emit(message: object) -> None:
        if isinstance(message, Speech):
            heard.append(time.perf_counter() - begun)

    voice = engine.voices("en")[0]
    await engine.process(_utterance(clip.samples, "es"), {"en": voice}, emit)
    return heard[0]


async def _program(engine: Engine, recording: np.ndarray, number: int, done: list[int]) -> None:
    size, voice = int(_FILE_S * SPEECH_RATE), engine.voices("es")[0]
    start = number * size
    while True:
        part = np.roll(recording, -start)[:size]
        spoken: list[Transcript] = []
        try:
            await engine.process(
                _utterance(part, "en"), {"es": voice},
                lambda m, to=spoken: to.append(m) if isinstance(m, Transcript) else None,
                priority=Priority.BATCH,
            )  # fmt: skip
            for transcript in spoken:
                await engine.words(part, transcript.text, "en")
            done[0] += 1
        except BabbleFishError:
            await asyncio.sleep(_PAUSE_S)
        start += size


def _utterance(samples: np.ndarray, language: str) -> Utterance:
    audio = Audio(samples, SPEECH_RATE)
    return Utterance("u", "m", audio, 0.0, audio.seconds, language, True)


def _quantile(values: list[float], share: float) -> float:
    return float(np.quantile(values, share))


def _report(latencies: dict[bool, list[float]], done: int, stopped: int) -> None:
    print("| a room's turn, end of speech → first sound | p50 s | p95 s | turns |")
    print("|---|---:|---:|---:|")
    for loaded, name in ((False, "alone"), (True, "with programs")):
        found = latencies[loaded]
        p50, p95 = _quantile(found, 0.5), _quantile(found, 0.95)
        print(f"| {name} | {p50:.2f} | {p95:.2f} | {len(found)} |")
    middle, late = (
        _quantile(latencies[True], share) / _quantile(latencies[False], share)
        for share in (0.5, 0.95)
    )
    print(f"| ratio | {middle:.2f} | {late:.2f} | |")
    print(f"\nPrograms: {done} recordings of {_FILE_S:.0f} s; {stopped} jobs stopped for rooms.")


if __name__ == "__main__":
    main()
