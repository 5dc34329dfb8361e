"""The people whom this server knows by their voices, as rooms use them.

A copy in memory of what the storage has, so that no meeting ever waits for it; whoever changes the
storage calls ``refresh``. Knows no room, and no sound: only labels, consents and wishes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from babblefish.engine.identification import Enrolled, Sample
from babblefish.errors import StorageError
from babblefish.storage.records import Embedding, Purpose, Source, Speaker
from babblefish.storage.storage import Storage

log = logging.getLogger(__name__)

_RELIANCE: Mapping[Source, float] = {"enrolment": 1.0, "upload": 0.9, "meeting": 0.6}
"""how much a voiceprint counts by where its recording comes from"""


@dataclass(frozen=True, slots=True, eq=False)
class KnownPerson:
    speaker: Speaker
    agreed: frozenset[Purpose]
    """what they agree to now"""
    samples: tuple[Sample, ...] = ()
    """by the running speaker encoder; without any, or without consent to a voiceprint, nobody is
    taken for this person"""


class People:
    """``version`` changes whenever somebody is added, changed or deleted."""

    def __init__(self, storage: Storage | None) -> None:
        """storage: None where nothing is kept; then nobody is known."""
        self.storage = storage
        self.version = 0
        self._watchers: list[Callable[[], None]] = []
        self._known: Mapping[str, KnownPerson] = MappingProxyType({})

    @property
    def known(self) -> Mapping[str, KnownPerson]:
        """Speaker id → person; replaced as a whole, never changed."""
        return self._known

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Called on the event loop after each change, until what this returns is called."""
        self._watchers.append(changed)

        def unwatch() -> None:
            self._watchers = [watcher for watcher in self._watchers if watcher != changed]

        return unwatch

    def get(self, speaker: str | None) -> KnownPerson | None:
        return self._known.get(speaker) if speaker else None

    def enrolled(self) -> tuple[Enrolled, ...]:
        """Those whom a voiceprint may label."""
        return tuple(
            Enrolled(id_, person.samples)
            for id_, person in self._known.items()
            if person.samples and "voiceprint" in person.agreed
        )

    async def refresh(self, encoder: str) -> None:
        """Read everybody anew. encoder: ``SpeakerEncoderCapabilities.name`` of the running one.

        A storage in trouble changes nothing here.
        """
        if self.storage is None:
            return
        try:
            speakers = await self.storage.speakers()
            prints = await self.storage.embeddings(encoder=encoder)
            agreed = {s.id: await self.storage.agreed(s.id) for s in speakers}
        except StorageError as error:
            log.warning("People could not be read: %s", error.code)
            return
        self._known = MappingProxyType(
            {s.id: KnownPerson(s, agreed[s.id], _samples(s.id, prints)) for s in speakers}
        )
        self.version += 1
        for changed in list(self._watchers):
            changed()


def _samples(speaker: str, prints: list[Embedding]) -> tuple[Sample, ...]:
    return tuple(
        Sample(found.array.copy(), found.seconds, _RELIANCE[found.source])
        for found in prints
        if found.speaker == speaker
    )
