"""All rooms of this server: created, entered, expired.

Refusals do not tell an unknown room from a wrong, expired or revoked token.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import fields, replace

from babblefish.engine import two_tier
from babblefish.engine.cloning import Cloning
from babblefish.engine.engine import Engine
from babblefish.errors import RoomError, StorageError
from babblefish.settings import Settings
from babblefish.storage.records import Retention, StoredRoom
from babblefish.storage.secret import ServerSecret
from babblefish.storage.storage import Storage
from rooms import presets
from rooms.collection import Collection
from rooms.enrolment import Enrolments
from rooms.keeping import Kept, Past, RoomKeeper
from rooms.laptops import Laptops
from rooms.member import Member
from rooms.own_voices import OwnVoices
from rooms.people import People
from rooms.profiles import Profiles
from rooms.room import Room, RoomSettings

log = logging.getLogger(__name__)

_SWEEP_S = 2.0


class Hub:
    def __init__(
        self, settings: Settings, engine: Engine, storage: Storage | None = None,
        clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time,
        cloning: two_tier.Cloning | None = None,
    ) -> None:  # fmt: skip
        """cloning: who speaks in people's own voices; None: the laptops, ``self.cloning``.
        storage: started and closed with the hub; None: nothing outlives the process.
        wall: Unix time, by which links and transcripts end."""
        self.rooms: dict[str, Room] = {}
        self.storage = storage
        self.people = People(storage)
        """see ``refresh_people``"""
        self.profiles = Profiles(self, engine)
        self.enrolments = Enrolments(self, engine)
        self.collection = Collection(self.people, engine)
        self.cloning = Cloning()
        self.own_voices = OwnVoices(
            self.people, self.collection, engine, cloning or self.cloning,
            cloning.forget if cloning else lambda speaker: self.laptops.forget(speaker),
        )  # fmt: skip
        self.secret = ServerSecret() if storage is None else _secret(settings)
        self.laptops = Laptops(self.secret, self.cloning, storage, lambda: self.people.known)
        self._settings, self._engine, self._clock, self._wall = settings, engine, clock, wall
        self._sweeper: asyncio.Task | None = None
        self._keeper: RoomKeeper | None = None
        if storage is not None:
            self._keeper = RoomKeeper(storage, self._restore, self.rooms.__contains__, wall)

    async def start(self) -> None:
        """With a storage, opens the rooms again that were open when the server stopped."""
        if self._keeper is not None:
            await self._keeper.start()
        await self.laptops.start()
        self._sweeper = asyncio.create_task(self._sweep(), name="hub sweeper")

    async def close(self) -> None:
        """Stop everything. With a storage, rooms stay open and their transcripts kept: phones are
        hung up on and come back by themselves when the server is there again. Without one, people
        are told that their room is closed."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeper
        self.enrolments.close()
        if self.storage is None or self._keeper is None:
            for code in list(self.rooms):
                await self.close_room(code)
            await self.own_voices.close()
            await self._let_laptops_go()
            await self.collection.close()
            await self.profiles.close()
            return
        await self._keeper.close()
        for room in self.rooms.values():
            await room.suspend()
        self.rooms.clear()
        await self.own_voices.close()
        await self._let_laptops_go()
        await self.collection.close()
        await self.profiles.close()
        await self.storage.close()

    async def _let_laptops_go(self) -> None:
        await self.laptops.close()
        await self.cloning.close()

    async def refresh_people(self) -> None:
        """Read the known people anew; the engine has to be ready."""
        await self.people.refresh(self._engine.speaker_encoder.capabilities.name)
        for room in self.rooms.values():
            room.kept.archive.forget_all_but(self.people.known)
            room.conversation.forget_all_but(self.people.known)

    def create(self, name: str, preset: str = "meeting") -> Room:
        """Raises RoomError("too_many_rooms" | "bad_name" | "preset")."""
        limit = self._settings.max_rooms
        if len(self.rooms) >= limit:
            raise RoomError(
                "too_many_rooms", f"There are {limit} rooms already. Close one of them first."
            )
        return self._open(name, presets.settings(preset, self.usual), self._kept())

    def _restore(self, past: Past) -> None:
        stored = past.room
        known = stored.preset if stored.preset in presets.PRESETS else "meeting"
        base = presets.settings(known, self.usual)
        self._open(stored.name, _settings(base, past.settings), self._kept(past))

    def _kept(self, past: Past | None = None) -> Kept:
        return Kept(
            self.storage, self.secret, self._settings.token_hours * 3600, past=past,
            wall=self._wall,
        )  # fmt: skip

    def _open(self, name: str, base: RoomSettings, kept: Kept) -> Room:
        room = Room(
            name, self._engine, base, kept, max_members=self._settings.max_members,
            clock=self._clock, people=self.people, collection=self.collection,
        )  # fmt: skip
        room.conversation.on_voice = self.profiles.voice_found
        room.conversation.own_voices = self.own_voices
        self.rooms[room.code] = room
        return room

    @property
    def usual(self) -> RoomSettings:
        """What meetings are opened with on this server."""
        return RoomSettings(self._settings.original_level, self._settings.lag_budget)

    def enter(self, code: str, token: str) -> Room:
        """The room, for someone with its link. Raises RoomError("room_token")."""
        room = self.rooms.get(code)
        if room is None or not room.opens(token):
            raise RoomError(
                "room_token", "This link does not open a room any more. Ask the host for a new one."
            )
        return room

    def member(self, code: str, key: str) -> Member:
        """The participant with this secret key. Raises RoomError("member_key"), or
        RoomError("seat") where the key is good and its owner has to sit down again."""
        room = self.rooms.get(code)
        member = room.member_of(key) if room else None
        if member is None and room is not None and room.kept.seats.read(key) is not None:
            raise RoomError("seat", "You were away for a while. Return to your seat first.")
        if member is None:
            raise RoomError("member_key", "You are no longer in this room. Join it again.")
        return member

    def readmit(
        self, code: str, key: str, *, name: str, speaks: str, hears: str, microphone: bool,
        also: str = "",
    ) -> Member:  # fmt: skip
        """Back to their seat, for somebody whom the server has forgotten. Raises
        RoomError("member_key" | "room_full" | "bad_name" | "language")."""
        room = self.rooms.get(code)
        if room is None:
            raise RoomError("member_key", "You are no longer in this room. Join it again.")
        return room.readmit(
            key, name=name, speaks=speaks, hears=hears, microphone=microphone, also=also
        )

    async def close_room(self, code: str) -> None:
        """For good, and with the transcript unless it is kept for days. Raises RoomError("room")
        when there is no such room."""
        room = self.rooms.pop(code, None)
        if room is None:
            raise RoomError("room", "This room is closed already.")
        await room.close()
        self._tidy()

    # --- transcripts ------------------------------------------------------------------------

    @property
    def closed_rooms(self) -> tuple[StoredRoom, ...]:
        """Those of which a transcript is kept, the latest first."""
        return self._keeper.closed if self._keeper is not None else ()

    def keep_transcript(self, code: str, retention: Retention) -> None:
        """How long what is said in a room is kept; what is kept too long goes at once.

        Raises RoomError("room" | "setting").
        """
        room = self.rooms.get(code)
        if room is None:
            raise RoomError("room", "This room is closed already.")
        room.keep(retention)
        self._tidy()

    async def delete_transcript(self, code: str) -> None:
        """Everything said until now in an open room, or a closed room and its transcript. The
        captions on people's screens stay until they close the page. Raises StorageError."""
        if self.storage is None or self._keeper is None:
            return
        room = self.rooms.get(code)
        try:
            if room is not None:
                room.forget()
                await self.storage.delete_transcripts(code)
            else:
                await self.storage.delete_room(code)
                await self._keeper.look()
        finally:
            self._tidy()

    def _tidy(self) -> None:
        if self._keeper is not None:
            self._keeper.tidy()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            idle = self._settings.room_idle_hours * 3600
            self.enrolments.forget_absent({id_ for r in self.rooms.values() for id_ in r.members})
            for code, room in list(self.rooms.items()):
                room.expire(self._settings.grace_seconds)
                if not room.members and self._clock() - room.active_at > idle:
                    await self.close_room(code)


def _settings(base: RoomSettings, stored: Mapping[str, float | bool | str]) -> RoomSettings:
    """What the host had changed; anything this version cannot use is left as it was."""
    known = {field.name for field in fields(RoomSettings)}
    try:
        return replace(base, **{name: value for name, value in stored.items() if name in known})
    except (RoomError, TypeError):
        return base


def _secret(settings: Settings) -> ServerSecret:
    """That of the data folder; a folder in trouble costs the old links, not the meeting."""
    try:
        return ServerSecret.load(settings.data_dir)
    except StorageError as error:
        log.error("%s", error.message)
        return ServerSecret()
