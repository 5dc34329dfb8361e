"""Material for people's own voices, collected in passing from what they say in meetings.

Only of people who agreed to it, only what is surely theirs alone, and bounded: ``soundings.py``
says what else their microphone may have heard, ``reference_material.py`` decides, the storage
keeps. What is in memory of somebody goes when their consent goes. A meeting never waits for any
of it and never notices that it fails.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import structlog

from babblefish.engine import reference_material, strain, voice_reference
from babblefish.engine.engine import Engine
from babblefish.engine.identification import Identity
from babblefish.engine.job_queue import Priority
from babblefish.engine.recording_quality import PartVoice, VoiceActivity, parts
from babblefish.engine.reference_material import Heard, KnownVoices, Progress, Refusal, Stretch
from babblefish.engine.stages import SPEECH_RATE
from babblefish.engine.voice_reference import VoiceReference
from babblefish.errors import BabbleFishError
from babblefish.protocol import Transcript, Utterance
from babblefish.storage.records import Clip, Purpose
from rooms import collected_clips
from rooms.collected_clips import as_stretch, new_clip, read_samples
from rooms.people import People
from rooms.soundings import Surroundings

log = structlog.get_logger(__name__)
T = TypeVar("T")

_NEEDED: frozenset[Purpose] = frozenset(("cloning", "passive_collection"))
_MOST_WAITING = 4
"""utterances that wait to be looked at; beyond, the oldest goes"""
_MOST_PRINTS = 8
"""voiceprints from meetings that are kept of somebody"""
_ENOUGH_TO_BE_KNOWN_S = 8.0
"""of speech, in several stretches that are alike, before somebody who never enrolled gets a
voiceprint"""


@dataclass(frozen=True, slots=True, eq=False)
class Spoken:
    """An utterance that was interpreted, and whose it is."""

    utterance: Utterance
    transcript: Transcript
    identity: Identity
    voiceprint: np.ndarray | None
    activity: VoiceActivity
    cut: bool
    """it was cut for its length"""


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    speaker: str
    spoken: Spoken
    surroundings: Surroundings


@dataclass(slots=True)
class _Profile:
    """What is kept of one person."""

    clips: dict[str, Clip] = field(default_factory=dict)
    prints: dict[str, np.ndarray] = field(default_factory=dict)
    """clip → voiceprint; made once, kept only here"""
    reference: VoiceReference | None = None

    def stretches(self, collected: bool = False) -> list[Stretch]:
        """Of the clips whose voice is known; with ``collected``, those of meetings only."""
        return [
            as_stretch(clip, self.prints[clip.id])
            for clip in self.clips.values()
            if clip.id in self.prints and not (collected and clip.source != "meeting")
        ]


class Collection:
    """Of all rooms. Everything on the event loop; ``close`` at the end."""

    def __init__(self, people: People, engine: Engine) -> None:
        self._people, self._engine = people, engine
        self._profiles: dict[str, _Profile] = {}
        self._active = -1, False
        """version of the people, and whether there was anybody then"""
        self._waiting: deque[_Job] = deque(maxlen=_MOST_WAITING)
        self._worker: asyncio.Task | None = None
        self._reader: asyncio.Task | None = None
        self._arithmetic = ThreadPoolExecutor(1, "collection")
        """for what takes longer than the event loop can spare"""
        self._unwatch = people.watch(self._people_changed)

    async def close(self) -> None:
        self._unwatch()
        tasks = [task for task in (self._worker, self._reader) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._waiting.clear()
        self._profiles.clear()
        self._arithmetic.shutdown(wait=False)

    # --- what others ask ----------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """Whether there is anybody to collect material of."""
        if self._active[0] != self._people.version:
            found = any(person.agreed >= _NEEDED for person in self._people.known.values())
            self._active = self._people.version, found
        return self._active[1]

    def wants(self, speaker: str | None) -> bool:
        person = self._people.get(speaker)
        return person is not None and person.agreed >= _NEEDED

    def progress(self, speaker: str) -> Progress | None:
        """How much of what a voice of their own takes is kept of somebody; None where they did not
        agree to one."""
        if not self._may_have_voice(speaker):
            return None
        return collected_clips.progress(
            self._profiles[speaker].clips.values() if speaker in self._profiles else ()
        )

    def reference(self, speaker: str) -> VoiceReference | None:
        """The best 6 to 12 s of somebody, by the ids of clips in the storage."""
        known = self._profiles.get(speaker) if self._may_have_voice(speaker) else None
        return known.reference if known else None

    async def choose(self, speaker: str) -> VoiceReference | None:
        """As ``reference``; made now of what is kept where there is none yet, which takes some
        tenths of a second. Raises BabbleFishError."""
        if self._reader is not None:
            await asyncio.wait([self._reader])
        profile = self._profiles.get(speaker)
        if profile is not None and profile.reference is None:
            await self._complete(profile)
            enrolled = await self._enrolled(speaker)
            found = await self._off_loop(voice_reference.choose, profile.stretches(), enrolled)
            profile.reference = profile.reference or found
        return self.reference(speaker)

    async def idle(self) -> None:
        """Returns when nothing waits to be looked at."""
        for task in (self._reader, self._worker):
            if task is not None:
                await asyncio.wait([task])

    def _may_have_voice(self, speaker: str) -> bool:
        person = self._people.get(speaker)
        return person is not None and "cloning" in person.agreed

    # --- what happens -------------------------------------------------------------------------

    def offer(self, speaker: str, spoken: Spoken, surroundings: Surroundings | None) -> None:
        """Something that ``speaker`` said, and what else sounded around them."""
        if (
            surroundings is None
            or spoken.voiceprint is None
            or not self.wants(speaker)
            or self._engine.strain >= strain.BUSY
        ):
            return
        self._waiting.append(_Job(speaker, spoken, surroundings))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work(), name="collection")

    def _people_changed(self) -> None:
        """Whoever does not agree any more is forgotten before anything else happens."""
        for speaker in [s for s in self._profiles if not self._may_have_voice(s)]:
            del self._profiles[speaker]
        kept = [job for job in self._waiting if self.wants(job.speaker)]
        self._waiting.clear()
        self._waiting.extend(kept)
        if self._reader is not None:
            self._reader.cancel()
        self._reader = asyncio.create_task(self._read(), name="collected clips")

    async def _read(self) -> None:
        """What the storage has of everybody who agreed to a voice of their own."""
        for speaker in [s for s in self._people.known if self._may_have_voice(s)]:
            try:
                clips = await self._storage.clips(speaker, "cloning")
            except BabbleFishError as error:
                log.info("clips could not be read", code=error.code)
                return
            if self._may_have_voice(speaker):
                profile = self._profiles.setdefault(speaker, _Profile())
                profile.clips = {clip.id: clip for clip in clips}
                profile.prints = {i: p for i, p in profile.prints.items() if i in profile.clips}
                if profile.reference and not set(profile.reference.stretches) <= set(profile.clips):
                    profile.reference = None

    async def _work(self) -> None:
        while self._waiting:
            job = self._waiting.popleft()
            try:
                verdict = await self._consider(job)
                log.debug("collection", verdict=verdict)
            except BabbleFishError as error:
                log.info("nothing was collected", code=error.code)
            except Exception as error:  # a defect of ours costs one stretch
                log.exception("nothing was collected", error=type(error).__name__)

    # --- one utterance ------------------------------------------------------------------------

    async def _consider(self, job: _Job) -> str:
        """ "kept", or why not."""
        speaker = job.speaker
        if self._reader is not None:
            await asyncio.wait([self._reader])
        profile = self._profiles.setdefault(speaker, _Profile())
        await self._complete(profile)
        enrolled = await self._enrolled(speaker)
        verdict = await self._judge(job, profile, enrolled)
        if not isinstance(verdict, Stretch):
            return verdict
        collected = profile.stretches(collected=True)
        centre = reference_material.centroid(collected, enrolled)
        decision = reference_material.decide(collected, verdict, centre)
        if not decision.keep:
            return decision.reason
        if not self.wants(speaker):
            return "consent"
        new = new_clip(job.spoken.utterance.audio.samples, verdict)
        clip = await self._storage.add_clip(speaker, new, actor="server")
        await self._drop(profile, decision.replaces)
        if not self.wants(speaker) or self._profiles.get(speaker) is not profile:
            return "consent"  # withdrawn meanwhile; the storage has deleted it
        profile.clips[clip.id] = clip
        profile.prints[clip.id] = verdict.voiceprint
        strangers = reference_material.strangers(
            profile.stretches(collected=True), enrolled, self._encoder
        )
        await self._drop(profile, strangers)
        profile.reference = await self._off_loop(
            voice_reference.choose, profile.stretches(), enrolled, profile.reference
        )
        if clip.id in profile.clips:
            await self._teach(speaker, profile, verdict, enrolled)
        return "kept"

    async def _judge(
        self, job: _Job, profile: _Profile, enrolled: np.ndarray | None
    ) -> Stretch | Refusal:
        spoken, kept = job.spoken, profile.stretches(collected=True)
        known = KnownVoices(enrolled, self._others(job.speaker))
        heard = _heard(spoken)

        def look(heard: Heard, surroundings: Surroundings | None) -> Stretch | Refusal:
            recorded = surroundings.recorded() if surroundings else []
            if recorded is None:
                return "bleed"
            soundings = [each.sounding() for each in recorded]
            return reference_material.judge(
                heard, kept, known, soundings, self._encoder, consented=True
            )

        verdict = await self._off_loop(look, heard, job.surroundings)
        if not isinstance(verdict, Stretch):
            return verdict
        voices = await self._parts(spoken)
        return await self._off_loop(look, replace(heard, parts=voices), None)

    async def _parts(self, spoken: Spoken) -> list[PartVoice]:
        found = []
        speech = spoken.activity.mask(len(spoken.utterance.audio.samples))
        for start, end in parts(spoken.activity):
            piece = spoken.utterance.audio.samples[start:end]
            print_ = await self._engine.embed(piece, Priority.BATCH)
            found.append(PartVoice(print_, float(speech[start:end].sum()) / SPEECH_RATE))
        return found

    async def _complete(self, profile: _Profile) -> None:
        """Voiceprints of the clips that are kept from before."""
        for id_ in [i for i in profile.clips if i not in profile.prints]:
            try:
                samples = await self._off_loop(read_samples, await self._storage.clip_audio(id_))
                print_ = await self._engine.embed(samples, Priority.BATCH)
            except BabbleFishError as error:
                log.info("a clip cannot be used", code=error.code)
                continue
            if id_ in profile.clips:
                profile.prints[id_] = print_

    async def _enrolled(self, speaker: str) -> np.ndarray | None:
        """The voiceprint that somebody gave on purpose: nothing collected changes it."""
        return _mean([
            (found.array, found.seconds) for found in await self._prints(speaker)
            if found.source != "meeting"
        ])  # fmt: skip

    async def _prints(self, speaker: str) -> list:
        person = self._people.get(speaker)
        if person is None or "voiceprint" not in person.agreed:
            return []
        return await self._storage.embeddings(speaker, self._encoder.name)

    def _others(self, speaker: str) -> list[np.ndarray]:
        """Voiceprints of everybody else who is known."""
        found = [
            _mean([(sample.voiceprint, sample.seconds) for sample in enrolled.samples])
            for enrolled in self._people.enrolled()
            if enrolled.id != speaker
        ]
        return [print_ for print_ in found if print_ is not None]

    async def _drop(self, profile: _Profile, ids: Sequence[str]) -> None:
        if ids:
            await self._storage.delete_clips(list(ids), actor="server")
        for id_ in ids:
            profile.clips.pop(id_, None)
            profile.prints.pop(id_, None)

    async def _teach(
        self, speaker: str, profile: _Profile, new: Stretch, enrolled: np.ndarray | None
    ) -> None:
        """A voiceprint of what was kept, where its owner agreed to voiceprints."""
        person = self._people.get(speaker)
        if person is None or "voiceprint" not in person.agreed:
            return
        kept = profile.stretches(collected=True)
        if enrolled is None and (
            len(kept) < 2 or sum(s.speech_seconds for s in kept) < _ENOUGH_TO_BE_KNOWN_S
        ):
            return
        before = [p for p in await self._prints(speaker) if p.source == "meeting"]
        await self._storage.add_embedding(
            speaker, self._encoder.name, new.voiceprint, new.speech_seconds, source="meeting",
            actor="server",
        )  # fmt: skip
        if too_many := before[: len(before) + 1 - _MOST_PRINTS]:
            await self._storage.delete_embeddings([p.id for p in too_many], actor="server")
        await self._people.refresh(self._encoder.name)

    # --- helpers ------------------------------------------------------------------------------

    @property
    def _encoder(self) -> Any:
        return self._engine.speaker_encoder.capabilities

    @property
    def _storage(self) -> Any:
        return self._people.storage

    async def _off_loop(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._arithmetic, work, *arguments)


def _heard(spoken: Spoken) -> Heard:
    utterance, transcript = spoken.utterance, spoken.transcript
    assert spoken.voiceprint is not None
    return Heard(
        utterance.id, utterance.member, utterance.start, utterance.audio.samples, spoken.activity,
        transcript.text, transcript.language, transcript.confidence, spoken.voiceprint,
        cut=spoken.cut,
    )  # fmt: skip


def _mean(prints: Sequence[tuple[np.ndarray, float]]) -> np.ndarray | None:
    if not prints:
        return None
    total = np.sum([vector * seconds for vector, seconds in prints], axis=0)
    return (total / (np.linalg.norm(total) + 1e-9)).astype(np.float32)
