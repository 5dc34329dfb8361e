"""What is said in a room: who hears it in which language, with which voice, and who reads it.

Implements the ``Audience`` of the sessions of the room's members. Knows no links, no doors and no
membership but who is there.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Container, Mapping
from dataclasses import replace
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
from rooms import figures, glossary
from rooms.archive import Face
from rooms.attribution import display_name, label, speaker_of
from rooms.audience import Saying
from rooms.collection import Collection, Spoken
from rooms.ears import Ear
from rooms.own_voices import Occasion, OwnVoices
from rooms.own_words import Cleaned, OwnWords
from rooms.people import People
from rooms.publication import CaptionLog, Publication, TraceRow
from rooms.shared_phone import FIRST, SECOND, voice_key
from rooms.soundings import Soundings
from rooms.voices_heard import VoicesHeard
from rooms.witness import Witness

if TYPE_CHECKING:
    from rooms.member import Member
    from rooms.room import Room

_MAX_TRACES = 500


class Conversation:
    """Made by ``Room``."""

    def __init__(self, room: Room, people: People, collection: Collection | None) -> None:
        self._room, self._people, self._collection = room, people, collection
        self.traces: deque[TraceRow] = deque(maxlen=_MAX_TRACES)
        self.sounds = Soundings(room.clock, self._keeps_sounds)
        self._own_words = OwnWords(self.sounds)
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
        faces |= {display_name(m, SECOND): Face(m.id, m.also_color)
                  for m in self._room.members.values() if m.also}  # fmt: skip
        archive = self._room.kept.archive
        for ear in member.ears:
            for caption in archive.missed(ear.hears, after, member.first_seq, faces):
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
        for number in (FIRST, SECOND):
            self._voices.release(voice_key(member, number))
        self.sounds.forget(member)
        self._own_words.forget(member)

    def owner(self, member: str) -> str | None:
        return self._room.members[member].speaker if member in self._room.members else None

    def spoken_language(self, member: str) -> str | None:
        if self._room.settings.detect_language or member not in self._room.members:
            return None
        return self._room.members[member].speaks

    def among(self, member: str) -> tuple[str, ...]:
        found = self._room.members.get(member)
        return (found.pair if found else None) or ()

    def glossary(self, member: str) -> tuple[str, ...]:
        names = [other.name for other in self._room.members.values()]
        return glossary.expected(glossary.terms(self._room.settings.glossary), names)

    def targets(self, member: str) -> Mapping[str, str | None]:
        """Languages of the others, with a voice where somebody is connected to hear it."""
        wanted: dict[str, bool] = {}
        for other in self._room.members.values():
            if other.id != member or other.pair:
                for ear in other.ears:
                    wanted[ear.hears] = wanted.get(ear.hears, False) or other.audible
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
            if member.pair:  # of two, only the voice itself tells whose it is
                return identity.person
            return speaker_of(member, self._shown(member, identity))

        return Occasion(
            voices, voices.cloning, saying, strategy=self._strategy, speaker_of=speaker,
            owner=None if member.pair else member.speaker, name=member.name,
            listeners=lambda language: self._listeners(member, utterance.id, language),
        )  # fmt: skip

    def _strategy(self) -> Strategy | None:
        chosen = self._room.settings.voices
        return None if chosen == "neutral" else chosen

    def _listeners(self, speaker: Member, utterance: str, language: str) -> Listeners:
        there = [
            ear for m in self._room.members.values() if m.audible and (m is not speaker or m.pair)
            for ear in m.ears if ear.hears == language
        ]  # fmt: skip
        free = min((ear.playout.ahead(utterance) for ear in there), default=0.0)
        return Listeners(free, max((ear.member.playout.lag for ear in there), default=0.0))

    def heard(self, member: str, utterance: str, pitch: Pitch) -> None:
        speaker = self._room.members.get(member)
        if speaker is not None and speaker.pair:
            speaker.two.knows_owner = speaker.speaker is not None
            speaker.two.pitched(member, utterance, pitch, self._voices)
        elif speaker is not None:
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
        speaker = self._room.members.get(member)
        if speaker is not None and speaker.pair and language == speaker.hears:
            # into the first one's language only the other's words are translated
            return self._voices.assign(voice_key(member, SECOND), language, names)
        voice = self._voices.assign(member, language, names)
        if speaker is not None:
            self.on_voice(speaker, language, voice)
        return voice

    def pace(self, utterance: str, language: str) -> float | None:
        """The slowest listener decides, so that all of a language get the same sound."""
        publication = self._publications.get(utterance)
        if publication is not None and not publication.is_awaited(language):
            return None
        paces = [
            member.playout.pace for member in self._room.members.values()
            if any(ear.hears == language for ear in member.ears)
        ]  # fmt: skip
        return max(paces, default=1.0)

    def speaking(self, member: str, active: bool) -> None:
        self.sounds.speaking(member, active)
        voices, there = self.own_voices, self._room.members.values()
        if active and voices and any(voices.cloning.speaks(m.hears) for m in there):
            voices.expect(self.owner(member))
        self._room.send(Speaking(member, active))
        if witness := self._witness(member):
            witness.speaking(active)

    def draft(self, transcript: Transcript, translations: list[Translation], member: str) -> None:
        speaker = self._room.members.get(member)
        if speaker is None or not self._room.settings.partial_captions:
            return
        if speaker.pair and self._own_words.may_be(member, transcript.text):
            return
        texts = {t.language: t for t in translations if t.text}
        if witness := self._witness(member):
            witness.draft(transcript)
        identity = self._whose(speaker, UNHEARD if speaker.pair else speaker.session.identity,
                               transcript.language)  # fmt: skip
        by = label(speaker, identity, self._people, self._room.members.values())
        ears = [ear for member in self._room.members.values() for ear in member.ears]
        for reader in ears:
            told = reader.is_told(speaker, transcript.language)
            translation = texts.get(reader.hears) if told else None
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

    def _awaits_translation(self, reader: Ear, speaker: Member, transcript: Transcript) -> bool:
        if reader.member is speaker:  # its words are on that screen already, in their own language
            return reader.is_told(speaker, transcript.language)
        return self._room.engine.translates_text(transcript.language, reader.hears)

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
        if isinstance(message, Transcript):
            publication.identity = self._settle(publication.speaker, message, identity)
            if witness := self._witness(utterance.member):
                witness.said(utterance, message)
        elif isinstance(message, Translation):
            self._own_words.saying(message)
        identity = publication.identity or self._shown(publication.speaker, identity)
        by = label(publication.speaker, identity, self._people, self._room.members.values())
        row = publication.publish(message, by)
        figures.note(message, publication.behind, row)
        if row is not None:
            self.traces.append(row)
            del self._publications[utterance.id]

    def own_voice_follows(self, utterance: str, language: str) -> bool:
        """Whether what was given in a neutral voice may still be heard in the speaker's own."""
        publication, voices = self._publications.get(utterance), self.own_voices
        if publication is None or voices is None or publication.identity is None:
            return False
        if self._strategy() != "replace" or not voices.cloning.speaks(language):
            return False
        speaker, who = publication.speaker, publication.identity
        return voices.agrees(who.person if speaker.pair else speaker_of(speaker, who))

    def _witness(self, member: str) -> Witness | None:
        there = self._room.members.get(member)
        return there.link.witness if there is not None and there.link is not None else None

    def _shown(self, speaker: Member, identity: Identity) -> Identity:
        """Who spoke, as far as readers are to know."""
        told_apart = self._room.settings.shared_phones or speaker.pair or identity.person
        return identity if told_apart else UNHEARD

    def _settle(self, speaker: Member, said: Transcript, identity: Identity) -> Identity:
        """As ``_shown``, now that it is known what was said."""
        if speaker.pair is None or not said.text:
            return self._shown(speaker, identity)
        who = self._whose(speaker, identity, said.language)
        speaker.two.heard(identity, said.language)
        if who.person is None:
            speaker.two.spoke(speaker.id, said.utterance, who.voice, self._voices)
        return who

    def _whose(self, speaker: Member, identity: Identity, language: str) -> Identity:
        """Of two people at one phone, which."""
        if speaker.pair is None or identity.person is not None:
            return identity
        return replace(identity, voice=speaker.two.speaker(identity, language, speaker.pair))

    async def without_own_words(self, utterance: Utterance) -> Cleaned:
        speaker = self._room.members.get(utterance.member)
        if speaker is None or speaker.pair is None:
            return Cleaned(utterance)
        return await self._own_words.without(utterance, self._room.engine.calculate)

    def _keeps_sounds(self) -> bool:
        collects = self._collection is not None and self._collection.active
        return collects or (
            self._room.settings.two_on_a_phone
            and any(member.pair for member in self._room.members.values())
        )

    def finished(self, spoken: Spoken) -> None:
        said = spoken.utterance
        member = self._room.members.get(said.member)
        if member is None or self._collection is None or not self._collection.active:
            return
        # of two people at one phone, a voice that is nobody's known is not taken for the owner's
        known = spoken.identity.person
        speaker = known if member.pair else speaker_of(member, spoken.identity)
        end = said.start + said.audio.seconds
        self.sounds.said(member.id, said.start, end, speaker)
        if speaker is not None and self._collection.wants(speaker):
            around = self.sounds.around(member.id, said.start, end, speaker)
            self._collection.offer(speaker, spoken, around)
