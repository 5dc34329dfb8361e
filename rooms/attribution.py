"""Whose words an utterance is: who spoke at one phone, and how readers see that person.

A voiceprint only labels: what is decided here is a name and a colour, never a right, a language
or a key. Knows people by what the server keeps of them, and no sound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from babblefish.engine.identification import OWNER, UNKNOWN, Identifier, Identity
from babblefish.engine.stages import SpeakerEncoderCapabilities
from rooms.people import People

if TYPE_CHECKING:
    from rooms.member import Member


@dataclass(frozen=True, slots=True)
class Label:
    """The speaker of an utterance as it is shown."""

    name: str
    """where the speaker is not known, of whose phone it is"""
    color: int
    known: bool = True
    speaker_id: str | None = None
    """the person, where it is one whom the server knows"""

    @property
    def text(self) -> str:
        """In English, for the host and for exports."""
        return self.name if self.known else "Unknown"


class Attribution:
    """Who speaks at one microphone, by the people whom the server knows at that moment."""

    def __init__(
        self, encoder: SpeakerEncoderCapabilities, people: People, owner: Callable[[], str | None]
    ) -> None:
        """owner: speaker id of whose phone it is, None where the server does not know them."""
        self._identifier = Identifier(encoder)
        self._people, self._owner = people, owner
        self._known: tuple[int, str | None] | None = None

    def identify(self, voiceprint: np.ndarray | None, seconds: float) -> Identity:
        """See ``Identifier.identify``. Once for each utterance, in their order."""
        self._look()
        return self._identifier.identify(voiceprint, seconds)

    def named(self, voiceprint: np.ndarray | None, seconds: float) -> Identity | None:
        """See ``Identifier.named``. As often as one likes, before ``identify``."""
        self._look()
        return self._identifier.named(voiceprint, seconds)

    def _look(self) -> None:
        known = self._people.version, self._owner()
        if known != self._known:
            self._known = known
            self._identifier.know(self._people.enrolled(), known[1])


def label(member: Member, identity: Identity, people: People, present: Iterable[Member]) -> Label:
    """How readers see who spoke at ``member``'s phone.

    Somebody known who is in the room looks as they do in its list, wherever they speak.
    """
    speaker = speaker_of(member, identity)
    person = people.get(speaker)
    if speaker is not None and person is not None:
        themselves = next((m for m in (member, *present) if m.speaker == speaker), None)
        if themselves is not None:
            return Label(themselves.name, themselves.color, True, speaker)
        return Label(person.speaker.name, person.speaker.color, True, speaker)
    if identity.person is not None or identity.voice == UNKNOWN:
        return Label(member.name, member.color, known=False)
    color = member.also_color if member.pair and identity.voice != OWNER else member.color
    return Label(display_name(member, identity.voice), color)


def speaker_of(member: Member, identity: Identity) -> str | None:
    """Speaker id of who spoke, None where it is nobody whom the server knows."""
    if identity.person is None and identity.voice == OWNER:
        return member.speaker
    return identity.person


def display_name(member: Member, voice: int) -> str:
    """The phone owner's name; others at the same microphone are told apart by a number."""
    return member.name if voice == OWNER else f"{member.name} · {voice + 1}"
