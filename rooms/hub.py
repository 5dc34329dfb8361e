"""All rooms of this server: created, entered, expired.

Refusals do not tell an unknown room from a wrong, expired or revoked token.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from babblefish.engine.engine import Engine
from babblefish.errors import RoomError, StorageError
from babblefish.settings import Settings
from babblefish.storage.secret import ServerSecret
from babblefish.storage.storage import Storage
from rooms.collection import Collection
from rooms.member import Member
from rooms.people import People
from rooms.room import Room, RoomSettings

log = logging.getLogger(__name__)

PRESETS: dict[str, RoomSettings] = {"meeting": RoomSettings()}
"""Starting points for a room's settings."""
_SWEEP_S = 2.0


class Hub:
    def __init__(
        self, settings: Settings, engine: Engine, storage: Storage | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """storage: started and closed with the hub; None: nothing outlives the process."""
        self.rooms: dict[str, Room] = {}
        self.storage = storage
        self.people = People(storage)
        """see ``refresh_people``"""
        self.collection = Collection(self.people, engine)
        self.secret = ServerSecret() if storage is None else _secret(settings)
        self._settings, self._engine, self._clock = settings, engine, clock
        self._sweeper: asyncio.Task | None = None

    async def start(self) -> None:
        if self.storage is not None:
            await self.storage.start()
        self._sweeper = asyncio.create_task(self._sweep(), name="hub sweeper")

    async def close(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeper
        for code in list(self.rooms):
            await self.close_room(code)
        await self.collection.close()
        if self.storage is not None:
            await self.storage.close()

    async def refresh_people(self) -> None:
        """Read the known people anew; the engine has to be ready."""
        await self.people.refresh(self._engine.speaker_encoder.capabilities.name)

    def create(self, name: str, preset: str = "meeting") -> Room:
        """Raises RoomError("too_many_rooms" | "bad_name" | "preset")."""
        limit = self._settings.max_rooms
        if len(self.rooms) >= limit:
            raise RoomError(
                "too_many_rooms", f"There are {limit} rooms already. Close one of them first."
            )
        if preset not in PRESETS:
            raise RoomError("preset", f"Known presets: {', '.join(PRESETS)}.")
        base = PRESETS[preset]
        if preset == "meeting":
            base = RoomSettings(self._settings.original_level, self._settings.lag_budget)
        room = Room(
            name, self._engine, base, max_members=self._settings.max_members,
            token_seconds=self._settings.token_hours * 3600, clock=self._clock,
            people=self.people, collection=self.collection,
        )  # fmt: skip
        self.rooms[room.code] = room
        return room

    def enter(self, code: str, token: str) -> Room:
        """The room, for someone with its link. Raises RoomError("room_token")."""
        room = self.rooms.get(code)
        if room is None or not room.opens(token):
            raise RoomError(
                "room_token", "This link does not open a room any more. Ask the host for a new one."
            )
        return room

    def member(self, code: str, key: str) -> Member:
        """The participant with this secret key. Raises RoomError("member_key")."""
        room = self.rooms.get(code)
        member = room.member_of(key) if room else None
        if member is None:
            raise RoomError("member_key", "You are no longer in this room. Join it again.")
        return member

    async def close_room(self, code: str) -> None:
        """Raises RoomError("room") when there is no such room."""
        room = self.rooms.pop(code, None)
        if room is None:
            raise RoomError("room", "This room is closed already.")
        await room.close()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            idle = self._settings.room_idle_hours * 3600
            for code, room in list(self.rooms.items()):
                room.expire(self._settings.grace_seconds)
                if not room.members and self._clock() - room.active_at > idle:
                    await self.close_room(code)


def _secret(settings: Settings) -> ServerSecret:
    """That of the data folder; a folder in trouble costs the old links, not the meeting."""
    try:
        return ServerSecret.load(settings.data_dir)
    except StorageError as error:
        log.error("%s", error.message)
        return ServerSecret()
