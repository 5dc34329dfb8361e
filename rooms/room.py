"""A room: who is in it, who may come in, and what its host has set.

What is said in it is the ``Conversation``'s. Knows the engine only to offer languages; knows
nothing of addresses, pages or peer connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from babblefish.engine.engine import Engine
from babblefish.engine.job_queue import Priority
from babblefish.errors import BabbleFishError, RoomError
from babblefish.languages import normalise
from babblefish.protocol import (
    ClosedReason,
    Roster,
    ServerEvent,
    Welcome,
)
from babblefish.storage.records import Retention
from rooms.admission import Admission
from rooms.collection import Collection
from rooms.conversation import Conversation
from rooms.keeping import Kept
from rooms.keys import Seat
from rooms.member import Member
from rooms.names import clean_name
from rooms.people import People
from rooms.room_settings import RoomSettings

COLORS = 12
"""size of the palette in room.css"""


class Room:
    """Made by ``Hub.create``."""

    def __init__(
        self, name: str, engine: Engine, settings: RoomSettings, kept: Kept, *,
        max_members: int, clock: Callable[[], float] = time.monotonic,
        people: People | None = None, collection: Collection | None = None,
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
        self.conversation = Conversation(self, people or People(None), collection)
        self.max_members = max_members
        self.priority = Priority.PROGRAM
        """of what is said here: rooms with people come before those of programs alone"""
        self._live: tuple[Member, ...] = ()
        """who hears live sound"""
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
        self, *, name: str, speaks: str, hears: str, microphone: bool, also: str = "",
        admitted: bool = False,
    ) -> Member:  # fmt: skip
        """A new participant. speaks: a language code, or "auto". also: the language of a second
        person at the same phone, or "". admitted: the host let them in.

        Raises RoomError("room_locked" | "room_full" | "bad_name" | "language").
        """
        if self.locked and not admitted:
            raise RoomError("room_locked", "The host has locked this room. Ask them to unlock it.")
        seat = Seat.new(self.conversation.last_seq, self._free_color())
        return self._sit(seat, name, speaks, hears, microphone, also)

    def readmit(
        self, key: str, *, name: str, speaks: str, hears: str, microphone: bool, also: str = ""
    ) -> Member:
        """The participant whose key this is, come back after the server forgot them; into a
        locked room, too. Raises as ``join``, and RoomError("member_key")."""
        seat = self.kept.seats.read(key)
        if seat is None or self.closed:
            raise RoomError("member_key", "You are no longer in this room. Join it again.")
        here = self.members.get(seat.member)
        return here or self._sit(seat, name, speaks, hears, microphone, also)

    def _sit(
        self, seat: Seat, name: str, speaks: str, hears: str, microphone: bool, also: str
    ) -> Member:
        if len(self.members) >= self.max_members:
            raise RoomError("room_full", f"The room is full ({self.max_members} people).")
        member = Member(
            self, clean_name(name), self._speakable(speaks), self._hearable(hears), seat,
            microphone, self._second(hears, also), self._free_color(seat.color),
        )  # fmt: skip
        self.members[member.id] = member
        self.active_at = self.clock()
        self._look_around()
        self._prepare()
        self.roster_changed()
        return member

    def check_newcomer(self, speaks: str, hears: str, also: str = "") -> None:
        """Whether somebody may wait at the door. Raises as ``join``; who waits counts, too."""
        if self.locked:
            raise RoomError("room_locked", "The host has locked this room. Ask them to unlock it.")
        if len(self.members) + len(self.admission.waiting) >= self.max_members:
            raise RoomError("room_full", f"The room is full ({self.max_members} people).")
        self._speakable(speaks)
        self._hearable(hears)
        self._second(hears, also)

    def configure(
        self, member: Member, name: str | None, speaks: str | None, hears: str | None,
        also: str | None = None,
    ) -> None:  # fmt: skip
        """Change what is not None. Raises RoomError("bad_name" | "language")."""
        new_name = member.name if name is None else clean_name(name)
        new_speaks = member.speaks if speaks is None else self._speakable(speaks)
        new_hears = member.hears if hears is None else self._hearable(hears)
        new_also = self._second(new_hears, (member.also or "") if also is None else also)
        if new_speaks != member.speaks:
            member.heard_language = new_speaks
        member.name, member.speaks, member.hears = new_name, new_speaks, new_hears
        member.also = new_also
        self._prepare()
        self.roster_changed()

    def _prepare(self) -> None:
        """Whoever leaves their own language open most likely speaks the one they want to hear."""
        people = self.members.values()
        seconds = {m.pair[1] for m in people if m.pair}
        met = (
            frozenset({m.speaks or m.hears for m in people} | seconds),
            frozenset({m.hears for m in people} | seconds),
        )
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
        self.conversation.release(member.id)
        self._look_around()
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
        self.conversation.forget()

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
        when it is there again, and stop all work. Who waits at the door asks again then."""
        self.admission.suspend()
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

    def _second(self, hears: str, also: str) -> str | None:
        """The language of a second person at the phone of somebody who hears ``hears``."""
        if not also:
            return None
        first, second = self._speakable(hears), self._hearable(also)
        if first is None or self._speakable(also) is None or first == second:
            raise RoomError("language", "Choose two different languages for one phone.")
        if not (self.engine.pair(first, second) and self.engine.pair(second, first)):
            raise RoomError(
                "language", "These two languages cannot be translated into each other here."
            )
        return second

    def _free_color(self, *taken: int) -> int:
        used = [member.color for member in self.members.values()]
        used += [member.also_color for member in self.members.values() if member.also] + [*taken]
        return min(range(COLORS), key=lambda color: (used.count(color), color))

    # --- connections ------------------------------------------------------------------------

    def send(self, event: ServerEvent) -> None:
        for member in self.members.values():
            member.send(event)

    def roster_changed(self) -> None:
        self.send(Roster([m.person() for m in self.members.values()], self.locked))

    def on_attached(self, member: Member) -> None:
        member.send(Welcome(member.id, self.name, self.conversation.last_seq))
        member.send(self.kept.archive.policy)
        self.active_at = self.clock()
        self._look_around()
        self.roster_changed()

    def on_detached(self, member: Member) -> None:
        self.active_at = self.clock()
        self._look_around()
        self.roster_changed()

    def _look_around(self) -> None:
        """Somebody came or went: what is asked for every piece of sound is found out once."""
        there = self.members.values()
        self._live = tuple(member for member in there if member.hears_originals)
        programs = all(member.is_program for member in there)
        self.priority = Priority.PROGRAM if programs else Priority.NOW

    def pass_on(self, speaker: Member, frame: np.ndarray) -> None:
        """Live microphone sound, int16 (960,) at 48 kHz, to everybody else."""
        self.conversation.sounds.live(speaker.id, frame)
        for member in self._live:
            if member is not speaker:
                understood = speaker.heard_language in (member.pair or (member.hears,))
                member.playout.originals.put(speaker.id, frame, understood)

    def is_heard_live(self, speaker: Member) -> bool:
        """Whether what ``pass_on`` is given would be heard, or kept for a while."""
        return self.conversation.sounds.wanted() or self._live not in ((), (speaker,))


def _language(code: str) -> str:
    try:
        return normalise(code)
    except BabbleFishError as error:
        raise RoomError("language", error.message) from error
