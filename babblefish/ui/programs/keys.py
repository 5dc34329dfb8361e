"""The keys of programs while the server runs: made, recognised, revoked, last used.

Recognised in memory, so that trouble of the storage stops no program that was let in before; read
anew every few seconds, as ``app.py keys`` changes them from another process. Knows no HTTP.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

from babblefish.errors import StorageError
from babblefish.storage.records import StoredKey
from babblefish.ui.programs.caller import Scope
from rooms.names import clean_name

if TYPE_CHECKING:
    from babblefish.storage.storage import Storage

log = logging.getLogger(__name__)

SCOPES: tuple[Scope, ...] = get_args(Scope)
MOST_PER_MINUTE, MOST_CONNECTIONS = 100_000, 10_000
PER_MINUTE = 600
"""requests of a key, unless told"""
_KEY = re.compile(r"bf_([0-9a-f]{8})_[A-Za-z0-9_-]{43}")
_LOOK_S = 2.0
"""between looks at what another process changed"""
_APART_S = 0.2
"""between two reads at least, however many unknown keys wait for one"""
_READ_S = 3.0
"""for which a program with an unknown key waits for the disk"""
_USE_S = 30.0
"""between notes of when keys were used"""
_GONE = ("not_found", "bad_value")


def new_key(
    name: str, scopes: Iterable[str], per_minute: int, connections: int, now: float
) -> tuple[StoredKey, str]:
    """What is stored of a new key, and the key, which nobody can show again.

    Raises RoomError("bad_name"), StorageError("bad_value").
    """
    name, may = clean_name(name), frozenset(scopes)
    if not may or not may <= set(SCOPES):
        raise StorageError("bad_value", f"Choose what the key is for: {', '.join(SCOPES)}.")
    if not 1 <= per_minute <= MOST_PER_MINUTE:
        raise StorageError("bad_value", f"A key has 1 to {MOST_PER_MINUTE} requests a minute.")
    if not 1 <= connections <= MOST_CONNECTIONS:
        raise StorageError("bad_value", f"A key has 1 to {MOST_CONNECTIONS} connections.")
    id_ = secrets.token_hex(4)
    key = f"bf_{id_}_{secrets.token_urlsafe(32)}"
    return StoredKey(id_, name, _hash(key), may, per_minute, connections, now), key


def _hash(key: str) -> str:
    # 256 random bits cannot be guessed, however fast the hash is
    return hashlib.sha256(key.encode()).hexdigest()


class Keys:
    """For the event loop. ``start`` it after the storage, ``close`` it before."""

    def __init__(
        self, storage: Storage | None, wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """storage: None: keys end with the process."""
        self._storage, self._wall, self._clock = storage, wall, clock
        self._keys: dict[str, StoredKey] = {}
        self._revoked: set[str] = set()
        """which the disk does not know yet"""
        self._used: dict[str, float] = {}
        self._noted: dict[str, float] = {}
        """of ``_used``, what is on the disk"""
        self._read_at = self._noted_at = -float("inf")
        self._reading = asyncio.Lock()
        self._tending: asyncio.Task | None = None
        self.problem = ""
        """why keys cannot be kept at the moment, in words; empty: all is well"""

    async def start(self) -> None:
        if self._storage is not None:
            await self._try(self._catch_up(self._storage))
            self._tending = asyncio.create_task(self._tend(self._storage), name="keys of programs")

    async def close(self) -> None:
        if self._tending is None or self._storage is None:
            return
        self._tending.cancel()
        await asyncio.gather(self._tending, return_exceptions=True)
        self._noted_at = -float("inf")
        if not self.problem:
            await self._try(self._write(self._storage))

    # --- what there is ------------------------------------------------------------------------

    @property
    def all(self) -> list[StoredKey]:
        """The oldest first."""
        return [replace(key, used=self._used.get(key.id, key.used)) for key in self._keys.values()]

    @property
    def unsaved(self) -> bool:
        """Whether a key that was revoked would work again if the server started anew now."""
        return bool(self._revoked)

    def __contains__(self, key: str) -> bool:
        """``key``: an id."""
        return key in self._keys

    def get(self, key: str) -> StoredKey | None:
        """``key``: an id."""
        return self._keys.get(key)

    def known(self, key: str) -> StoredKey | None:
        """Which key of this server ``key`` is, as far as it is known; None: none."""
        shape = _KEY.fullmatch(key)
        found = self._keys.get(shape[1]) if shape else None
        return found if found and secrets.compare_digest(found.sha256, _hash(key)) else None

    async def look_up(self, key: str) -> StoredKey | None:
        """As ``known``, with what another process made until now. Raises StorageError where that
        cannot be told now."""
        if self._storage is not None and _KEY.fullmatch(key):
            await self._read_soon(self._storage)
        return self.known(key)

    def note_use(self, key: str) -> None:
        """``key``: an id."""
        self._used[key] = self._wall()

    # --- changes ------------------------------------------------------------------------------

    async def make(
        self, name: str, scopes: Iterable[str], per_minute: int, connections: int
    ) -> tuple[StoredKey, str]:
        """As ``new_key``, on the disk. Raises StorageError, and then there is no key."""
        stored, key = new_key(name, scopes, per_minute, connections, self._wall())
        if self._storage is not None:
            await self._storage.add_key(stored)
        self._keys[stored.id] = stored
        return stored, key

    async def revoke(self, key: str) -> None:
        """``key``: an id. It opens nothing from here on, whatever the disk does; see ``unsaved``.
        Raises StorageError("not_found")."""
        if self._keys.pop(key, None) is None:
            raise StorageError("not_found", "This key was revoked already.")
        self._used.pop(key, None)
        if self._storage is not None:
            self._revoked.add(key)
            await self._try(self._write(self._storage))

    # --- the storage --------------------------------------------------------------------------

    async def _tend(self, storage: Storage) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            await self._try(self._catch_up(storage))

    async def _try(self, work) -> None:
        try:
            await work
        except StorageError as error:
            if self.problem != error.message:
                log.warning("Keys of programs are not kept: %s", error.message)
            self.problem = error.message
        else:
            self.problem = ""

    async def _catch_up(self, storage: Storage) -> None:
        await self._write(storage)
        await self._read(storage)

    async def _write(self, storage: Storage) -> None:
        for key in list(self._revoked):
            try:
                await storage.delete_key(key)
            except StorageError as error:
                if error.code not in _GONE:
                    raise
            self._revoked.discard(key)
        if self._clock() - self._noted_at > _USE_S:
            used = dict(self._used)
            new = {key: at for key, at in used.items() if self._noted.get(key) != at}
            if new:
                await storage.note_key_use(new)
            self._noted, self._noted_at = used, self._clock()

    async def _read_soon(self, storage: Storage) -> None:
        try:
            async with asyncio.timeout(_READ_S):
                await self._read(storage)
        except TimeoutError as error:
            raise StorageError("slow", "The storage does not answer.") from error

    async def _read(self, storage: Storage) -> None:
        """Raises StorageError."""
        asked = self._clock()
        async with self._reading:
            if self._read_at >= asked:  # by somebody else meanwhile
                return
            await asyncio.sleep(self._read_at + _APART_S - self._clock())
            known, begun = dict(self._keys), self._clock()
            stored = {key.id: key for key in await storage.keys()}
            lost = [key for key in known.values() if key.id not in stored]
            if lost:
                stored = {key.id: key for key in await storage.keep_keys(lost)}
            added = {id_: key for id_, key in self._keys.items() if id_ not in known}
            gone = self._revoked | (known.keys() - self._keys.keys())
            self._keys = {i: k for i, k in (stored | added).items() if i not in gone}
            self._read_at = begun
            self._used = {i: at for i, at in self._used.items() if i in self._keys}
