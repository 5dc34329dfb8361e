"""Thirty programs at once over ``/ws/client``, beside two people who talk on their phones.

All programs have their microphones open and stream sound in real time; each says a recorded
sentence every minute, on its own schedule, so that two or three of them talk at any time. Asked
is whether all get in and stay, whether each sentence reaches every other program, what memory
does, and what the people notice: their delay with the programs and, in the same run, without.

    python -m bench.sockets [--programs 30] [--every 60] [--turns 20]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from babblefish.audio import to_int16
from babblefish.client.address import RoomAddress
from babblefish.client.connection import RATE, Message, Participant
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
from rooms.hub import Hub

HERE = Path(__file__).parent
_PIECE = RATE // 25
_JOIN_S = 60.0
_PATIENCE_S = 120.0
"""for the last sentences"""
_LANGUAGES = ("fr", "en")
_HISS = 16
"""int16 units RMS"""


@dataclass
class Program:
    """One of them: what it said, and what it was told."""

    number: int
    there: Participant
    clips: Sequence[Clip]
    said: int = 0
    finals: list[str] = field(default_factory=list)
    """utterances of its own"""
    heard: dict[str, float | None] = field(default_factory=dict)
    """utterance of somebody else → seconds from its end to the whole clip, None without sound"""
    welcome: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, message: Message) -> None:
        if message["type"] == "welcome":
            self.welcome.set()
        elif message["type"] == "final":
            self.finals.append(message["utterance"])
        elif message["type"] == "result":
            spoken = message["tts_audio"] is not None
            self.heard[message["utterance"]] = message["latency_ms"] / 1000 if spoken else None

    async def talk(self, first: float, every: float, until: asyncio.Event) -> None:
        """A sentence after ``first`` seconds and then every ``every``, silence between them."""
        loop, sent = asyncio.get_running_loop(), 0
        hiss = np.random.default_rng(self.number).normal(0, _HISS, RATE).astype(np.int16)
        saying = np.zeros(0, np.int16)
        begun, following = loop.time(), first
        while not (until.is_set() and not len(saying)):
            if sent / RATE >= following and not until.is_set():
                clip = self.clips[self.said % len(self.clips)]
                saying = to_int16(clip.samples)
                self.said, following = self.said + 1, following + every
            piece = hiss[sent % (RATE - _PIECE) :][:_PIECE].copy()
            piece[: len(saying[:_PIECE])] += saying[:_PIECE]
            saying = saying[_PIECE:]
            await self.there.say(piece.tobytes(), patiently=False)
            sent += _PIECE
            await asyncio.sleep(max(0.0, begun + sent / RATE - loop.time()))
        await self.there.say(np.zeros(2 * RATE, np.int16).tobytes(), patiently=True)


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
    parser.add_argument("--turns", type=int, default=20, metavar="N")
    chosen = parser.parse_args()
    settings = load_settings(profile="compact")
    clips = [c for c in load_clips(settings.weights_dir, 8.0) if c.language in _LANGUAGES]
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
    try:
        async with AsyncExitStack() as stack:
            phones = [
                await stack.enter_async_context(
                    Phone(server.base, people, name, language, language)
                )
                for name, language in (("Pierre", "fr"), ("Dan", "en"))
            ]
            _say("two people, alone")
            alone = await _turns(phones, spoken, chosen.turns)
            address = RoomAddress(server.base, room.code, room.token)
            async with _programs(address, clips, chosen) as programs:
                _say(f"two people beside {len(programs)} programs")
                begun = len(memory.times)
                beside = await _turns(phones, spoken, chosen.turns)
            grown = growth_per_minute(memory.times[begun:], memory.megabytes[begun:])
            before = max(memory.megabytes[:begun])
    finally:
        watching.cancel()
    return {
        "programs": chosen.programs, "sentence_every_s": chosen.every,
        "people_alone_s": summary(alone), "people_beside_programs_s": summary(beside),
        "p95_ratio": ratio(summary(beside)["p95"], summary(alone)["p95"]),
        **_fates(programs),
        "memory_before_mb": round(before), "memory_peak_mb": round(max(memory.megabytes)),
        "memory_growth_mb_per_minute": grown,
    }  # fmt: skip


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def _turns(phones: list[Phone], clips: list[Clip], count: int) -> list[float | None]:
    """Seconds from the last voiced sample to the first translated one, of each turn."""
    found = []
    for number in range(count):
        speaker, listener = phones[number % 2], phones[1 - number % 2]
        own = [clip for clip in clips if clip.language == speaker.speaks]
        turn = await take_turn(speaker, [listener], own[number // 2 % len(own)].varied(number))
        playing = observe(turn, listener, with_sound=False).playing_at
        found.append(None if playing is None else playing - turn.last_voiced)
    return found


@asynccontextmanager
async def _programs(
    address: RoomAddress, clips: list[Clip], chosen: argparse.Namespace
) -> AsyncIterator[list[Program]]:
    programs, running, over = [], [], asyncio.Event()
    for number in range(chosen.programs):
        language = _LANGUAGES[number % 2]
        config = {"name": f"Program {number}", "language": language, "target": language}
        own = [clip for clip in clips if clip.language == language]
        own = own[number % len(own) :] + own[: number % len(own)]
        program = Program(number, Participant(address, config), own)
        program.there.tell = program.tell
        programs.append(program)
        running.append(asyncio.create_task(program.there.run()))
    async with asyncio.timeout(_JOIN_S):
        await asyncio.gather(
            *(_either(program.welcome.wait(), task)
              for program, task in zip(programs, running, strict=True))
        )  # fmt: skip
    apart = chosen.every / len(programs)
    talking = [asyncio.create_task(p.talk(p.number * apart, chosen.every, over)) for p in programs]
    try:
        yield programs
        over.set()
        _say("waiting for the last sentences")
        await asyncio.gather(*talking)
        await _all_told(programs)
    finally:
        for program in programs:
            program.there.leave()
        for task in talking:
            task.cancel()
        await asyncio.gather(*talking, *running, return_exceptions=True)


async def _either(waiting, task: asyncio.Task) -> None:
    """``waiting``, or the end of ``task``: that program was refused."""
    other = asyncio.ensure_future(waiting)
    await asyncio.wait((other, task), return_when=asyncio.FIRST_COMPLETED)
    other.cancel()


async def _all_told(programs: list[Program]) -> None:
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until:
        if all(p.said <= len(p.finals) for p in programs) and not _missing(programs):
            return
        await asyncio.sleep(0.5)


def _missing(programs: list[Program]) -> int:
    """Utterances that some program was not told of, counted once for each."""
    known = [{*program.finals, *program.heard} for program in programs]
    return sum(len(set().union(*known) - one) for one in known)


def _fates(programs: list[Program]) -> dict[str, Any]:
    delays = [delay for program in programs for delay in program.heard.values()]
    return {
        "refused": sum(p.there.connections == 0 for p in programs),
        "dropped": sum(max(0, p.there.connections - 1) for p in programs),
        "sentences_said": sum(p.said for p in programs),
        "utterances_recognised": sum(len(p.finals) for p in programs),
        "results": sum(len(p.heard) for p in programs),
        "programs_without_a_final": sum(p.said > 0 and not p.finals for p in programs),
        "texts_lost": _missing(programs),
        "program_delay_to_whole_clip_s": summary(delays),
    }  # fmt: skip


if __name__ == "__main__":
    main()
