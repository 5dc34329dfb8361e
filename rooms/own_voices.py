"""People's own voices: who may be imitated, by which recordings, and what laptops have to forget.

Only of people who agreed to it, asked again before everything that leaves this server. Recordings
come from the storage and stay in memory until they change or their owner does not agree any more;
then laptops are told to forget the voice, also for what happened while this server was stopped:
the audit tells whose voices were ever given to a laptop. Knows no page and makes no sound.
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

LENT = "voice_lent"
"""in the audit: a laptop gets somebody's recording"""
_PAGE, _MOST_PAGES = 500, 200
"""of the audit that is looked through when the server starts"""


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    chosen: VoiceReference
    reference: CloneReference


class OwnVoices:
    """Of a server. For the event loop; ``close`` at the end."""

    def __init__(
        self, people: People, collection: Collection, engine: Engine, cloning: Cloning | None = None
    ) -> None:
        """cloning: the laptops; None: there is nothing to speak with."""
        self.trust = VoiceTrust()
        self.cloning = cloning
        self._people, self._collection, self._engine = people, collection, engine
        self._kept: dict[str, _Kept] = {}
        self._loading: dict[str, asyncio.Task[CloneReference | None]] = {}
        self._lent: set[str] = set()
        self._recalled = False
        self._anybody = -1, False
        """version of the people, and whether one of them agreed"""
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
        if self._anybody[0] != self._people.version:
            self._anybody = self._people.version, any(map(self.agrees, self._people.known))
        return self._anybody[1]

    def _people_changed(self) -> None:
        """Whoever does not agree any more is forgotten before anything else happens."""
        for speaker in [
            s for s in {*self._kept, *self._lent, *self._loading} if not self.agrees(s)
        ]:
            self._forget(speaker)
        if self.cloning is not None and not self._recalled:
            self._recalled = True
            self.trust.start(self._recall())

    def _forget(self, speaker: str) -> None:
        self._kept.pop(speaker, None)
        self._lent.discard(speaker)
        self.trust.forget(speaker)
        if task := self._loading.pop(speaker, None):
            task.cancel()
        if self.cloning is not None:
            self.cloning.forget(speaker)

    async def _recall(self) -> None:
        """What laptops were given in the past by people who do not agree now: they may have been
        away when it had to be forgotten, and this server may have stopped before they came back."""
        lent: set[str] = set()
        try:
            for page in range(_MOST_PAGES):
                lines = await self._storage.audit_log(_PAGE, page * _PAGE)
                lent.update(line.subject for line in lines if line.act == LENT)
                if len(lines) < _PAGE:
                    break
        except BabbleFishError as error:
            log.warning("the audit could not be read", code=error.code)
            self._recalled = False
        for speaker in lent:
            if self.agrees(speaker):
                self._lent.add(speaker)
            else:
                self._forget(speaker)

    # --- recordings -----------------------------------------------------------------------------

    def expect(self, speaker: str | None) -> None:
        """They begin to talk: have their recording ready when it is needed."""
        if speaker is None or self.cloning is None or not self.agrees(speaker):
            return
        if self._stale(speaker):
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
            if reference is None or not await self._lend(speaker):
                return None
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

    async def _lend(self, speaker: str) -> bool:
        """Nothing leaves this server that nobody would know to recall."""
        if speaker not in self._lent:
            try:
                await self._storage.note("server", LENT, speaker)
            except BabbleFishError as error:
                log.warning("no voice is lent that cannot be noted", code=error.code)
                return False
            self._lent.add(speaker)
        return True

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
        self.listeners = listeners
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

    def allowed(self) -> bool:
        if self._wanted() is None or not self._voices.agrees(self._speaker):
            return False
        identity = self._saying.identity
        return identity is None or self._speaker_of(identity) == self._speaker


def _reference(speaker: str, chosen: VoiceReference, files: list[bytes]) -> CloneReference:
    pieces = [read_samples(data) for data in files]
    joined: np.ndarray = voice_reference.join([piece for piece in pieces if len(piece)])
    return CloneReference.of(speaker, chosen.text, chosen.language, joined, SPEECH_RATE)
