"""Enrolment: somebody agrees, reads three prompts aloud (or gives a recording), and is known.

All of it is in memory until ``save``; what is cancelled or left alone for half an hour is
forgotten. Nothing is recorded before its purposes were agreed to. Knows no pages and decodes no
files; who may act for whom is decided by its callers.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from babblefish.audio import to_float32, to_int16, wav_file
from babblefish.engine import enrolment_prompts
from babblefish.engine.consent_texts import ConsentText, consent_text
from babblefish.engine.enrolment_prompts import EnrolmentPrompts
from babblefish.engine.recording_quality import ENROLMENT, Fault, RecordingQuality
from babblefish.engine.stages import SPEECH_RATE
from babblefish.engine.voice_recordings import (
    UPLOAD,
    HeardRecording,
    SaidIn,
    VoiceRecordings,
    stretches,
)
from babblefish.errors import RoomError, StorageError
from babblefish.languages import normalise
from babblefish.storage.records import (
    Actor,
    ConsentForm,
    NewClip,
    NewEmbedding,
    NewEnrolment,
    Purpose,
    Source,
    Speaker,
)
from rooms.names import clean_name

if TYPE_CHECKING:
    from babblefish.engine.engine import Engine
    from rooms.hub import Hub

TakeName = Literal["1", "2", "3", "upload"]
"""a prompt's number, or any recording in place of the prompts"""
PROMPTS: tuple[TakeName, ...] = ("1", "2", "3")
MOST_SECONDS: dict[TakeName, float] = {"1": 30.0, "2": 30.0, "3": 30.0, "upload": 120.0}
"""how long a recording may be"""
LIFETIME_S = 1800.0
MOST_OPEN = 40
"""enrolments at a time, one for everybody in a large meeting"""
_MARGIN = SPEECH_RATE // 10
"""kept on either side of the speech in a clip"""
_MOST_CLIPS = 6
"""kept of an upload, for a voice like somebody's own"""


@dataclass(frozen=True, slots=True, eq=False)
class Take:
    """One recording and what was found in it."""

    pcm: np.ndarray
    """(n,) int16 at SPEECH_RATE"""
    heard: HeardRecording
    said: tuple[tuple[int, int, SaidIn], ...] = ()
    """[start, end) in samples and what was said there; of uploads that may become a voice"""

    @property
    def quality(self) -> RecordingQuality:
        return self.heard.quality


@dataclass(eq=False)
class Enrolment:
    """Made by ``Enrolments.begin``; in memory only."""

    id: str
    """secret enough to act by"""
    name: str
    language: str
    given_by: str
    """who gave the consent, and where"""
    purposes: frozenset[Purpose]
    actor: Actor
    owner: str
    """id of the participant whose enrolment it is; empty: the admin's"""
    speaker: str | None
    """somebody who is known already and records anew; None: somebody new"""
    replace: bool
    """what they recorded before goes"""
    prompts: EnrolmentPrompts
    consent: ConsentText
    takes: dict[TakeName, Take] = field(default_factory=dict)
    color: int = 0
    voice: str = "closest"
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def complete(self) -> bool:
        """Whether there is enough to save: good ones of every prompt, or a good upload; or
        nothing, where the meeting itself is to be listened to."""
        if not self.takes:
            return self.purposes >= {"cloning", "passive_collection"}
        return "upload" in self.good or set(PROMPTS) <= set(self.good)

    @property
    def good(self) -> dict[TakeName, Take]:
        """What will be kept."""
        return {name: take for name, take in self.takes.items() if take.quality.good}

    def audio(self, name: TakeName) -> bytes:
        """A take as a WAV file, to be played back. Raises RoomError("take")."""
        if name not in self.takes:
            raise RoomError("take", "This has not been recorded yet. Record it first.")
        return wav_file(to_float32(self.takes[name].pcm), SPEECH_RATE)

    def discard(self, name: TakeName) -> None:
        """Forget one take."""
        self.takes.pop(name, None)


