"""A participant without a browser: one place in a room, over as many connections as it takes.

Speaks ``/ws/client`` as docs/programs.md has it and keeps its promises for whoever uses it: after
a drop it comes back to the same seat, and what was said meanwhile is told once. Knows no
microphone, no files and nothing of the server but the wire.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from babblefish.client.address import RoomAddress
from babblefish.client.trust import unreachable, unverified
from babblefish.errors import TransportError

RATE = 16_000
"""Hertz of the sound that is sent, int16 mono"""
STREAM = 3
"""as ``Sound.kind``"""
_HEADER = struct.Struct("<BBHI")
_AGAIN_S = (0.5, 1.0, 2.0, 5.0)
"""before each new try to connect"""
_TRIES_S = 120.0
"""how long a seat is kept without a connection"""
_MOST_WAITING = 250
"""pieces of sound that wait for a connection: about ten seconds"""
_COME_BACK = frozenset({1001, 1005, 1006, 1011, 1012, 4408, 4429, 4503})
"""codes of connections that may be opened again"""
_MOST_SEEN = 10_000

Message = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    samples: np.ndarray
    """int16 (n,)"""
    rate: int
    kind: int
    """1: of a result, 2: of an f5_result, 3 (STREAM): of a stream"""


@dataclass
class Participant:
    """``run`` it; ``tell`` and ``hear`` are called with what comes."""

    address: RoomAddress
    config: Message
    """as the first message, without type, room and token"""
    context: ssl.SSLContext | None = None
    tell: Callable[[Message], None] = lambda message: None
    hear: Callable[[Sound], None] = lambda sound: None
    api_key: str = field(default="", repr=False)
    connections: int = 0
    """so many were opened"""
    _key: str = field(default="", repr=False)
    _reason: str = ""
    _closed: bool = False
    """the room ended it"""
    _after: int = 0
    _seen: dict[int, None] = field(default_factory=dict)
    _said: asyncio.Queue[bytes | str] = field(default_factory=lambda: asyncio.Queue(_MOST_WAITING))
    _over: asyncio.Event = field(default_factory=asyncio.Event)

    async def say(self, sound: bytes, *, patiently: bool) -> None:
        """int16 at RATE. patiently: wait where too much waits already, or drop the oldest."""
        if not patiently and self._said.full():
            self._said.get_nowait()
        await self._said.put(sound)

    async def send(self, message: Message) -> None:
        """One of the messages that may follow the configuration."""
        await self._said.put(json.dumps(message))

    def leave(self, *, at_once: bool = False) -> None:
        """Give up the seat, after what was said; at_once: what has not left yet never does."""
        while at_once and not self._said.empty():
            self._said.get_nowait()
        self._over.set()

    async def run(self) -> None:
        """Until the room ends it or ``leave``. Raises TransportError."""
        loop = asyncio.get_running_loop()
        tries, lost_at = 0, loop.time()
        while True:
            came = self.connections
            try:
                code, reason = await self._connection()
            except (OSError, InvalidHandshake, TimeoutError) as error:
                if isinstance(error, ssl.SSLCertVerificationError):
                    told = await unverified(self.address.server)
                    raise told from error
                if not self._key:
                    raise unreachable() from error
                code, reason = 1006, ""
            except InvalidURI as error:
                raise unreachable() from error
            if self._over.is_set() or self._closed:
                return
            if code not in _COME_BACK or not self._key:
                raise TransportError("ended", reason or f"The server ended it ({code}).")
            if self.connections > came:
                tries, lost_at = 0, loop.time()
            if loop.time() - lost_at > _TRIES_S:
                raise unreachable()
            await asyncio.sleep(_AGAIN_S[min(tries, len(_AGAIN_S) - 1)])
            tries += 1

    async def _connection(self) -> tuple[int, str]:
        """(code, reason) with which it was closed."""
        headers = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        options: dict[str, Any] = {"ssl": self.context} if self.context else {}
        async with connect(
            self.address.socket, additional_headers=headers, compression=None, proxy=None,
            max_size=None, ping_interval=10, ping_timeout=10, **options,
        ) as socket:  # fmt: skip
            await socket.send(json.dumps(self._first()))
            self._reason = ""
            talking = asyncio.create_task(self._talk(socket))
            try:
                await self._listen(socket)
            except ConnectionClosed:
                pass
            finally:
                talking.cancel()
                await asyncio.gather(talking, return_exceptions=True)
        return socket.close_code or 1006, self._reason or socket.close_reason or ""

    def _first(self) -> Message:
        seat = {"key": self._key, "after": self._after} if self._key else {}
        return {
            "type": "config", "room": self.address.code, "token": self.address.token,
            **self.config, **seat,
        }  # fmt: skip

    async def _talk(self, socket: ClientConnection) -> None:
        """What was said, then, if it is over, a farewell."""
        over = asyncio.create_task(self._over.wait())
        try:
            while not (self._over.is_set() and self._said.empty()):
                following = asyncio.create_task(self._said.get())
                try:
                    await asyncio.wait((following, over), return_when=asyncio.FIRST_COMPLETED)
                    if following.done():
                        await socket.send(following.result())
                finally:
                    following.cancel()
            await socket.send('{"type":"leave"}')
        finally:
            over.cancel()

    async def _listen(self, socket: ClientConnection) -> None:
        async for received in socket:
            if isinstance(received, bytes):
                kind, _, rate, _ = _HEADER.unpack_from(received)
                self.hear(Sound(np.frombuffer(received, "<i2", offset=_HEADER.size), rate, kind))
                continue
            message = json.loads(received)
            if message["type"] == "welcome":
                self._key, self.connections = message["key"], self.connections + 1
            elif message["type"] == "error":
                self._reason = message["message"]
            elif message["type"] == "closed":
                self._closed = True
            if self._is_new(message):
                self.tell(message)

    def _is_new(self, message: Message) -> bool:
        """Notes up to where nothing is missing; what comes again is not told twice."""
        self._after = max(self._after, message.get("after", 0))
        seq = message.get("seq", 0) if message["type"] in ("final", "result") else 0
        if not seq:
            return True
        if seq in self._seen:
            return False
        self._seen[seq] = None
        while len(self._seen) > _MOST_SEEN:
            del self._seen[next(iter(self._seen))]
        return True


async def follow(
    participant: Participant, pieces: AsyncIterator[bytes], *, patiently: bool
) -> None:
    """Say what a microphone or a file gives."""
    async for piece in pieces:
        await participant.say(piece, patiently=patiently)
