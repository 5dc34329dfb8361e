"""Lets programs in by their keys: checks, counts, and holds what is open at once within bounds.

Keys are ``keys.py``'s. Knows neither routes nor what they do.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from starlette.requests import HTTPConnection

from babblefish.errors import StorageError, TransportError
from babblefish.settings import Settings
from babblefish.ui.access import TOKEN, Access, TryLater
from babblefish.ui.programs.caller import Caller, Scope

if TYPE_CHECKING:
    from babblefish.storage.records import StoredKey
    from babblefish.ui.programs.keys import Keys

_AGAIN_S = 5
"""after which somebody who was refused for lack of room may try again"""


class KeyGate:
    """The Gate of ``caller.py``; one per server."""

    def __init__(self, keys: Keys, access: Access, settings: Settings) -> None:
        self._keys, self._access, self._settings = keys, access, settings
        self._held: Counter[str] = Counter()
        """key id → what it has open"""

    @property
    def open(self) -> int:
        """Connections and long jobs of all programs."""
        return self._held.total()

    def open_of(self, key: str) -> int:
        """``key``: an id."""
        return self._held[key]

    async def admit(self, connection: HTTPConnection, scope: Scope, cost: int = 1) -> Caller:
        """As ``Gate.admit``; also StorageError, 503, where an unknown key cannot be told from a
        new one."""
        address = Access.address(connection)
        self._access.spend(self._settings.requests_per_address, "program", address)
        key = await self._recognise(connection, address)
        if scope not in key.scopes:
            raise TransportError(
                "scope", f"This key is not for “{scope}”. Make one that is, on the host page, tab "
                "“Programs”.",
            )  # fmt: skip
        self._access.spend(key.per_minute, "key", key.id, cost=cost)
        self._keys.note_use(key.id)
        return Caller(key.id, key.name, cast("frozenset[Scope]", key.scopes), address)

    async def _recognise(self, connection: HTTPConnection, address: str) -> StoredKey:
        scheme, _, told = connection.headers.get("authorization", "").partition(" ")
        told = told.strip()
        if not told:
            raise TransportError(
                "api_key", "Send a key as “Authorization: Bearer …”. The host makes one on the "
                "host page, tab “Programs”.",
            )  # fmt: skip
        if scheme.lower() == "bearer" and TOKEN.fullmatch(told):
            # what is known is let in before wrong tries of the same address are looked at: one
            # program with an old key must not lock out its neighbours
            if found := self._keys.known(told):
                return found
            self._access.hit("key_guess", address)
            try:
                if found := await self._keys.look_up(told):
                    return found
            except StorageError as error:
                raise TryLater(
                    "storage", "This key cannot be checked at the moment. Try again soon.", _AGAIN_S
                ) from error
        else:
            self._access.hit("key_guess", address)
        raise TransportError("api_key", "This key is wrong, or it was revoked.")

    def still(self, caller: Caller) -> bool:
        """Whether the key of ``caller`` was not revoked meanwhile; for what goes on for long."""
        return not caller.key_id or caller.key_id in self._keys

    @contextlib.contextmanager
    def hold(self, caller: Caller) -> Iterator[None]:
        """As ``Gate.hold``. A caller without a key (key_id ""), let in by a room's token, counts
        among all programs together."""
        key = self._keys.get(caller.key_id)
        if self.open >= self._settings.max_connections:
            raise TryLater(
                "too_many_connections", "As many programs as this server takes are connected. Try "
                "again soon.", _AGAIN_S,
            )  # fmt: skip
        if key is not None and self._held[key.id] >= key.connections:
            raise TryLater(
                "too_many_connections", f"This key has {key.connections} connections open, as "
                "many as it may. Close one of them, or try again soon.", _AGAIN_S,
            )  # fmt: skip
        self._held[caller.key_id] += 1
        try:
            yield
        finally:
            self._held[caller.key_id] -= 1
            if not self._held[caller.key_id]:
                del self._held[caller.key_id]
