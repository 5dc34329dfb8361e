"""A gate that knows a few keys by heart, for tests of what lies behind it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import HTTPConnection

from babblefish.errors import TransportError
from babblefish.ui.access import RateLimited
from babblefish.ui.programs.caller import Caller, Gate, Scope

ALL: frozenset[Scope] = frozenset(("translate", "transcribe", "speak", "rooms", "watch"))


class ScriptedGate(Gate):
    """``good`` may do everything; ``deaf`` may not transcribe, ``mute`` not speak, ``poor`` has
    nothing; ``tired`` asked too often."""

    def __init__(self, most: int = 30) -> None:
        self.held, self._most = 0, most
        self._keys = {
            "good": ALL, "deaf": ALL - {"transcribe"}, "mute": ALL - {"speak"}, "poor": frozenset(),
        }  # fmt: skip

    async def admit(self, connection: HTTPConnection, scope: Scope, cost: int = 1) -> Caller:
        key = connection.headers.get("authorization", "").removeprefix("Bearer ")
        if key == "tired":
            raise RateLimited(1)
        if key not in self._keys:
            raise TransportError("api_key", "Send a key made on the host page, tab “Programs”.")
        if scope not in self._keys[key]:
            raise TransportError("scope", f"This key may not {scope}.")
        return Caller(key, key, self._keys[key], "127.0.0.1")

    @contextmanager
    def hold(self, caller: Caller) -> Iterator[None]:
        if self.held >= self._most:
            raise TransportError("too_many_connections", "Too many at once. Try again in 5 s.")
        self.held += 1
        try:
            yield
        finally:
            self.held -= 1
