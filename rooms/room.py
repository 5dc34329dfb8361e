"""A room: who is in it, who hears which language, and everything said in it.

Implements the ``Audience`` of its members' sessions. Knows the engine only to offer languages
and voices; knows nothing of addresses, pages or peer connections.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from babblefish.engine.engine import Engine
from babblefish.engine.identification import Identity
from babblefish.engine.pitch import Pitch
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
from rooms.attribution import label, speaker_of
from rooms.collection import Collection, Spoken
from rooms.member import Member
from rooms.names import clean_name
from rooms.people import People
from rooms.publication import CaptionLog, Publication, TraceRow
from rooms.soundings import Soundings

COLORS = 12
"""size of the palette in room.css"""
_MAX_TRACES = 500
_CODE_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


@dataclass(frozen=True, slots=True)
class RoomSettings:
    """What a host may change while the room is open."""

    original_level: float = 0.2
    """0..1: loudness of originals that a listener does not understand, until they change it"""
    lag_budget: float = 12.0
    """seconds of delay after which sound is skipped and the caption marked"""
    partial_captions: bool = True

    def __post_init__(self) -> None:
        if not 0.0 <= self.original_level <= 1.0:
            raise RoomError("setting", "The original voice's level is between 0 and 1.")
        if not 3.0 <= self.lag_budget <= 120.0:
            raise RoomError("setting", "The lag budget is between 3 and 120 seconds.")


class Room:
    """Made by ``Hub.create``."""

    def __init__(
        self, name: str, engine: Engine, settings: RoomSettings, *, max_members: int,
        token_seconds: float, clock: Callable[[], float] = time.monotonic,
        people: People | None = None, collection: Collection | None = None,
    ) -> None:  # fmt: skip
        self.code = "".join(secrets.choice(_CODE_ALPHABET) for _ in range(8))
        self.name = clean_name(name, "room name")
        self.engine, self.settings, self.clock = engine, settings, clock
        self.people = people or People(None)
        self.collection = collection
        self.sounds = Soundings(clock, lambda: collection is not None and collection.active)
        self.created_at = time.time()
        self.active_at = clock()
        """when somebody was last connected"""
        self.locked = False
        self.closed = False
        self.members: dict[str, Member] = {}
        self.traces: deque[TraceRow] = deque(maxlen=_MAX_TRACES)
        self._max_members, self._token_seconds = max_members, token_seconds
        self._captions = CaptionLog()
        self._voices = VoiceBook()
        self._publications: dict[str, Publication] = {}
        self._met: tuple[frozenset[str], frozenset[str]] | None = None
        """languages (spoken, heard) that the engine was told of"""
        self.rotate_token()

    # --- access -----------------------------------------------------------------------------

    def rotate_token(self) -> None:
        """Make a new link; the old one opens nothing any more. Members stay."""
        self.token = secrets.token_urlsafe(18)
        self._token_until = self.clock() + self._token_seconds

    def opens(self, token: str) -> bool:
        same = secrets.compare_digest(token.encode(), self.token.encode())
        return same and self.clock() < self._token_until and not self.closed

    def member_of(self, key: str) -> Member | None:
        found = None
        for member in self.members.values():  # every key is compared, whichever matches
            if secrets.compare_digest(key.encode(), member.key.encode()):
                found = member
        return found

    # --- membership -------------------------------------------------------------------------

    def join(self, *, name: str, speaks: str, hears: str, microphone: bool) -> Member:
        """A new participant. speaks: a language code, or "auto".

        Raises RoomError("room_locked" | "room_full" | "bad_name" | "language").
        """
        if self.locked:
            raise RoomError("room_locked", "The host has locked this room. Ask them to unlock it.")
        if len(self.members) >= self._max_members:
            raise RoomError("room_full", f"The room is full ({self._max_members} people).")
        member = Member(
            self, clean_name(name), self._speakable(speaks), self._hearable(hears),
            self._free_color(), microphone,
        )  # fmt: skip
        self.members[member.id] = member
        self.active_at = self.clock()
        self._prepare()
        self.roster_changed()
        return member

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
        if self.members.pop(member.id, None) is None:
            return
        if member.link is not None:
            member.link.close(reason)
        member.task.cancel()
        self._voices.release(member.id)
        self.sounds.forget(member.id)
        self.roster_changed()

    async def remove(self, member_id: str, reason: ClosedReason = "removed") -> None:
        """Raises RoomError("member") when there is no such member."""
        if member_id not in self.members:
            raise RoomError("member", "This person has left already.")
        self.leave(self.members[member_id], reason)

    def lock(self, locked: bool) -> None:
        self.locked = locked
        self.roster_changed()

    def set(self, **changes: Any) -> None:
        """Change settings; they hold at once. Raises RoomError("setting")."""
        known = {field.name for field in fields(RoomSettings)}
        if unknown := set(changes) - known:
            raise RoomError("setting", f"There is no setting {', '.join(sorted(unknown))}.")
        before, self.settings = self.settings, replace(self.settings, **changes)
        for member in self.members.values():
            member.playout.lag_budget = self.settings.lag_budget
            if before.original_level != self.settings.original_level:
                member.playout.originals.level = self.settings.original_level

    async def close(self) -> None:
        """Send everybody away and stop all work."""
        self.closed = True
        tasks = [member.task for member in self.members.values()]
        for member in list(self.members.values()):
            self.leave(member, "room_closed")
        await asyncio.gather(*tasks, return_exceptions=True)

    def expire(self, grace: float) -> None:
        """Let go of members who have been without a connection for ``grace`` seconds."""
        now = self.clock()
        for member in list(self.members.values()):
            if member.away_since is not None and now - member.away_since > grace:
                self.leave(member, "left")
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
        self.active_at = self.clock()
        self.roster_changed()

    def on_detached(self, member: Member) -> None:
        self.active_at = self.clock()
        self.roster_changed()

    def resume(self, member: Member, after: int) -> None:
        """Send ``member`` every final caption since ``after``."""
        for caption in self._captions.since(member, after):
            member.send(caption)

    def pass_on(self, speaker: Member, frame: np.ndarray) -> None:
        """Live microphone sound, int16 (960,) at 48 kHz, to everybody else."""
        self.sounds.live(speaker.id, frame)
        for member in self.members.values():
            if member is not speaker and member.link is not None:
                member.playout.originals.put(
                    speaker.id, frame, member.hears == speaker.heard_language
                )

    # --- Audience ---------------------------------------------------------------------------

    def owner(self, member: str) -> str | None:
        return self.members[member].speaker if member in self.members else None

    def spoken_language(self, member: str) -> str | None:
        return self.members[member].speaks if member in self.members else None

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

    def _voice(self, member: str, language: str) -> str | None:
        names = self.engine.voices(language)
        return self._voices.assign(member, language, names) if names else None

    def pace(self, utterance: str, language: str) -> float | None:
        """The slowest listener decides, so that all of a language get the same sound."""
        publication = self._publications.get(utterance)
        if publication is not None and not publication.is_awaited(language):
            return None
        paces = [m.playout.pace for m in self.members.values() if m.hears == language]
        return max(paces, default=1.0)

    def speaking(self, member: str, active: bool) -> None:
        self.sounds.speaking(member, active)
        self.send(Speaking(member, active))

    def draft(self, transcript: Transcript, translations: list[Translation], member: str) -> None:
        speaker = self.members.get(member)
        if speaker is None or not self.settings.partial_captions:
            return
        texts = {t.language: t for t in translations if t.text}
        by = label(speaker, speaker.session.identity, self.people, self.members.values())
        for reader in self.members.values():
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
                    translation is not None, False, time.time(), by.known,
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
            self.clock() - waited, waited,
        )  # fmt: skip
        self._publications[utterance.id] = publication
        publication.open(dict(self.targets(utterance.member)))

    def publish(self, utterance: Utterance, message: EngineMessage, identity: Identity) -> None:
        publication = self._publications.get(utterance.id)
        if publication is None:
            return
        by = label(publication.speaker, identity, self.people, self.members.values())
        row = publication.publish(message, by)
        if row is not None:
            self.traces.append(row)
            del self._publications[utterance.id]

    def finished(self, spoken: Spoken) -> None:
        said = spoken.utterance
        member = self.members.get(said.member)
        if member is None or self.collection is None or not self.collection.active:
            return
        speaker = speaker_of(member, spoken.identity)
        end = said.start + said.audio.seconds
        self.sounds.said(member.id, said.start, end, speaker)
        if speaker is not None and self.collection.wants(speaker):
            around = self.sounds.around(member.id, said.start, end, speaker)
            self.collection.offer(speaker, spoken, around)


def _language(code: str) -> str:
    try:
        return normalise(code)
    except BabbleFishError as error:
        raise RoomError("language", error.message) from error
