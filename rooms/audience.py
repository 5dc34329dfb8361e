"""What a session needs of its room, or of whatever else listens to it.

An interface alone: ``rooms/room.py`` is one for people, ``babblefish/ui/recorded.py`` for
recordings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from babblefish.engine.identification import Identity
from babblefish.engine.pitch import Pitch
from babblefish.engine.two_tier import OwnVoice
from babblefish.protocol import EngineMessage, Transcript, Translation, Utterance
from rooms.collection import Spoken
from rooms.own_words import Cleaned
from rooms.people import People


class Saying(Protocol):
    """An utterance that is being interpreted, while it is not sure yet that it is one."""

    certain: asyncio.Event
    """set when it is one: what is published is heard from then on"""

    @property
    def identity(self) -> Identity | None:
        """Who said it, as it is shown; None while that is open."""
        ...

    async def who(self, patient: bool) -> Identity | None:
        """The same as early as it can be known. patient: if that is not before the end, wait for
        it; else None, where it is nobody whose voiceprint is known."""
        ...


class Audience(Protocol):
    """``member`` is the id that the session was made with."""

    @property
    def people(self) -> People:
        """Whom a voiceprint may label."""
        ...

    def owner(self, member: str) -> str | None:
        """Speaker id of the member, None where the server does not know them."""
        ...

    def spoken_language(self, member: str) -> str | None:
        """The language the member declared, None when open."""
        ...

    def among(self, member: str) -> tuple[str, ...]:
        """The only languages that may be spoken there; empty: any."""
        ...

    def glossary(self, member: str) -> tuple[str, ...]:
        """Names and terms that the member may say."""
        ...

    def targets(self, member: str) -> Mapping[str, str | None]:
        """Languages wanted by the others → voice, or None for captions only."""
        ...

    def own_voice(self, utterance: Utterance, saying: Saying) -> OwnVoice | None:
        """How it may be said in the voice of whoever said it; None: it may not."""
        ...

    def heard(self, member: str, utterance: str, pitch: Pitch) -> None:
        """How high somebody spoke there: their voices are chosen by it."""
        ...

    def pace(self, utterance: str, language: str) -> float | None:
        """Speaking speed; None when nobody waits for the rest of the utterance any more."""
        ...

    def speaking(self, member: str, active: bool) -> None: ...

    def draft(
        self, transcript: Transcript, translations: list[Translation], member: str
    ) -> None: ...

    def retract(self, utterance: str) -> None: ...

    def begin(self, utterance: Utterance, waited: float) -> None:
        """The utterance is over; ``waited`` seconds ago its last sound was made."""
        ...

    async def without_own_words(self, utterance: Utterance) -> Cleaned:
        """The utterance without what the phone's own loudspeaker played."""
        ...

    def publish(self, utterance: Utterance, message: EngineMessage, identity: Identity) -> None:
        """A message about a begun utterance; identity: who of the people at this microphone."""
        ...

    def finished(self, spoken: Spoken) -> None:
        """Everything about the utterance was published."""
        ...
