"""Meetings in which somebody with a voice of their own speaks, and somebody else listens: the real
rooms, engine and playout, with stages that need no model and a microphone that needs no phone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from babblefish.audio import wav_file
from babblefish.engine.engine import Engine
from babblefish.engine.stages import SPEECH_RATE
from babblefish.protocol import ServerEvent, Voicing
from babblefish.settings import Settings
from babblefish.storage.records import ConsentForm, NewClip
from babblefish.storage.storage import Storage
from bench import marks, scripted_stages
from bench.marks import FRAME, FRAME_S, PLAYOUT_RATE, Verdict, verdict
from rooms.hub import Hub
from rooms.member import Link
from rooms.publication import TraceRow
from rooms.room import Room
from rooms.room_settings import Voices

_SAYS_S = 0.8
_PATIENCE_S = 40.0
_TAIL_FRAMES = 15
_STALL_S = 0.06
VOICE_DELAY_S = 0.25
"""that the neutral voice takes for a clause, about as Kokoro does for a short one"""


@dataclass(frozen=True)
class Heard:
    """One utterance, at the listener's ear."""

    number: int
    verdict: Verdict
    first_s: float | None
    """from the end of what was said to the first sound of its translation"""
    ready_s: float | None
    """from the beginning of work on it to its first sound being ready, as the trace has it"""
    outcome: str
    begun: float
    """monotonic"""


class Meeting:
    """``async with`` it; ``say`` one number after the other."""

    def __init__(self, room: Room, hub: Hub, speaker: str) -> None:
        self.room = room
        pierre = room.join(name="Pierre", speaks="fr", hears="en", microphone=True)
        hub.profiles.seat(pierre, speaker)
        dan = room.join(name="Dan", speaks="en", hears="en", microphone=True)
        self._links = Link(pierre, _nobody), Link(dan, self._event)
        self._saying: list[np.ndarray] = []
        self._heard: list[np.ndarray] = []
        self._said_at = 0
        self._over = asyncio.Event()
        self.stalls = 0
        """times that the audio clock was late"""
        self._clock: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Meeting:
        for link in self._links:
            link.__enter__()
        self._clock = asyncio.create_task(self._run(), name="audio clock")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._clock is not None:
            self._clock.cancel()
        for link in self._links:
            link.__exit__()

    async def say(self, number: int) -> Heard:
        """``number``, and what was heard of it until it had been played."""
        sound = scripted_stages.said(number, _SAYS_S, PLAYOUT_RATE)
        begun, traced = time.monotonic(), len(self.room.conversation.traces)
        self._heard.clear()
        self._over.clear()
        self._said_at = 0
        self._saying += list(sound[: len(sound) // FRAME * FRAME].reshape(-1, FRAME))
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._over.wait()
                while len(self.room.conversation.traces) == traced:
                    await asyncio.sleep(FRAME_S)
            await asyncio.sleep(_TAIL_FRAMES * FRAME_S)
        except TimeoutError:
            pass  # whoever looks at the verdict sees that it was lost
        found = verdict(np.stack(self._heard), marks.sentence(number))
        first = None if found.first is None else (found.first - self._said_at) * FRAME_S
        traces = list(self.room.conversation.traces)[traced:]
        return Heard(number, found, first, _ready(traces), _outcome(traces), begun)

    def _event(self, event: ServerEvent) -> None:
        if isinstance(event, Voicing) and event.state in ("played", "skipped"):
            self._over.set()

    async def _run(self) -> None:
        mouth, ear = self._links
        silence = np.zeros(FRAME, np.int16)
        due = time.monotonic()
        while True:
            if self._saying:
                mouth.hear(self._saying.pop(0))
                self._said_at = len(self._heard) + 1
            else:
                mouth.hear(silence)
            mouth.next_frame()
            ear.hear(silence)
            self._heard.append(ear.next_frame().copy())
            due += FRAME_S
            late = time.monotonic() - due
            self.stalls += late > _STALL_S
            await asyncio.sleep(max(0.0, -late))


def _nobody(event: ServerEvent) -> None:
    """Pierre does not look at his phone."""


def _ready(traces: list[TraceRow]) -> float | None:
    found = [row.stages_ms.get("first audio en") for row in traces]
    return found[0] / 1000 if found and found[0] is not None else None


def _outcome(traces: list[TraceRow]) -> str:
    return traces[0].outcome if traces else "nothing"


@asynccontextmanager
async def server(folder: Path, voices: int) -> AsyncIterator[Hub]:
    """A hub without laptops yet. voices: translations spoken at the same time."""
    engine = Engine(scripted_stages.profile(VOICE_DELAY_S, voices))
    hub = Hub(Settings(), engine, Storage(folder))
    await engine.start()
    try:
        await hub.start()
        await hub.refresh_people()
        yield hub
    finally:
        await hub.close()
        await engine.close()


async def enrol(hub: Hub, name: str) -> str:
    """Somebody who agreed to a voice of their own, as if they had read three sentences."""
    assert hub.storage is not None
    speaker = (await hub.storage.add_speaker(name)).id
    form = ConsentForm("cloning", "themselves", "I agree.", "1", "en")
    await hub.storage.add_consent(speaker, form)
    rng = np.random.default_rng(len(name))
    clip = wav_file(rng.normal(0, 0.1, 7 * SPEECH_RATE).astype(np.float32), SPEECH_RATE)
    await hub.storage.add_clip(
        speaker,
        NewClip(
            audio=clip, seconds=7.0, text="Bonjour à tous.", language="fr", source="enrolment",
            quality={"snr_db": 30.0},
        ),
    )  # fmt: skip
    return speaker


@asynccontextmanager
async def meetings(hub: Hub, voices: Iterable[Voices]) -> AsyncIterator[list[Meeting]]:
    """One for each of ``voices``, with a speaker of its own."""
    async with AsyncExitStack() as stack:
        found = []
        for number, kind in enumerate(voices):
            speaker = await enrol(hub, f"Pierre {number}")
            await hub.refresh_people()
            room = hub.create(f"Meeting {number}")
            room.set(voices=kind, original_level=0.0)
            found.append(await stack.enter_async_context(Meeting(room, hub, speaker)))
        yield found
    for code in list(hub.rooms):
        await hub.close_room(code)