class Enrolments:
    """Those of a server that are going on. For the event loop."""

    def __init__(self, hub: Hub, engine: Engine, lifetime: float = LIFETIME_S) -> None:
        """lifetime: seconds without a recording after which an enrolment is forgotten."""
        self._hub, self._engine, self._lifetime = hub, engine, lifetime
        self._recordings: VoiceRecordings | None = None
        self._open: dict[str, Enrolment] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def close(self) -> None:
        for id_ in list(self._open):
            self.cancel(id_)
        if self._recordings is not None:
            self._recordings.close()

    def __len__(self) -> int:
        return len(self._open)

    def begin(
        self, *, name: str, language: str, given_by: str, purposes: Collection[Purpose],
        actor: Actor = "self", owner: str = "", speaker: str | None = None, replace: bool = True,
        color: int = 0, voice: str = "closest",
    ) -> Enrolment:  # fmt: skip
        """Somebody has agreed to ``purposes``, in the words of ``consent_text(language)``.

        An owner's earlier enrolment is forgotten. Raises RoomError("consent" | "bad_name" |
        "language" | "unknown_person" | "too_many_enrolments"), StorageError("no_storage").
        """
        if self._hub.storage is None:
            raise StorageError("no_storage", "This server keeps nothing: nobody can be enrolled.")
        wanted = frozenset(purposes)
        if "voiceprint" not in wanted or wanted - frozenset(get_args(Purpose)):
            raise RoomError(
                "consent", "Nothing is recorded without consent to a voiceprint. Agree to it first."
            )
        if speaker is not None and self._hub.people.get(speaker) is None:
            raise RoomError("unknown_person", "This person is not stored any more.")
        if owner and (earlier := self.of(owner)):
            self.cancel(earlier.id)
        if len(self._open) >= MOST_OPEN:
            raise RoomError(
                "too_many_enrolments", "Many people are enrolling now. Try again in some minutes."
            )
        code = _language(language)
        made = Enrolment(
            secrets.token_urlsafe(18), clean_name(name), code, given_by.strip() or "themselves",
            wanted, actor, owner, speaker, replace, enrolment_prompts.prompts(code),
            consent_text(code), color=color, voice=voice,
        )  # fmt: skip
        self._open[made.id] = made
        self._keep_alive(made)
        return made

    def get(self, id_: str) -> Enrolment:
        """Raises RoomError("enrolment")."""
        if id_ not in self._open:
            raise RoomError("enrolment", "This enrolment is over. Start again, it takes a minute.")
        return self._open[id_]

    def of(self, owner: str) -> Enrolment | None:
        """A participant's own."""
        return next((e for e in self._open.values() if owner and e.owner == owner), None)

    def cancel(self, id_: str) -> None:
        """Forget it with all its recordings."""
        if timer := self._timers.pop(id_, None):
            timer.cancel()
        if gone := self._open.pop(id_, None):
            gone.takes.clear()

    def forget_absent(self, present: Collection[str]) -> None:
        """Only participants with these ids are still there; the others' recordings go."""
        for enrolment in [e for e in self._open.values() if e.owner and e.owner not in present]:
            self.cancel(enrolment.id)

    def cancel_for(self, speaker: str) -> None:
        """Nobody records anew for a person who is gone."""
        for enrolment in [e for e in self._open.values() if e.speaker == speaker]:
            self.cancel(enrolment.id)

    def _keep_alive(self, enrolment: Enrolment) -> None:
        if timer := self._timers.pop(enrolment.id, None):
            timer.cancel()
        loop = asyncio.get_running_loop()
        self._timers[enrolment.id] = loop.call_later(self._lifetime, self.cancel, enrolment.id)

    async def take(self, enrolment: Enrolment, name: TakeName, samples: np.ndarray) -> Take:
        """Listen to a recording and keep it in memory, in place of an earlier one of this name.

        samples: (n,) float32 at SPEECH_RATE. What is wrong with it is in ``quality.faults``;
        a bad take is kept too, so that people can hear why. Raises RoomError("enrolment" |
        "take" | "too_long"), AudioError("bad_audio") and what a stage raises.
        """
        if name not in MOST_SECONDS:
            raise RoomError("take", "There is no such prompt. Reload this page.")
        if len(samples) > MOST_SECONDS[name] * SPEECH_RATE:
            raise RoomError(
                "too_long", f"Too long: at most {MOST_SECONDS[name]:.0f} seconds. Record it again."
            )
        self._keep_alive(self.get(enrolment.id))
        if self._recordings is None:
            self._recordings = VoiceRecordings(self._engine)
        async with enrolment._turn:
            uploaded = name == "upload"
            heard = await self._recordings.listen(samples, UPLOAD if uploaded else ENROLMENT)
            heard = _in_fitting_words(heard) if uploaded else heard
            said: tuple[tuple[int, int, SaidIn], ...] = ()
            if uploaded and heard.quality.good and "cloning" in enrolment.purposes:
                said = await self._said(self._recordings, samples, heard, enrolment.language)
            self.get(enrolment.id)  # it may have been cancelled meanwhile
            enrolment.takes[name] = Take(to_int16(samples), heard, said)
            self._keep_alive(enrolment)
        return enrolment.takes[name]

    async def _said(
        self, recordings: VoiceRecordings, samples: np.ndarray, heard: HeardRecording, language: str
    ) -> tuple[tuple[int, int, SaidIn], ...]:
        """The longest stretches with their words: a voice is made of both."""
        pieces = stretches(heard.activity, len(samples))
        longest = sorted(pieces, key=lambda piece: piece[0] - piece[1])[:_MOST_CLIPS]
        found = []
        for start, end in sorted(longest):
            said = await recordings.transcribe(samples[start:end], language)
            if said.text:
                found.append((start, end, said))
        return tuple(found)

    async def save(self, enrolment: Enrolment) -> Speaker:
        """Keep it: all of it or, whatever goes wrong, nothing. Then it is over.

        Raises RoomError("enrolment" | "incomplete") and StorageError.
        """
        async with enrolment._turn:
            self.get(enrolment.id)
            if not enrolment.complete:
                raise RoomError(
                    "incomplete", "A recording is missing or is not good enough yet. Record it."
                )
            if (storage := self._hub.storage) is None:
                raise StorageError("no_storage", "This server keeps nothing.")
            encoder = self._engine.speaker_encoder.capabilities.name
            speaker = await storage.enrol(_to_keep(enrolment, encoder), enrolment.actor)
            self.cancel(enrolment.id)
        await self._hub.refresh_people()
        return speaker


