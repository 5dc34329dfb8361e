"""Participants without a transport, and an engine of scripted stages in real worker processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np

from babblefish.engine.engine import Engine
from babblefish.engine.profiles import Profile, StagePlan
from babblefish.engine.stages import StageSpec
from babblefish.protocol import Caption, Resume, ServerEvent
from rooms.member import Link, Member
from rooms.playout import FRAME, RATE
from rooms.room import Room
from tests.patience import PATIENCE

SPEEDUP = 4
"""test phones run this much faster than real time"""


def fake_profile(
    voice_delay: float = 0.0, plain_voice: bool = False, draft_delay: float | None = None,
    **recogniser_options,
) -> Profile:  # fmt: skip
    """voice_delay: seconds that a clause takes. draft_delay: seconds that a partial caption takes
    a recogniser of its own; None: there is none."""

    def plan(name: str, **options) -> StagePlan:
        return StagePlan(StageSpec(f"tests.fake_stages:{name}", options), nice=0)

    plain = [plan("PlainSynthesiser")] if plain_voice else []
    drafter = None if draft_delay is None else plan("ToneRecogniser", delay=draft_delay)
    return Profile(
        "fake", plan("EnergyVad"), plan("ToneRecogniser", **recogniser_options),
        plan("TagTranslator"), (plan("ToneSynthesiser", delay=voice_delay), *plain),
        plan("ToneEncoder"), drafter,
    )  # fmt: skip


@asynccontextmanager
async def fake_engine(**options) -> AsyncIterator[Engine]:
    """options: see ``fake_profile``."""
    engine = Engine(fake_profile(**options))
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


def tone(hertz: float, seconds: float, level: float = 0.3) -> np.ndarray:
    """int16 at 48 kHz."""
    t = np.arange(int(seconds * RATE)) / RATE
    return (level * 32767 * np.sin(2 * np.pi * hertz * t)).astype(np.int16)


def join(
    room: Room, name: str, hears: str, speaks: str = "same", microphone: bool = True, also: str = ""
) -> Member:
    """speaks: "same": the language that they want to hear. also: see ``Room.join``."""
    speaks = hears if speaks == "same" else speaks
    return room.join(name=name, speaks=speaks, hears=hears, microphone=microphone, also=also)


class Phone:
    """One connection: says what it is told, records what it hears and reads."""

    def __init__(
        self, member: Member, after: int = 0, running: bool = True, speed: float = SPEEDUP,
        program: bool = False,
    ) -> None:  # fmt: skip
        """program: see ``Member.attach``."""
        self._program = program
        self.member, self._speed = member, speed
        self.events: list[ServerEvent] = []
        self._heard: list[np.ndarray] = []
        self._after, self._running = after, running
        self._saying: list[np.ndarray] = []
        self.link: Link | None = None
        self._task: asyncio.Task | None = None

    async def __aenter__(self) -> Phone:
        self.link = self.member.attach(self.events.append, program=self._program).__enter__()
        self.link.event(Resume(self._after))
        if self._running:
            self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task:
            self._task.cancel()
        self.link.__exit__()

    def say(self, *sounds: np.ndarray) -> None:
        """Queue sounds, with silence after each that ends the most patient endpoint."""
        for sound in sounds:
            whole = np.concatenate([sound, np.zeros(int(1.4 * RATE), np.int16)])
            whole = whole[: len(whole) // FRAME * FRAME]
            self._saying += list(whole.reshape(-1, FRAME))

    async def _run(self) -> None:
        silence = np.zeros(FRAME, np.int16)
        while True:
            self.link.hear(self._saying.pop(0) if self._saying else silence)
            self._heard.append(self.link.next_frame())
            await asyncio.sleep(0.02 / self._speed)

    @property
    def heard(self) -> np.ndarray:
        return np.concatenate([*self._heard, np.zeros(FRAME, np.int16)])

    def of(self, kind: type) -> list:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def finals(self) -> list[Caption]:
        return [caption for caption in self.of(Caption) if caption.final]

    async def until(self, condition, seconds: float = PATIENCE) -> None:
        """Wait for ``condition()``; raises TimeoutError that shows the events so far."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not condition():
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError(f"not within {seconds} s; events: {self.events[-10:]}")
            await asyncio.sleep(0.01)


def seconds_at(heard: np.ndarray, hertz: float, level: float = 0.05) -> float:
    """How long a tone of ``hertz`` (± 25 Hz) is loudest in ``heard``, int16 at 48 kHz."""
    size = 4 * FRAME
    windows = heard[: len(heard) // size * size].reshape(-1, size) / 32768.0
    spectra = np.abs(np.fft.rfft(windows * np.hanning(size), axis=1)) * 4 / size
    loudest = np.argmax(spectra, axis=1) * RATE / size
    return float(((np.abs(loudest - hertz) <= 25) & (spectra.max(axis=1) > level)).sum()) * (
        size / RATE
    )
