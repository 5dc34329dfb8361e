"""What is said in a room: who hears it in which language, with which voice, and who reads it.

Implements the ``Audience`` of the sessions of the room's members. Knows no links, no doors and no
membership but who is there.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Container, Mapping
from typing import TYPE_CHECKING

from babblefish.engine.identification import UNHEARD, Identity
from babblefish.engine.pitch import Pitch
from babblefish.engine.two_tier import Listeners, Strategy
from babblefish.engine.voice_matching import Person as VoicedPerson
from babblefish.engine.voices import VoiceBook
from babblefish.languages import direction
from babblefish.protocol import (
    Caption,
    EngineMessage,
    Retract,
    Speaking,
    Transcript,
    Translation,
    Utterance,
)
from rooms import glossary
from rooms.archive import Face
from rooms.attribution import label, speaker_of
from rooms.audience import Saying
from rooms.collection import Collection, Spoken
from rooms.own_voices import Occasion, OwnVoices
from rooms.people import People
from rooms.publication import CaptionLog, Publication, TraceRow
from rooms.soundings import Soundings
from rooms.voices_heard import VoicesHeard

if TYPE_CHECKING:
    from rooms.member import Member
    from rooms.room import Room

_MAX_TRACES = 500


class Conversation:
    """Made by ``Room``."""

    def __init__(self, room: Room, people: People, collection: Collection | None) -> None:
        self._room, self._people, self._collection = room, people, collection
        self.traces: deque[TraceRow] = deque(maxlen=_MAX_TRACES)
        self.sounds = Soundings(room.clock, lambda: collection is not None and collection.active)
        self.on_voice: Callable[[Member, str, str], None] = lambda member, language, voice: None
        """told which voice a member was given in which language"""
        self._captions = CaptionLog(room.kept.archive.first_seq)
        self.voices_heard = VoicesHeard(room.kept.archive, self._captions, self.traces, room.clock)
        self.own_voices: OwnVoices | None = None
        self._voices = VoiceBook()
        self._publications: dict[str, Publication] = {}

    @property
    def people(self) -> People:
        return self._people

    @property
    def last_seq(self) -> int:
        return self._captions.last_seq

    def resume(self, member: Member, after: int) -> None:
        """Send ``member`` every final caption since ``after``."""
        faces = {m.name: Face(m.id, m.color) for m in self._room.members.values()}
        archive = self._room.kept.archive
        for caption in archive.missed(member.hears, after, member.first_seq, faces):
            member.send(caption)
        for caption in self._captions.since(member, after):
            member.send(caption)

    def forget(self) -> None:
        """Nothing that was said until now comes back to anybody."""
        self._captions.clear()

    def forget_all_but(self, speakers: Container[str]) -> None:
        """What people said who were known and are not any more comes back to nobody."""
        self._captions.forget_all_but(speakers)

    def release(self, member: str) -> None:
        """A member who left; their voices are free again."""
        self._voices.release(member)
        self.sounds.forget(member)

    def owner(self, member: str) -> str | None:
        return self._room.members[member].speaker if member in self._room.members else None

    def spoken_language(self, member: str) -> str | None:
        if self._room.settings.detect_language or member not in self._room.members:
            return None
        return self._room.members[member].speaks

    def glossary(self, member: str) -> tuple[str, ...]:
        names = [other.name for other in self._room.members.values()]
        return glossary.expected(glossary.terms(self._room.settings.glossary), names)

    def targets(self, member: str) -> Mapping[str, str | None]:
        """Languages of the others, with a voice where somebody is connected to hear it."""
        wanted: dict[str, bool] = {}
        for other in self._room.members.values():
            if other.id != member:
                wanted[other.hears] = wanted.get(other.hears, False) or other.connected
        return {
            language: self._voice(member, language) if audible else None
            for language, audible in wanted.items()
        }

    def own_voice(self, utterance: Utterance, saying: Saying) -> Occasion | None:
        member, voices = self._room.members.get(utterance.member), self.own_voices
        if member is None or voices is None or not voices.anybody:
            return None
        if self._strategy() is None:
            return None

        def speaker(identity: Identity) -> str | None:
            return speaker_of(member, self._shown(identity))

        return Occasion(
            voices, voices.cloning, saying, strategy=self._strategy, speaker_of=speaker,
            owner=member.speaker, name=member.name,
            listeners=lambda language: self._listeners(member, utterance.id, language),
        )  # fmt: skip

    def _strategy(self) -> Strategy | None:
        chosen = self._room.settings.voices
        return None if chosen == "neutral" else chosen

    def _listeners(self, speaker: Member, utterance: str, language: str) -> Listeners:
        there = [
            m.playout for m in self._room.members.values()
            if m is not speaker and m.hears == language and m.connected
        ]  # fmt: skip
        free = min((playout.ahead(utterance) for playout in there), default=0.0)
        return Listeners(free, max((playout.lag for playout in there), default=0.0))

    def heard(self, member: str, pitch: Pitch) -> None:
        if member in self._room.members:
            self._voices.hear(member, pitch)

    def describe(self, member: Member, person: VoicedPerson) -> None:
        """By what to choose a member's voice, from now on."""
        self._voices.describe(member.id, person)

    def voice_of(self, member: Member, language: str) -> str | None:
        """With what a member's words are spoken in a language; None: they are not."""
        return self._voice(member.id, language)

    def _voice(self, member: str, language: str) -> str | None:
        if not (names := self._room.engine.voices(language)):
            return None
        voice = self._voices.assign(member, language, names)
        if member in self._room.members:
            self.on_voice(self._room.members[member], language, voice)
        return voice

    def pace(self, utterance: str, language: str) -> float | None:
        """The slowest listener decides, so that all of a language get the same sound."""
        publication = self._publications.get(utterance)
        if publication is not None and not publication.is_awaited(language):
            return None
        paces = [m.playout.pace for m in self._room.members.values() if m.hears == language]
        return max(paces, default=1.0)

    def speaking(self, member: str, active: bool) -> None:
        self.sounds.speaking(member, active)
        if active and self.own_voices is not None:
            self.own_voices.expect(self.owner(member))
        self._room.send(Speaking(member, active))

    def draft(self, transcript: Transcript, translations: list[Translation], member: str) -> None:
        speaker = self._room.members.get(member)
        if speaker is None or not self._room.settings.partial_captions:
            return
        texts = {t.language: t for t in translations if t.text}
        by = label(speaker, speaker.session.identity, self._people, self._room.members.values())
        for reader in self._room.members.values():
            translation = texts.get(reader.hears) if reader is not speaker else None
            if translation is None and self._awaits_translation(reader, speaker, transcript):
                continue  # a line that changes its language to and fro cannot be read
            shown = translation or transcript
            reader.send(
                Caption(
                    transcript.utterance, member, by.name, by.color, shown.text,
                    shown.language, direction(shown.language), False,
                    0, transcript.text if translation else "", transcript.language,
                    direction(transcript.language), translation.quality if translation else "good",
                    translation is not None, False, False, time.time(), by.known,
                )
            )  # fmt: skip

    def _awaits_translation(self, reader: Member, speaker: Member, transcript: Transcript) -> bool:
        return reader is not speaker and self._room.engine.translates_text(
            transcript.language, reader.hears
        )

    def retract(self, utterance: str) -> None:
        self._room.send(Retract(utterance))

    def begin(self, utterance: Utterance, waited: float) -> None:
        speaker = self._room.members.get(utterance.member)
        if speaker is None:
            return
        publication = Publication(
            utterance, speaker, lambda: list(self._room.members.values()), self._captions,
            self._room.kept.archive, self.voices_heard, self._room.clock() - waited, waited,
        )  # fmt: skip
        self._publications[utterance.id] = publication
        publication.open(dict(self.targets(utterance.member)))

    def publish(self, utterance: Utterance, message: EngineMessage, identity: Identity) -> None:
        publication = self._publications.get(utterance.id)
        if publication is None:
            return
        identity = self._shown(identity)
        by = label(publication.speaker, identity, self._people, self._room.members.values())
        row = publication.publish(message, by)
        if row is not None:
            self.traces.append(row)
            del self._publications[utterance.id]

    def _shown(self, identity: Identity) -> Identity:
        """Nobody but its owner speaks at a phone that is not shared."""
        alone = not self._room.settings.shared_phones and identity.person is None
        return UNHEARD if alone else identity

    def finished(self, spoken: Spoken) -> None:
        said = spoken.utterance
        member = self._room.members.get(said.member)
        if member is None or self._collection is None or not self._collection.active:
            return
        speaker = speaker_of(member, spoken.identity)
        end = said.start + said.audio.seconds
        self.sounds.said(member.id, said.start, end, speaker)
        if speaker is not None and self._collection.wants(speaker):
            around = self.sounds.around(member.id, said.start, end, speaker)
            self._collection.offer(speaker, spoken, around)
