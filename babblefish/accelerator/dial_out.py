"""Calls the room server where the server cannot call the laptop: a firewall, a guest network.

While no call of the server has come for a while, the laptop keeps a WebSocket to it, tries again
with growing pauses, and hangs up when the server's own calls are back. What is said over it is
``conversation``'s.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import Literal

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from babblefish.accelerator.conversation import Conversation
from babblefish.accelerator.door import Door
from babblefish.accelerator.pairing import Pairing
from babblefish.accelerator.reception import Reception
from babblefish.accelerator_protocol import MOST_CLIP_BYTES

log = logging.getLogger(__name__)

PATH = "/ws/tts-accelerator"
_LOOK_S = 0.5
_PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)
_REFUSED_PAUSE_S = 60.0
_HELD_S = 20.0
"""after which a connection was good, and the pauses start anew"""
_OPEN_S = 10.0

State = Literal[
    "expected", "called", "waiting", "dialling", "open", "refused", "replaced", "stranger"
]
"""expected: the server may call any moment; called: it does; waiting: it has not for a moment;
replaced: another program holds this laptop's place; stranger: who answers is not the server"""
_CLOSES: dict[int, State] = {4401: "refused", 4403: "refused", 4409: "replaced"}
_LASTING = ("refused", "replaced", "stranger")


class DialOut:
    """``run`` until cancelled. ``on_change`` is told every new state."""

    def __init__(
        self, pairing: Pairing, reception: Reception, door: Door, silence_s: float,
        on_change: Callable[[State], None], at_once: bool = False,
    ) -> None:  # fmt: skip
        """at_once: the server has said already that it cannot call."""
        self._pairing, self._reception, self._door = pairing, reception, door
        self._silence, self._on_change = silence_s, on_change
        self._failures = 0
        self._first = not at_once
        self.state: State = "waiting" if at_once else "expected"

    async def run(self) -> None:
        while True:
            await self._until_silent()
            loop = asyncio.get_running_loop()
            began = loop.time()
            ended = await self._dial()
            if loop.time() - began > _HELD_S:
                self._failures = 0
            if self._door.since_call < self._silence:
                continue
            self._enter(ended)
            pause = _PAUSES[min(self._failures, len(_PAUSES) - 1)]
            self._failures += 1
            await self._pause(pause if ended == "waiting" else _REFUSED_PAUSE_S)

    async def _until_silent(self) -> None:
        waited = 0.0
        while True:
            since = self._door.since_call
            if since < self._silence:
                self._failures = 0
                self._enter("called")
            elif self._failures or waited >= self._silence or not self._first:
                self._first = False
                return
            await asyncio.sleep(_LOOK_S)
            waited += _LOOK_S

    async def _pause(self, seconds: float) -> None:
        """Shorter when the server calls meanwhile."""
        while seconds > 0 and self._door.since_call >= self._silence:
            await asyncio.sleep(_LOOK_S)
            seconds -= _LOOK_S

    async def _dial(self) -> State:
        """One connection from beginning to end; what to say of the laptop afterwards."""
        if self.state not in _LASTING:
            self._enter("dialling")
        trust = self._pairing.trust
        address = trust.server.replace("http", "ws", 1) + PATH
        try:
            async with connect(
                address,
                ssl=trust.context() if address.startswith("wss:") else None,
                additional_headers={"Authorization": self._pairing.bearer},
                compression=None,
                proxy=None,
                open_timeout=_OPEN_S,
                close_timeout=2.0,
                ping_interval=10.0,
                ping_timeout=20.0,
                max_size=MOST_CLIP_BYTES + 20_000,
                max_queue=8,
            ) as socket:
                self._enter("open")
                self._door.heard()
                await self._talk(socket)
        except InvalidStatus as error:
            return "refused" if error.response.status_code in (401, 403) else "waiting"
        except ConnectionClosed as error:
            code = error.rcvd.code if error.rcvd else 0
            return _CLOSES.get(code, "waiting")
        except ssl.SSLCertVerificationError:
            return "stranger"
        except (OSError, TimeoutError, InvalidHandshake) as error:
            log.debug("The server cannot be reached: %s", type(error).__name__)
        return "waiting"

    async def _talk(self, socket: ClientConnection) -> None:
        conversation = Conversation(self._reception, socket.send, self._door.heard)
        talking = asyncio.create_task(conversation.run(_texts(socket)), name="conversation")
        leaving = asyncio.create_task(self._until_called(conversation))
        try:
            await asyncio.wait((talking, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            talking.cancel()
            ended, _ = await asyncio.gather(talking, leaving, return_exceptions=True)
        if isinstance(ended, Exception):
            raise ended

    async def _until_called(self, conversation: Conversation) -> None:
        """Until the server calls again and nothing is under way here any more."""
        while self._door.since_call >= self._silence or conversation.busy:
            await asyncio.sleep(_LOOK_S)

    def _enter(self, state: State) -> None:
        if state != self.state:
            self.state = state
            self._on_change(state)


async def _texts(socket: ClientConnection):
    """Its messages; unlike iterating over it, says how it ended."""
    while True:
        yield await socket.recv()
