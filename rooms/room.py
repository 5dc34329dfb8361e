"""A room: who is in it, who hears which language, and everything said in it.

Implements the ``Audience`` of its members' sessions. Knows the engine only to offer languages
and voices; knows nothing of addresses, pages or peer connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from babblefish.engine.engine import Engine
from babblefish.engine.pitch import Pitch
from babblefish.engine.voice_matching import Person as VoicedPerson
from babblefish.engine.voices import VoiceBook
from babblefish.errors import BabbleFishError, RoomError
from babblefish.languages import direction, normalise
from babblefish.protocol import (
    Caption,
    ClosedReason,
    EngineMessage,
    Retract,
    Roster,
    ServerEvent,
    Speaking,
    Transcript,
    Translation,
    Utterance,
    Welcome,
)
from babblefish.storage.records import Retention
from rooms import glossary
from rooms.admission import Admission
from rooms.archive import Face
from rooms.keeping import Kept
from rooms.keys import Seat
from rooms.member import Member
from rooms.names import clean_name
from rooms.publication import CaptionLog, Publication, TraceRow, display_name
from rooms.room_settings import RoomSettings

COLORS = 12
"""size of the palette in room.css"""
_MAX_TRACES = 500


class Room:
    """Made by ``Hub.create``."""

    def __init__(
        self, name: str, engine: Engine, settings: RoomSettings, kept: Kept, *,
        max_members: int, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.name = clean_name(name, "room name")
        self.engine, self.settings, self.clock = engine, settings, clock
        self.kept = kept
        """what outlives the process; ``save`` it after every change"""
        self.code, self.created_at = kept.code, kept.created
        self.active_at = clock()
        """when somebody was last connected"""
        self.locked = kept.locked
        self.closed = False
        self.members: dict[str, Member] = {}
        self.admission = Admission(self)
        self.traces: deque[TraceRow] = deque(maxlen=_MAX_TRACES)
        self.max_members = max_members
        self._captions = CaptionLog(kept.archive.first_seq)
        self._voices = VoiceBook()
        self.on_voice: Callable[[Member, str, str], None] = lambda member, language, voice: None
        """told which voice a member was given in which language"""
        self._publications: dict[str, Publication] = {}
        self._met: tuple[frozenset[str], frozenset[str]] | None = None
        """languages (spoken, heard) that the engine was told of"""
        self.kept.save(self)

    # --- access -----------------------------------------------------------------------------

    def rotate_token(self) -> None:
        """Make a new link; the old one opens nothing any more. Members stay."""
        self.admission.forgive()
        self.kept.link.renew()
        self.kept.save(self)

    @property
    def token(self) -> str:
        return self.kept.link.token

    def opens(self, token: str) -> bool:
        return self.kept.link.opens(token) and not self.closed

    def member_of(self, key: str) -> Member | None:
        found = None
        for member in self.members.values():  # every key is compared, whichever matches
            if secrets.compare_digest(key.encode(), member.key.encode()):
                found = member
        return found

    # --- membership -------------------------------------------------------------------------

    def join(
        self, *, name: str, speaks: str, hears: str, microphone: bool, admitted: bool = False
    ) -> Member:
        """A new participant. speaks: a language code, or "auto". admitted: the host let them in.

        Raises RoomError("room_locked" | "room_full" | "bad_name" | "language").
        """
        if self.locked and not admitted:
            raise RoomError("room_locked", "The host has locked this room. Ask them to unlock it.")
        seat = Seat.new(self.last_seq, self._free_color())
        return self._sit(seat, name, speaks, hears, microphone)

    def readmit(self, key: str, *, name: str, speaks: str, hears: str, microphone: bool) -> Member:
        """The participant whose key this is, come back after the server forgot them; into a
        locked room, too. Raises as ``join``, and RoomError("member_key")."""
        seat = self.kept.seats.read(key)
        if seat is None or self.closed:
            raise RoomError("member_key", "You are no longer in this room. Join it again.")
        here = self.members.get(seat.member)
        return here or self._sit(seat, name, speaks, hears, microphone)

    def _sit(self, seat: Seat, name: str, speaks: str, hears: str, microphone: bool) -> Member:
        if len(self.members) >= self.max_members:
            raise RoomError("room_full", f"The room is full ({self.max_members} people).")
        member = Member(
            self, clean_name(name), self._speakable(speaks), self._hearable(hears), seat, microphone
        )
        self.members[member.id] = member
        self.active_at = self.clock()
        self._prepare()
        self.roster_changed()
        return member

    def check_newcomer(self, speaks: str, hears: str) -> None:
        """Whether somebody may wait at the door. Raises as ``join``; who waits counts, too."""
        if self.locked:
            raise RoomError("room_locked", "The host has locked this room. Ask them to unlock it.")
        if len(self.members) + len(self.admission.waiting) >= self.max_members:
            raise RoomError("room_full", f"The room is full ({self.max_members} people).")
        self._speakable(speaks)
        self._hearable(hears)

    def configure(
        self, member: Member, name: str | None, speaks: str | None, hears: str | None
    ) -> None:
        """Change what is not None. Raises RoomError("bad_name" | "language")."""
        new_name = member.name if name is None else clean_name(name)
        new_speaks = member.speaks if speaks is None else self._speakable(speaks)
        new_hears = member.hears if hears is None else self._hearable(hears)
        if new_speaks != member.speaks:
            member.heard_language = new_speaks
        member.name, member.speaks, member.hears = new_name, new_speaks, new_hears
        self._prepare()
        self.roster_changed()

    def _prepare(self) -> None:
        """Whoever leaves their own language open most likely speaks the one they want to hear."""
        people = self.members.values()
        met = frozenset(m.speaks or m.hears for m in people), frozenset(m.hears for m in people)
        if met != self._met:
            self._met = met
            self.engine.prepare(*met)

    def leave(self, member: Member, reason: ClosedReason) -> None:
        """End a membership for good."""
        if member.id in self.members:
            self.kept.seats.give_up(member.id)
            self.kept.save(self)
        self._let_go(member, reason)

    def _let_go(self, member: Member, reason: ClosedReason) -> None:
        """Until they come back, if they have not given up their seat."""
        if self.members.pop(member.id, None) is None:
            return
        if member.link is not None:
            member.link.close(reason)
        member.task.cancel()
        self._voices.release(member.id)
        self.roster_changed()

    async def remove(self, member_id: str, reason: ClosedReason = "removed") -> None:
        """Raises RoomError("member") when there is no such member."""
        if member_id not in self.members:
            raise RoomError("member", "This person has left already.")
        if reason == "removed":
            self.admission.removed(member_id)
        self.leave(self.members[member_id], reason)

    def lock(self, locked: bool) -> None:
        self.locked = locked
        self.kept.save(self)
        self.roster_changed()

    def keep(self, retention: Retention) -> None:
        """How long what is said here is kept. Raises RoomError("setting")."""
        self.kept.archive.keep(retention)
        self.kept.save(self)
        self.send(self.kept.archive.policy)

    def forget(self) -> None:
        """Nothing that was said until now comes back to anybody."""
        self.kept.archive.forget()
        self._captions.clear()

    def set(self, **changes: Any) -> None:
        """Change settings; they hold at once. Raises RoomError("setting" | "glossary")."""
        before, self.settings = self.settings, self.settings.changed(**changes)
        if before.waiting_list and not self.settings.waiting_list:
            with contextlib.suppress(RoomError):  # whom there is no room for waits on
                self.admission.admit_all()
        for member in self.members.values():
            member.playout.lag_budget = self.settings.lag_budget
            if before.original_level != self.settings.original_level:
                member.playout.originals.level = self.settings.original_level
        floor = before.listen_only, before.presenters
        if floor != (self.settings.listen_only, self.settings.presenters):
            self._floor_changed()
        self.kept.save(self)

    @property
    def presenters(self) -> list[str]:
        """Ids of members who are heard where everybody else only listens, the newest last."""
        return self.settings.presenters.split()

    def present(self, member_id: str, presenting: bool) -> None:
        """Who is heard while only presenters are. Raises RoomError("member")."""
        if member_id not in self.members:
            raise RoomError("member", "This person has left already.")
        others = [known for known in self.presenters if known != member_id]
        wanted = [*others, member_id] if presenting else others
        self.set(presenters=" ".join(wanted[-self.max_members :]))

    def may_speak(self, member: Member) -> bool:
        return not self.settings.listen_only or member.id in self.presenters

    def _floor_changed(self) -> None:
        for member in self.members.values():
            if not self.may_speak(member):
                member.session.flush()
        self.roster_changed()

    async def close(self) -> None:
        """Send everybody away for good and stop all work."""
        self.closed = True
        self.admission.close()
        self.kept.save(self)
        await self._empty()

    async def suspend(self) -> None:
        """The server stops: hang up without a farewell, so that phones come back to the room
        when it is there again, and stop all work."""
        for member in self.members.values():
            if member.link is not None:
                member.link.closed.set()
        await self._empty()

    async def _empty(self) -> None:
        tasks = [member.task for member in self.members.values()]
        for member in list(self.members.values()):
            self._let_go(member, "room_closed")
        await asyncio.gather(*tasks, return_exceptions=True)

    def expire(self, grace: float) -> None:
        """Let go of members who have been without a connection for ``grace`` seconds."""
        now = self.clock()
        self.admission.expire()
        for member in list(self.members.values()):
            if member.away_since is not None and now - member.away_since > grace:
                self._let_go(member, "left")
        if any(member.connected for member in self.members.values()):
            self.active_at = now

    def _speakable(self, code: str) -> str | None:
        if code == "auto":
            return None
        language = _language(code)
        if language not in self.engine.recogniser_capabilities.languages:
            raise RoomError("language", "This language cannot be recognised by this server.")
        return language

    def _hearable(self, code: str) -> str:
        language = _language(code)
        if self.engine.hearing(language) is None:
            raise RoomError("language", "Nothing can be translated into this language here.")
        return language

    def _free_color(self) -> int:
        used = [member.color for member in self.members.values()]
        return min(range(COLORS), key=lambda color: (used.count(color), color))

    # --- connections ------------------------------------------------------------------------

    @property
    def last_seq(self) -> int:
        return self._captions.last_seq

    def send(self, event: ServerEvent) -> None:
        for member in self.members.values():
            member.send(event)

    def roster_changed(self) -> None:
        self.send(Roster([m.person() for m in self.members.values()], self.locked))

    def on_attached(self, member: Member) -> None:
        member.send(Welcome(member.id, self.name, self.last_seq))
        member.send(self.kept.archive.policy)
        self.active_at = self.clock()
        self.roster_changed()

    def on_detached(self, member: Member) -> None:
        self.active_at = self.clock()
        self.roster_changed()

    def resume(self, member: Member, after: int) -> None:
        """Send ``member`` every final caption since ``after``."""
        faces = {m.name: Face(m.id, m.color) for m in self.members.values()}
        archive = self.kept.archive
        for caption in archive.missed(member.hears, after, member.first_seq, faces):
            member.send(caption)
        for caption in self._captions.since(member, after):
            member.send(caption)

    def pass_on(self, speaker: Member, frame: np.ndarray) -> None:
        """Live microphone sound, int16 (960,) at 48 kHz, to everybody else."""
        for member in self.members.values():
            if member is not speaker and member.link is not None:
                member.playout.originals.put(
                    speaker.id, frame, member.hears == speaker.heard_language
                )

    # --- Audience ---------------------------------------------------------------------------

    def spoken_language(self, member: str) -> str | None:
        if self.settings.detect_language or member not in self.members:
            return None
        return self.members[member].speaks

    def glossary(self, member: str) -> tuple[str, ...]:
        names = [other.name for other in self.members.values()]
        return glossary.expected(glossary.terms(self.settings.glossary), names)

    def targets(self, member: str) -> Mapping[str, str | None]:
        """Languages of the others, with a voice where somebody is connected to hear it."""
        wanted: dict[str, bool] = {}
        for other in self.members.values():
            if other.id != member:
                wanted[other.hears] = wanted.get(other.hears, False) or other.connected
        return {
            language: self._voice(member, language) if audible else None
            for language, audible in wanted.items()
        }

    def heard(self, member: str, pitch: Pitch) -> None:
        if member in self.members:
            self._voices.hear(member, pitch)

    def describe(self, member: Member, person: VoicedPerson) -> None:
        """By what to choose a member's voice, from now on."""
        self._voices.describe(member.id, person)

    def voice_of(self, member: Member, language: str) -> str | None:
        """With what a member's words are spoken in a language; None: they are not."""
        return self._voice(member.id, language)

    def _voice(self, member: str, language: str) -> str | None:
        if not (names := self.engine.voices(language)):
            return None
        voice = self._voices.assign(member, language, names)
        if member in self.members:
            self.on_voice(self.members[member], language, voice)
        return voice

    def pace(self, utterance: str, language: str) -> float | None:
        """The slowest listener decides, so that all of a language get the same sound."""
        publication = self._publications.get(utterance)
        if publication is not None and not publication.is_awaited(language):
            return None
        paces = [m.playout.pace for m in self.members.values() if m.hears == language]
        return max(paces, default=1.0)

    def speaking(self, member: str, active: bool) -> None:
        self.send(Speaking(member, active))

    def draft(self, transcript: Transcript, translations: list[Translation], member: str) -> None:
        speaker = self.members.get(member)
        if speaker is None or not self.settings.partial_captions:
            return
        texts = {t.language: t for t in translations if t.text}
        for reader in self.members.values():
            translation = texts.get(reader.hears) if reader is not speaker else None
            if translation is None and self._awaits_translation(reader, speaker, transcript):
                continue  # a line that changes its language to and fro cannot be read
            shown = translation or transcript
            reader.send(
                Caption(
                    transcript.utterance, member, display_name(speaker, speaker.session.voice),
                    speaker.color, shown.text, shown.language, direction(shown.language), False,
                    0, transcript.text if translation else "", transcript.language,
                    direction(transcript.language), translation.quality if translation else "good",
                    translation is not None, False, time.time(),
                )
            )  # fmt: skip

    def _awaits_translation(self, reader: Member, speaker: Member, transcript: Transcript) -> bool:
        return reader is not speaker and self.engine.translates_text(
            transcript.language, reader.hears
        )

    def retract(self, utterance: str) -> None:
        self.send(Retract(utterance))

    def begin(self, utterance: Utterance, waited: float) -> None:
        speaker = self.members.get(utterance.member)
        if speaker is None:
            return
        publication = Publication(
            utterance, speaker, lambda: list(self.members.values()), self._captions,
            self.kept.archive, self.clock() - waited, waited,
        )  # fmt: skip
        self._publications[utterance.id] = publication
        publication.open(dict(self.targets(utterance.member)))

    def publish(self, utterance: Utterance, message: EngineMessage, voice: int) -> None:
        publication = self._publications.get(utterance.id)
        if publication is None:
            return
        row = publication.publish(message, voice if self.settings.shared_phones else 0)
        if row is not None:
            self.traces.append(row)
            del self._publications[utterance.id]


def _language(code: str) -> str:
    try:
        return normalise(code)
    except BabbleFishError as error:
        raise RoomError("language", error.message) from error