def _language(code: str) -> str:
    try:
        return normalise(code)
    except Exception as error:
        raise RoomError("language", "Choose one of the languages of the list.") from error


def _in_fitting_words(heard: HeardRecording) -> HeardRecording:
    """Nobody who gives a recording reads a text."""
    quality = heard.quality
    faults = tuple(
        Fault("too_short", fault.message.split(" Read ")[0] + " Choose a longer recording.")
        if fault.code == "too_short" else fault
        for fault in quality.faults
    )  # fmt: skip
    return replace(heard, quality=replace(quality, faults=faults))


def _to_keep(enrolment: Enrolment, encoder: str) -> NewEnrolment:
    """What the storage gets: only what was agreed to."""
    consent = enrolment.consent
    forms = [
        ConsentForm(purpose, enrolment.given_by, consent.wording, str(consent.version),
                    consent.language)
        for purpose in get_args(Purpose) if purpose in enrolment.purposes
    ]  # fmt: skip
    embeddings, clips = [], []
    for name, take in enrolment.good.items():
        source: Source = "upload" if name == "upload" else "enrolment"
        if take.heard.voiceprint is not None:
            embeddings.append(
                NewEmbedding(encoder, take.heard.voiceprint, take.heard.print_seconds, source)
            )
        if "cloning" in enrolment.purposes:
            clips += _clips(enrolment, name, take, source)
    return NewEnrolment(
        tuple(forms), tuple(embeddings), tuple(clips), enrolment.name, enrolment.color,
        enrolment.voice, enrolment.speaker, enrolment.replace and bool(enrolment.takes),
    )  # fmt: skip


def _clips(enrolment: Enrolment, name: TakeName, take: Take, source: Source) -> list[NewClip]:
    quality, speech = take.quality, take.heard.activity.mask(len(take.pcm))
    figures = {
        "snr_db": round(quality.snr_db, 1),
        "level_db": round(quality.level_db, 1),
        "bandwidth_hz": round(quality.bandwidth_hz),
    }
    pieces: Sequence[tuple[int, int, SaidIn]] = take.said
    if name != "upload":
        prompts = enrolment.prompts
        read = SaidIn(prompts.sentences[PROMPTS.index(name)], prompts.language)
        spoken = stretches(take.heard.activity, len(take.pcm))
        pieces = [(spoken[0][0], spoken[-1][1], read)] if spoken else []
    return [
        NewClip(
            wav_file(to_float32(take.pcm[start:end]), SPEECH_RATE), (end - start) / SPEECH_RATE,
            said.text, said.language, source,
            quality=figures | {"speech_seconds": float(speech[start:end].sum()) / SPEECH_RATE},
        )
        for start, end, said in (
            (max(0, first - _MARGIN), min(len(take.pcm), last + _MARGIN), said)
            for first, last, said in pieces
        )
    ]  # fmt: skip
