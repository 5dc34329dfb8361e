"""Rooms that outlive the process: what is recorded of one, and how all of them come back.

A room survives a crash and a restart alike; only its host, or nobody being there for long, closes
it for good. Nothing here raises into a meeting, and no room waits for a disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from babblefish.errors import RoomError, StorageError
from babblefish.storage.records import StoredRoom, TranscriptEntry
from babblefish.storage.secret import ServerSecret
from babblefish.storage.storage import Storage
from rooms.archive import Archive
from rooms.keys import Link, Seats

if TYPE_CHECKING:
    from rooms.room import Room

log = logging.getLogger(__name__)

_CODE_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
_LINK, _SEATS = "_link", "_given_up"
"""beside the host's settings in ``StoredRoom.settings``"""
_MOST_MISSED = 1000
"""utterances from before a restart that phones may ask for"""
_SEQ_PER_S, _SEQ_GAP = 20, 1000
"""Captions are numbered faster than anybody talks: a number after a restart is higher than any
before it, even where no transcript is kept or its end was lost."""
_START_S = 10.0
"""a storage that takes longer is waited for in the background"""
_EVERY_S, _AGAIN_S = 600.0, 5.0


@dataclass(frozen=True, slots=True)
class Past:
    """A room as it was before the server started."""

    room: StoredRoom
    last_seq: int = 0
    entries: tuple[TranscriptEntry, ...] = ()

    @property
    def settings(self) -> dict[str, float | bool | str]:
        """Fields of ``RoomSettings``, and possibly others."""
        return {**self.room.settings, "glossary": "\n".join(self.room.glossary)}


class Kept:
    """What of one room outlives the process: its code, link, seats and transcript."""

    def __init__(
        self, storage: Storage | None = None, secret: ServerSecret | None = None,
        token_seconds: float = 86400.0, *, past: Past | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._storage, self._wall = storage, wall
        secret = secret or ServerSecret()
        if past is None:
            self.code = "".join(secrets.choice(_CODE_ALPHABET) for _ in range(8))
            self.created, self.locked = wall(), False
            self.archive = Archive(storage, self.code)
            self.link = Link(secret, self.code, token_seconds, wall)
            self.seats = Seats(secret, self.code, token_seconds, wall)
            return
        stored = past.room
        self.code, self.created, self.locked = stored.code, stored.created, stored.locked
        since = int((wall() - stored.created) * _SEQ_PER_S)
        first_seq = max(since, past.last_seq + _SEQ_GAP)
        self.archive = Archive(storage, self.code, stored.retention, past.entries, first_seq)
        self.link = Link(secret, self.code, token_seconds, wall)
        self.link.restore(int(stored.settings.get(_LINK, 0)), stored.tokens)
        given_up = str(stored.settings.get(_SEATS, "")).split()
        self.seats = Seats(secret, self.code, token_seconds, wall, given_up)

    def save(self, room: Room) -> None:
        """Record ``room`` as it is now; a closed one is closed for good."""
        if self._storage is None:
            return
        settings = asdict(room.settings)
        glossary = tuple(settings.pop("glossary").splitlines())
        own: dict[str, float | bool | str] = {
            _LINK: self.link.generation, _SEATS: " ".join(self.seats.given_up)
        }  # fmt: skip
        self._storage.record(
            StoredRoom(
                self.code, room.name, room.settings.preset, self.created, (self.link.hash,),
                closed=self._wall() if room.closed else None, locked=room.locked,
                retention=self.archive.retention, glossary=glossary, settings={**settings, **own},
            )
        )  # fmt: skip


class RoomKeeper:
    """Brings rooms back when the storage can be read, and deletes what is not kept any longer."""

    def __init__(
        self, storage: Storage, restore: Callable[[Past], None], is_open: Callable[[str], bool],
        wall: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        """restore opens a room again and may raise RoomError; is_open tells those that are."""
        self._storage, self._restore, self._is_open, self._wall = storage, restore, is_open, wall
        self._loaded = False
        self._due = asyncio.Event()
        self._task: asyncio.Task | None = None
        self.closed: tuple[StoredRoom, ...] = ()
        """rooms that are closed and of which a transcript is kept, the latest first"""

    async def start(self) -> None:
        """Never raises: what cannot be read now is read later."""
        with contextlib.suppress(StorageError, TimeoutError):
            async with asyncio.timeout(_START_S):
                await self._storage.start()
                await self._load()
        self._task = asyncio.create_task(self._run(), name="room keeper")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def tidy(self) -> None:
        """Delete what is not kept any longer now, not at the next round."""
        self._due.set()

    async def look(self) -> None:
        """Read anew which closed rooms something is kept of. Raises StorageError."""
        rooms = [room for room in await self._storage.rooms(closed=True) if room.closed]
        self.closed = tuple(sorted(rooms, key=lambda r: r.closed or 0.0, reverse=True))

    async def _run(self) -> None:
        while True:
            pause = _EVERY_S
            self._due.clear()
            try:
                await self._load()
                await self._storage.expire(self._wall())
                await self.look()
            except StorageError as error:
                log.info("Rooms could not be kept in order: %s", error.code)
                pause = _AGAIN_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._due.wait()

    async def _load(self) -> None:
        if self._loaded:
            return
        stored = await self._storage.rooms()
        pasts = [await self._past(room) for room in stored if not self._is_open(room.code)]
        self._loaded = True
        self._open_again(pasts)

    async def _past(self, room: StoredRoom) -> Past:
        last = await self._storage.last_sequence(room.code)
        entries = await self._storage.transcript(room.code, limit=_MOST_MISSED, newest=True)
        return Past(room, last, tuple(entries))

    def _open_again(self, pasts: Iterable[Past]) -> None:
        for past in pasts:
            try:
                self._restore(past)
            except (RoomError, ValueError, TypeError) as error:  # of another version, perhaps
                log.warning("A stored room could not be opened again: %s", type(error).__name__)
