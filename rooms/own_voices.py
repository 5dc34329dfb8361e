"""People's own voices: who may be imitated, by which recordings, and what laptops have to forget.

Only of people who agreed to it, asked again before everything that leaves this server. Recordings
come from the storage and stay in memory until they change or their owner does not agree any more;
then laptops are told to forget the voice. Knows no page and makes no sound.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import structlog

from babblefish.engine import voice_reference
from babblefish.engine.cloning_messages import CloneReference
from babblefish.engine.engine import Engine
from babblefish.engine.identification import Identity
from babblefish.engine.stages import SPEECH_RATE
from babblefish.engine.two_tier import Cloning, Listeners, Strategy
from babblefish.engine.voice_reference import VoiceReference
from babblefish.engine.voice_trust import VoiceTrust
from babblefish.errors import BabbleFishError
from rooms.collected_clips import read_samples
from rooms.collection import Collection
from rooms.people import People

if TYPE_CHECKING:
    from rooms.audience import Saying

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    chosen: VoiceReference
    reference: CloneReference


class OwnVoices:
    """Of a server. For the event loop; ``close`` at the end."""

    def __init__(
        self, people: People, collection: Collection, engine: Engine, cloning: Cloning,
        forget: Callable[[str], None],
    ) -> None:  # fmt: skip
        """cloning: who speaks. forget: has every laptop delete what it has of somebody, also those
        that are away, whatever becomes of this process."""
        self.trust = VoiceTrust()
        self.cloning = cloning
        self._people, self._collection, self._engine = people, collection, engine
        self._delete = forget
        self._kept: dict[str, _Kept] = {}
        self._loading: dict[str, asyncio.Task[CloneReference | None]] = {}
        self._agreed: frozenset[str] = frozenset()
        self._unwatch = people.watch(self._people_changed)

    async def close(self) -> None:
        self._unwatch()
        loading = list(self._loading.values())
        for task in loading:
            task.cancel()
        await asyncio.gather(*loading, return_exceptions=True)
        await self.trust.close()
        self._kept.clear()

    # --- who may be imitated --------------------------------------------------------------------

    def agrees(self, speaker: str | None) -> bool:
        person = self._people.get(speaker)
        return person is not None and "cloning" in person.agreed

    @property
    def anybody(self) -> bool:
        """Whether anybody agreed."""
        return bool(self._agreed)

    def _people_changed(self) -> None:
        """Whoever does not agree any more is forgotten before anything else happens."""
        agreed = frozenset(filter(self.agrees, self._people.known))
        for speaker in (self._agreed | self._kept.keys() | self._loading.keys()) - agreed:
            self._kept.pop(speaker, None)
            self.trust.forget(speaker)
            if task := self._loading.pop(speaker, None):
                task.cancel()
            self._delete(speaker)
        self._agreed = agreed

    # --- recordings -----------------------------------------------------------------------------

    def expect(self, speaker: str | None) -> None:
        """They begin to talk: have their recording ready when it is needed."""
        if speaker is not None and self.agrees(speaker) and self._stale(speaker):
            self._load_once(speaker)

    async def reference(self, speaker: str | None) -> CloneReference | None:
        """How somebody sounds, to be given to a laptop; None where they do not agree, or too little
        is kept of them. Nothing is raised: what cannot be read is not to be had."""
        if speaker is None or not self.agrees(speaker):
            return None
        kept = self._kept.get(speaker)
        try:
            if kept is not None and not self._stale(speaker):
                reference = kept.reference
            else:
                reference = await asyncio.shield(self._load_once(speaker))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return None  # the consent went while it was read
        return reference if self.agrees(speaker) else None

    def _stale(self, speaker: str) -> bool:
        now, kept = self._collection.reference(speaker), self._kept.get(speaker)
        return kept is None or now is None or now.stretches != kept.chosen.stretches

    def _load_once(self, speaker: str) -> asyncio.Task[CloneReference | None]:
        task = self._loading.get(speaker)
        if task is None or task.done():
            task = asyncio.create_task(self._load(speaker), name="own voice")
            self._loading[speaker] = task
            task.add_done_callback(lambda _: self._loaded(speaker, task))
        return task

    def _loaded(self, speaker: str, task: asyncio.Task) -> None:
        if self._loading.get(speaker) is task:
            del self._loading[speaker]

    async def _load(self, speaker: str) -> CloneReference | None:
        try:
            chosen = await self._collection.choose(speaker)
            if chosen is None:
                self._kept.pop(speaker, None)
                return None
            kept = self._kept.get(speaker)
            if kept is not None and kept.chosen.stretches == chosen.stretches:
                return kept.reference
            files = [await self._storage.clip_audio(id_) for id_ in chosen.stretches]
            reference = await self._engine.calculate(_reference, speaker, chosen, files)
        except BabbleFishError as error:
            log.info("a voice could not be read", code=error.code)
            return None
        except Exception as error:  # a defect of ours costs one voice
            log.exception("a voice could not be made", error=type(error).__name__)
            return None
        if not self.agrees(speaker):
            return None
        self._kept[speaker] = _Kept(chosen, reference)
        return reference

    @property
    def _storage(self):
        assert self._people.storage is not None, "nobody is known without a storage"
        return self._people.storage


class Occasion:
    """One utterance and the voice of whoever said it; see ``two_tier.OwnVoice``."""

    def __init__(
        self, voices: OwnVoices, cloning: Cloning, saying: Saying, *,
        strategy: Callable[[], Strategy | None], speaker_of: Callable[[Identity], str | None],
        owner: str | None, name: str, listeners: Callable[[str], Listeners],
    ) -> None:  # fmt: skip
        """strategy: of the room now; None: neutral voices only. speaker_of: which known person
        somebody is. owner: whose phone it is, where that is known."""
        self.cloning, self.trust, self.name = cloning, voices.trust, name
        self.strategy: Strategy = strategy() or "sequential"
        self.audible = saying.certain
        self._listeners = listeners
        self._voices, self._saying, self._wanted = voices, saying, strategy
        self._speaker_of, self._owner = speaker_of, owner
        self._speaker: str | None = None

    def speaks(self, language: str) -> bool:
        return self._wanted() is not None and self.cloning.speaks(language)

    async def speaker(self) -> str | None:
        if self._speaker is None:
            identity = await self._saying.who(patient=self._owner is not None)
            found = self._speaker_of(identity) if identity is not None else None
            self._speaker = found if self._voices.agrees(found) else None
        return self._speaker

    async def reference(self) -> CloneReference | None:
        return await self._voices.reference(await self.speaker())

    def listeners(self, language: str) -> Listeners:
        return self._listeners(language)

    def allowed(self) -> bool:
        if self._wanted() is None or not self._voices.agrees(self._speaker):
            return False
        identity = self._saying.identity
        return identity is None or self._speaker_of(identity) == self._speaker


def _reference(speaker: str, chosen: VoiceReference, files: list[bytes]) -> CloneReference:
    pieces = [read_samples(data) for data in files]
    joined: np.ndarray = voice_reference.join([piece for piece in pieces if len(piece)])
    return CloneReference.of(speaker, chosen.text, chosen.language, joined, SPEECH_RATE)
