"""Scripted rooms with the interface of ``rooms``: an echo or a tone instead of an engine."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Self

import numpy as np

from babblefish.errors import RoomError
from babblefish.languages import LanguageOffer
from babblefish.protocol import Closed, Leave, Ping, Pong, Resume, ServerEvent, Welcome
from babblefish.storage.secret import ServerSecret
from rooms.keeping import Kept

FRAME = 960


class FakeEngine:
    """Serves en, fr and pl; fr→pl is basic, pl→fr is not served."""

    profile_name, strain = "fake", 0.0
    pools: tuple = ()

    def __init__(self) -> None:
        self.ready = False

    async def start(self) -> None:
        self.ready = True

    async def close(self) -> None:
        self.ready = False

    def languages(self) -> list[LanguageOffer]:
        return [
            LanguageOffer("en", "English", "English", "ltr", True, "voice"),
            LanguageOffer("fr", "français", "French", "ltr", True, "voice"),
            LanguageOffer("pl", "polski", "Polish", "ltr", True, "basic_voice"),
            LanguageOffer("ar", "العربية", "Arabic", "rtl", True, None),
        ]

    def pair(self, source: str, target: str) -> str | None:
        return {("fr", "pl"): "basic", ("pl", "fr"): None}.get((source, target), "good")


@dataclass(frozen=True)
class FakeRoomSettings:
    original_level: float = 0.2
    listen_only: bool = False
    detect_language: bool = False
    two_on_a_phone: bool = False
    lag_budget: float = 12.0
    partial_captions: bool = True


class FakeLink(AbstractContextManager):
    """``script``: "echo" returns what was heard, "tone" a 440 Hz sine, "silence" nothing."""

    def __init__(self, member: FakeMember, send: Callable[[ServerEvent], None]) -> None:
        self.member, self.send = member, send
        self.closed = asyncio.Event()
        self.events: list = []
        self.heard = 0
        self._queue: deque[np.ndarray] = deque(maxlen=4)
        self._phase = 0

    def __enter__(self) -> Self:
        if self.member.link is not None:
            self.member.link.send(Closed("replaced"))
        self.member.link = self
        self.member.links += 1
        self.member.connected = True
        return self

    def __exit__(self, *_) -> None:
        if self.member.link is self:
            self.member.link = None
            self.member.connected = False

    def hear(self, samples: np.ndarray) -> None:
        assert samples.dtype == np.int16 and samples.ndim == 1
        self.heard += len(samples)
        if self.member.room.script == "echo":
            for start in range(0, len(samples) - FRAME + 1, FRAME):
                self._queue.append(samples[start : start + FRAME])

    def next_frame(self) -> np.ndarray:
        if self.member.room.script == "tone":
            t = (np.arange(FRAME) + self._phase) / 48000
            self._phase += FRAME
            return (8000 * np.sin(2 * np.pi * 440 * t)).astype(np.int16)
        return self._queue.popleft() if self._queue else np.zeros(FRAME, np.int16)

    def event(self, event) -> None:
        self.events.append(event)
        if isinstance(event, Resume):
            self.send(Welcome(self.member.id, self.member.room.name, 0))
        elif isinstance(event, Ping):
            if event.id == 13:
                raise RoomError("unlucky", "Not this one.")
            self.send(Pong(event.id))
        elif isinstance(event, Leave):
            self.member.room.end(self.member, "left")


class FakeMember:
    _ids = itertools.count(1)

    def __init__(self, room, name: str, speaks: str, hears: str, microphone: bool) -> None:
        self.room = room
        self.id = f"m{next(self._ids)}"
        self.key = secrets.token_urlsafe(24)
        self.name, self.hears, self.microphone = name, hears, microphone
        self.speaks = None if speaks == "auto" else speaks
        self.color = 0
        self.connected = False
        self.link: FakeLink | None = None
        self.links = 0
        self.session = SimpleNamespace(speaking=False, waiting=(0, 0))
        self.playout = SimpleNamespace(lag=0.0)

    def attach(self, send: Callable[[ServerEvent], None]) -> FakeLink:
        return FakeLink(self, send)


class FakeDoor:
    """Open to everybody."""

    waiting: tuple = ()

    def __init__(self, room: FakeRoom) -> None:
        self._room = room

    def enter(self, address: str, *, seated: Callable, **who) -> FakeMember:
        member = self._room.join(**who)
        seated(member)
        return member


class FakeRoom:
    def __init__(self, name: str, script: str) -> None:
        alphabet = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
        self.code = "".join(secrets.choice(alphabet) for _ in range(8))
        self.token = secrets.token_urlsafe(24)
        self.name, self.script = name, script
        self.locked = False
        self.created_at = time.time()
        self.members: dict[str, FakeMember] = {}
        self.traces: deque = deque(maxlen=100)
        self.settings = FakeRoomSettings()
        self.kept = Kept()
        self.admission = FakeDoor(self)

    def join(
        self, *, name: str, speaks: str, hears: str, microphone: bool, also: str = ""
    ) -> FakeMember:
        if self.locked:
            raise RoomError("room_locked", "The host locked this room.")
        if len(self.members) >= 40:
            raise RoomError("room_full", "This room is full.")
        if not name.strip() or len(name) > 60:
            raise RoomError("bad_name", "Type a name of 1 to 60 characters.")
        if hears not in ("en", "fr", "pl") or speaks not in ("auto", "en", "fr", "pl"):
            raise RoomError("language", "Choose a language of the list.")
        member = FakeMember(self, name, speaks, hears, microphone)
        self.members[member.id] = member
        return member

    def lock(self, locked: bool) -> None:
        self.locked = locked

    def rotate_token(self) -> None:
        self.token = secrets.token_urlsafe(24)

    def set(self, **settings) -> None:
        self.settings = replace(self.settings, **settings)

    def end(self, member: FakeMember, reason: str) -> None:
        self.members.pop(member.id, None)
        if member.link is not None:
            member.link.send(Closed(reason))
            member.link.closed.set()

    async def remove(self, member_id: str, reason: str = "removed") -> None:
        if (member := self.members.get(member_id)) is not None:
            self.end(member, reason)

    async def close(self) -> None:
        for member in list(self.members.values()):
            self.end(member, "room_closed")


class FakeHub:
    def __init__(self, script: str = "echo") -> None:
        self.rooms: dict[str, FakeRoom] = {}
        self.storage, self.secret = None, ServerSecret()
        self.script = script
        self.laptops = SimpleNamespace(states=())

    async def start(self) -> None:
        pass

    async def refresh_people(self) -> None:
        pass

    async def close(self) -> None:
        for code in list(self.rooms):
            await self.close_room(code)

    def create(self, name: str, preset: str = "meeting") -> FakeRoom:
        room = FakeRoom(name, self.script)
        self.rooms[room.code] = room
        return room

    def enter(self, code: str, token: str) -> FakeRoom:
        room = self.rooms.get(code)
        if room is None or not secrets.compare_digest(room.token.encode(), token.encode()):
            raise RoomError("room_token", "This link is not valid: ask the host for a new one.")
        return room

    def member(self, code: str, key: str) -> FakeMember:
        room = self.rooms.get(code)
        for member in room.members.values() if room else ():
            if secrets.compare_digest(member.key.encode(), key.encode()):
                return member
        raise RoomError("member_key", "This seat is no longer yours: join again.")

    async def close_room(self, code: str) -> None:
        if (room := self.rooms.pop(code, None)) is not None:
            await room.close()
