"""A recording, interpreted as fast as it can be: pieces of sound in, utterances out.

It is a member that talks without taking a breath, and this module is its audience: no piece is
read before what came before it is nearly worked off, and nothing is kept but what is being worked
on. Serves ``app.py file`` and the uploads of programs; knows neither files nor requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from babblefish.engine.engine import Engine
from babblefish.engine.identification import UNKNOWN, Identity
from babblefish.engine.job_queue import Priority
from babblefish.engine.pitch import Pitch
from babblefish.engine.stages import SPEECH_RATE
from babblefish.engine.voices import VoiceBook
from babblefish.errors import RoomError
from babblefish.languages import english_name, normalise
from babblefish.protocol import (
    EngineMessage,
    Notice,
    Speech,
    Trace,
    Transcript,
    Translation,
    Utterance,
)
from rooms.audience import Saying
from rooms.collection import Spoken
from rooms.own_words import Cleaned
from rooms.people import People
from rooms.session import Session

_AHEAD_FRAMES = 100
_AHEAD_UTTERANCES = 3


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be made of a recording."""

    source: str | None = None
    """the only language that is spoken, None: each sentence's is detected"""
    targets: tuple[str, ...] = ()
    aloud: bool = False
    """whether the translations are spoken, too"""
    glossary: tuple[str, ...] = ()
    """names and terms that may be said, spelt as they are to be written"""
    context: str = ""
    """text that comes before the recording, or is written the way that it is to be written"""
    priority: Priority = Priority.NOW
    among: tuple[str, ...] = ()
    """the only languages that may be spoken; empty: any"""


@dataclass(slots=True)
class Said:
    """An utterance and what became of it."""

    utterance: Utterance
    voice: int = 0
    transcript: Transcript | None = None
    """None: it could not be recognised, ``notices`` say why; without text: it was no speech"""
    translations: dict[str, str] = field(default_factory=dict)
    voices: dict[str, str] = field(default_factory=dict)
    sound: dict[str, list[np.ndarray]] = field(default_factory=dict)
    """language → clauses, each (n,) float32 at PLAYOUT_RATE"""
    notices: list[Notice] = field(default_factory=list)
    stages_ms: dict[str, float] | None = None
    """None until the engine is done with it"""

    @property
    def speaker(self) -> str:
        return "Unknown" if self.voice == UNKNOWN else f"Speaker {self.voice + 1}"


@dataclass(frozen=True, slots=True)
class Heard:
    seconds: float
    """of the recording, as far as it was taken in"""


class RecordingAudience:
    """Implements ``rooms.session.Audience`` for one recording."""

    def __init__(self, engine: Engine, wanted: Wanted) -> None:
        self.people = People(None)
        self._engine, self._wanted = engine, wanted
        self._voices = VoiceBook()
        self._open: dict[str, Said] = {}
        """in the order in which they began, which is the order in which they are handed out"""

    def take(self) -> list[Said]:
        """The utterances that are finished, and whose predecessors are; each is given once."""
        finished = []
        while self._open and (first := next(iter(self._open.values()))).stages_ms is not None:
            del self._open[first.utterance.id]
            finished.append(first)
        return finished

    def owner(self, member: str) -> None:
        """Nobody's microphone."""

    def spoken_language(self, member: str) -> str | None:
        return self._wanted.source

    def among(self, member: str) -> tuple[str, ...]:
        return self._wanted.among

    def glossary(self, member: str) -> tuple[str, ...]:
        return self._wanted.glossary

    def targets(self, member: str) -> Mapping[str, str | None]:
        return {target: self._voice(member, target) for target in self._wanted.targets}

    def heard(self, member: str, utterance: str, pitch: Pitch) -> None:
        self._voices.hear(member, pitch)

    def _voice(self, member: str, language: str) -> str | None:
        names = self._engine.voices(language) if self._wanted.aloud else ()
        return self._voices.assign(member, language, names) if names else None

    def pace(self, utterance: str, language: str) -> float:
        return 1.0

    def own_voice(self, utterance: Utterance, saying: Saying) -> None:
        """Nobody of a recording can have agreed to it."""

    def speaking(self, member: str, active: bool) -> None:
        """Recordings show nothing live."""

    def draft(self, transcript: Transcript, translations: list[Translation], member: str) -> None:
        """Recordings have no partial captions."""

    def retract(self, utterance: str) -> None:
        """Nor can they take one back."""

    def begin(self, utterance: Utterance, waited: float) -> None:
        self._open[utterance.id] = Said(utterance)

    async def without_own_words(self, utterance: Utterance) -> Cleaned:
        """A recording has no loudspeaker, but something may come before it."""
        return Cleaned(replace(utterance, context=self._wanted.context))

    def publish(self, utterance: Utterance, message: EngineMessage, identity: Identity) -> None:
        said = self._open.get(utterance.id)
        if said is None:
            return  # handed out already
        said.voice = identity.voice
        match message:
            case Transcript():
                said.transcript = message
            case Translation():
                said.translations[message.language] = message.text
            case Speech():
                said.voices[message.language] = message.voice
                said.sound.setdefault(message.language, []).append(message.audio.samples)
            case Notice():
                said.notices.append(message)
                if message.code == "internal":  # a defect ended it: no trace will follow
                    said.stages_ms = {}
            case Trace():
                said.stages_ms = dict(message.stages_ms)

    def finished(self, spoken: Spoken) -> None:
        """Nothing of a recording is kept."""


def check_languages(
    engine: Engine, source: str | None, targets: Sequence[str]
) -> tuple[str | None, list[str]]:
    """Codes as the program knows them. Raises RoomError("language" | "pair") naming the fix."""
    wanted = list(dict.fromkeys(normalise(target) for target in targets))
    spoken = normalise(source) if source else None
    if spoken and spoken not in engine.recogniser_capabilities.languages:
        raise RoomError("language", f"{english_name(spoken)} cannot be recognised by this profile.")
    for target in wanted:
        served = engine.hearing(target) if spoken is None else engine.pair(spoken, target)
        if served is None:
            heard = ", ".join(o.code for o in engine.languages() if o.hear)
            raise RoomError(
                "pair",
                f"{english_name(target)} cannot be translated into here. Possible: {heard}.",
            )
    return spoken, wanted


async def interpreted(
    engine: Engine, sound: AsyncIterable[np.ndarray], wanted: Wanted
) -> AsyncGenerator[Said | Heard]:
    """Utterances in their order, and between them how far it has come.

    sound: (n,) float32 pieces at SPEECH_RATE; asked for one only when it is needed, and raises
    what it likes. Codes of ``wanted`` as ``check_languages`` gives them. Close the iterator to
    give it all up.
    """
    audience = RecordingAudience(engine, wanted)
    session = Session(
        "recording", engine, audience, eager=False,
        language_fixed=wanted.source is not None, priority=lambda: wanted.priority,
    )  # fmt: skip
    worker = asyncio.create_task(session.run(), name="recording session")
    samples = 0
    try:
        async for piece in sound:
            await engine.turn_to_listen(wanted.priority)
            session.hear(piece)
            samples += len(piece)
            await session.until(_AHEAD_FRAMES, _AHEAD_UTTERANCES)
            for said in audience.take():
                yield said
            yield Heard(samples / SPEECH_RATE)
        session.hear(np.zeros(SPEECH_RATE, np.float32))  # silence ends the last utterance
        session.flush()
        for waiting in reversed(range(_AHEAD_UTTERANCES + 1)):
            await session.until(0, waiting)
            for said in audience.take():
                yield said
    finally:
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
