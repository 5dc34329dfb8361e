"""Who calls from a program, and what they may do: what routes for programs need of API keys.

An interface alone; ``gate.py`` keeps it. Knows no keys, storage or limits.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import HTTPConnection

from babblefish.errors import TransportError

Scope = Literal["translate", "transcribe", "speak", "rooms", "watch"]
"""``translate``: text. ``transcribe``: speech to text, and to translations of it. ``speak``: text
to speech. ``rooms``: open connections to rooms by WebSocket, with a room's token as well.
``watch``: status and metrics."""

_KEY = HTTPBearer(
    scheme_name="API key", description="A key made on the host page, tab “Programs”.",
    auto_error=False,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Caller:
    """A program whose key was accepted."""

    key_id: str
    """of the key, never the key itself"""
    name: str
    """what the key is called on the host page"""
    scopes: frozenset[Scope]
    address: str
    """as ``Access.address`` gives it"""


class Gate(Protocol):
    async def admit(self, connection: HTTPConnection, scope: Scope, cost: int = 1) -> Caller:
        """Check the key of a request or a WebSocket (Authorization: Bearer) and count it.

        cost: how many of the key's requests this one counts as.
        Raises TransportError("api_key"), 401, where it is missing, wrong or revoked;
        TransportError("scope"), 403; RateLimited, 429, with ``Retry-After``.
        """
        ...

    def still(self, caller: Caller) -> bool:
        """Whether the key of ``caller`` was not revoked meanwhile; for what goes on for long."""
        ...

    def hold(self, caller: Caller) -> AbstractContextManager[None]:
        """One of the connections and long jobs that may be open at once, of this key and of all
        programs together; let go of on leaving the block.

        Raises TransportError("too_many_connections"), 503, which says when to try again.
        """
        ...


def needs(gate: Gate, *scopes: Scope) -> Any:
    """A parameter's default for routes: ``caller: Caller = needs(gate, "translate")`` is an
    admitted Caller, and the OpenAPI document says that a key is needed. Of several scopes, one
    is enough."""

    async def admitted(
        connection: HTTPConnection,
        _documented: Annotated[HTTPAuthorizationCredentials | None, Depends(_KEY)] = None,
    ) -> Caller:
        for scope in scopes[:-1]:
            try:
                return await gate.admit(connection, scope)
            except TransportError as error:
                if error.code != "scope":
                    raise
        return await gate.admit(connection, scopes[-1])

    return Depends(admitted)
