"""Thirty programs at once over ``/ws/client``, beside two people who talk on their phones.

All programs have their microphones open and stream sound in real time; each says a recorded
sentence every minute, on its own schedule, so that two or three of them talk at any time. They are
a process that stands back (``bench/socket_programs.py``), for they stand for other machines. Asked
is whether all get in and stay, whether each sentence reaches every other program, what memory
does, and what the people notice: their delay with the programs and without, which take turns in
blocks, for machines are not equally fast all the time.

    python -m bench.sockets [--programs 30] [--every 60] [--blocks 4] [--turns 6]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from babblefish.engine.engine import Engine
from babblefish.engine.profiles import installed_profile
from babblefish.settings import load_settings
from babblefish.storage.storage import Storage
from bench.client import Phone
from bench.clips import Clip, load_clips
from bench.conversation import observe, take_turn
from bench.measures import growth_per_minute, ratio, summary
from bench.report import machine
from bench.server import RoomLink, Server
from bench.socket_programs import IN_ROOM, LANGUAGES, LONGEST_S, Fates
from rooms.hub import Hub

HERE = Path(__file__).parent


class Memory:
    """Of a server with all of its processes, once a second."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self.times: list[float] = []
        self.megabytes: list[float] = []

    async def run(self) -> None:
        while True:
            total = 0
            for process in (self._root, *self._root.children(recursive=True)):
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.times.append(time.monotonic())
            self.megabytes.append(total / 2**20)
            await asyncio.sleep(1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--programs", type=int, default=30, metavar="N")
    parser.add_argument("--every", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--blocks", type=int, default=4, metavar="N")
    parser.add_argument("--turns", type=int, default=6, metavar="N", help="of a block, each way")
    chosen = parser.parse_args()
    settings = load_settings(profile="compact")
    clips = [c for c in load_clips(settings.weights_dir, LONGEST_S) if c.language in LANGUAGES]
    _say("starting a server")
    with tempfile.TemporaryDirectory() as folder:
        people, room = asyncio.run(_open_rooms(Path(folder)))
        with Server(settings, Path(folder)) as server:
            figures = asyncio.run(_measure(server, people, room, clips, chosen))
    figures = {"machine": machine(), **figures}
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    (results / "sockets.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))


async def _open_rooms(folder: Path) -> tuple[RoomLink, RoomLink]:
    """One for people and one for programs, which the server finds when it starts."""
    settings = load_settings(profile="compact", data_dir=folder)
    hub = Hub(settings, Engine(installed_profile(settings)), Storage(folder))
    await hub.start()
    rooms = [hub.create(name) for name in ("People", "Programs")]
    people, programs = (RoomLink(room.code, room.token) for room in rooms)
    await hub.close()
    return people, programs


async def _measure(
    server: Server, people: RoomLink, room: RoomLink, clips: list[Clip], chosen: argparse.Namespace
) -> dict[str, Any]:
    memory = Memory(server.pid)
    watching = asyncio.create_task(memory.run())
    spoken = [c for c in clips if c.transcript]
    alone: list[float | None] = []
    beside: list[float | None] = []
    met: list[Fates] = []
    begun = 0
    try:
        async with AsyncExitStack() as stack:
            phones = [
                await stack.enter_async_context(
                    Phone(server.base, people, name, language, language)
                )
                for name, language in (("Pierre", "fr"), ("Dan", "en"))
            ]
            for block in range(chosen.blocks):
                turns = range(block * chosen.turns, (block + 1) * chosen.turns)
                _say(f"block {block + 1} of {chosen.blocks}: two people, alone")
                alone += await _turns(phones, spoken, turns)
                async with _programs(server, room, chosen, met):
                    _say(f"two people beside {chosen.programs} programs")
                    begun = begun or len(memory.times)
                    beside += await _turns(phones, spoken, turns)
    finally:
        watching.cancel()
    return {
        "programs": chosen.programs, "sentence_every_s": chosen.every, "blocks": chosen.blocks,
        "people_alone_s": summary(alone), "people_beside_programs_s": summary(beside),
        "p50_ratio": ratio(summary(beside)["p50"], summary(alone)["p50"]),
        "p95_ratio": ratio(summary(beside)["p95"], summary(alone)["p95"]),
        "turns_alone_s": _rounded(alone), "turns_beside_programs_s": _rounded(beside),
        **_fates(met),
        "memory_before_mb": round(max(memory.megabytes[:begun])),
        "memory_peak_mb": round(max(memory.megabytes)),
        "memory_growth_mb_per_minute": growth_per_minute(
            memory.times[begun:], memory.megabytes[begun:]
        ),
    }  # fmt: skip


def _rounded(seconds: Sequence[float | None]) -> list[float | None]:
    return [None if value is None else round(float(value), 2) for value in seconds]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def _turns(
    phones: list[Phone], clips: list[Clip], numbers: Iterable[int]
) -> list[float | None]:
    """Seconds from the last voiced sample to the first translated one, of each turn."""
    found = []
    for number in numbers:
        speaker, listener = phones[number % 2], phones[1 - number % 2]
        own = [clip for clip in clips if clip.language == speaker.speaks]
        turn = await take_turn(speaker, [listener], own[number // 2 % len(own)].varied(number))
        playing = observe(turn, listener, with_sound=False).playing_at
        found.append(None if playing is None else playing - turn.last_voiced)
    return found


@asynccontextmanager
async def _programs(
    server: Server, room: RoomLink, chosen: argparse.Namespace, met: list[Fates]
) -> AsyncIterator[None]:
    """In the room for the length of the block; then ``met`` has what became of them."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.socket_programs", server.base, room.code, room.token,
        str(chosen.programs), str(chosen.every), stdin=PIPE, stdout=PIPE, limit=2**24,
    )  # fmt: skip
    assert child.stdin is not None and child.stdout is not None
    try:
        if (await child.stdout.readline()).decode().strip() != IN_ROOM:
            raise RuntimeError("The programs did not get into their room.")
        yield
        _say("waiting for the last sentences")
        child.stdin.write(b"\n")
        met.append(Fates(**json.loads(await child.stdout.readline())))
        await child.wait()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


def _fates(met: list[Fates]) -> dict[str, Any]:
    blocks = [asdict(fates) for fates in met]
    delays = [delay for block in blocks for delay in block.pop("delays")]
    totals = {name: sum(block[name] for block in blocks) for name in blocks[0]}
    return {**totals, "program_delay_to_whole_clip_s": summary(delays)}


if __name__ == "__main__":
    main()
