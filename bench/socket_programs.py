"""The programs of ``bench/sockets.py``, in a process of their own that stands back: they stand for
other machines, which would not take the server's cores.

    python -m bench.socket_programs BASE CODE TOKEN PROGRAMS EVERY

Says on stdout when all are in the room (a line), talks until a line comes on stdin, waits for the
last sentences, and says what became of them (a line of JSON).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field

import numpy as np

from babblefish.audio import to_int16
from babblefish.client.address import RoomAddress
from babblefish.client.connection import RATE, Message, Participant
from babblefish.settings import load_settings
from bench.clips import Clip, load_clips

IN_ROOM = "in the room"
LANGUAGES = ("fr", "en")
LONGEST_S = 8.0
"""clips that are sentences"""
_STANDS_BACK = 19
_PIECE = RATE // 25
_JOIN_S = 60.0
_PATIENCE_S = 120.0
"""for the last sentences"""
_HISS = 16
"""int16 units RMS"""


@dataclass(slots=True)
class Fates:
    """What became of the programs, and of what they said."""

    refused: int = 0
    dropped: int = 0
    sentences_said: int = 0
    utterances_recognised: int = 0
    results: int = 0
    programs_without_a_final: int = 0
    texts_lost: int = 0
    """utterances that some program was not told of, counted once for each"""
    delays: list[float] = field(default_factory=list)
    """seconds from the end of a sentence to its whole clip, of each that had sound"""


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


@asynccontextmanager
async def _programs(
    address: RoomAddress, clips: list[Clip], count: int, every: float
) -> AsyncIterator[list[Program]]:
    programs, running, over = [], [], asyncio.Event()
    for number in range(count):
        language = LANGUAGES[number % 2]
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
    apart = every / len(programs)
    talking = [asyncio.create_task(p.talk(p.number * apart, every, over)) for p in programs]
    try:
        yield programs
        over.set()
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
    """See ``Fates.texts_lost``."""
    known = [{*program.finals, *program.heard} for program in programs]
    return sum(len(set().union(*known) - one) for one in known)


def _fates(programs: list[Program]) -> Fates:
    delays = [delay for program in programs for delay in program.heard.values()]
    return Fates(
        refused=sum(p.there.connections == 0 for p in programs),
        dropped=sum(max(0, p.there.connections - 1) for p in programs),
        sentences_said=sum(p.said for p in programs),
        utterances_recognised=sum(len(p.finals) for p in programs),
        results=sum(len(p.heard) for p in programs),
        programs_without_a_final=sum(p.said > 0 and not p.finals for p in programs),
        texts_lost=_missing(programs),
        delays=[round(delay, 3) for delay in delays if delay is not None],
    )


async def _told_to_stop() -> None:
    """A line came on stdin, or its other end is gone."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    await lines.readline()


async def _main(address: RoomAddress, count: int, every: float) -> None:
    clips = load_clips(load_settings().weights_dir, LONGEST_S)
    clips = [clip for clip in clips if clip.language in LANGUAGES]
    async with _programs(address, clips, count, every) as programs:
        print(IN_ROOM, flush=True)
        await _told_to_stop()
    print(json.dumps(asdict(_fates(programs))), flush=True)


if __name__ == "__main__":
    os.nice(_STANDS_BACK)
    base, code, token, programs_wanted, seconds = sys.argv[1:]
    asyncio.run(_main(RoomAddress(base, code, token), int(programs_wanted), float(seconds)))
