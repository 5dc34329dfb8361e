"""The WebSocket of a laptop that the server cannot call: texts in and out, bounded.

Knows no messages; who may open one is decided in ``accelerators_api``.
"""

from __future__ import annotations

import asyncio

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from babblefish.accelerator_protocol import MOST_AUDIO_BYTES
from babblefish.errors import TransportError

MOST_TEXT = MOST_AUDIO_BYTES + 4096
"""characters of one message from a laptop"""
_MOST_WAITING = 4
"""messages that wait to be read; the laptop waits meanwhile"""
_SEND_SECONDS = 30.0


class LaptopSocket:
    """``send`` and ``receive`` raise TransportError("gone") once it is closed, for whatever
    reason."""

    def __init__(self, websocket: WebSocket) -> None:
        """websocket: accepted."""
        self._websocket = websocket
        self._arrived: asyncio.Queue[str] = asyncio.Queue(_MOST_WAITING)
        self._ended = asyncio.Event()
        self._code = 1000

    async def send(self, text: str) -> None:
        if self._ended.is_set():
            raise _gone()
        try:
            async with asyncio.timeout(_SEND_SECONDS):
                await self._websocket.send_text(text)
        except (OSError, RuntimeError, TimeoutError, WebSocketDisconnect) as error:
            self.close(1011)
            raise _gone() from error

    async def receive(self) -> str:
        """The next message; those that came before the end are still given."""
        if not self._arrived.empty():
            return self._arrived.get_nowait()
        taking = asyncio.create_task(self._arrived.get())
        ending = asyncio.create_task(self._ended.wait())
        try:
            await asyncio.wait((taking, ending), return_when=asyncio.FIRST_COMPLETED)
            if taking.done():
                return taking.result()
            raise _gone()
        finally:
            taking.cancel()
            ending.cancel()

    def close(self, code: int) -> None:
        """It ends now; ``code`` tells the laptop why: 4401 removed, 4409 replaced by another."""
        if not self._ended.is_set():
            self._code = code
            self._ended.set()

    async def run(self) -> None:
        """Carry messages until one side ends it."""
        reading = asyncio.create_task(self._read(), name="laptop socket")
        ending = asyncio.create_task(self._ended.wait())
        try:
            await asyncio.wait((reading, ending), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._ended.set()
            reading.cancel()
            ending.cancel()
            await asyncio.gather(reading, ending, return_exceptions=True)
            await self._hang_up()

    async def _read(self) -> None:
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            if text is None:
                return self.close(1003)
            if len(text) > MOST_TEXT:
                return self.close(1009)
            await self._arrived.put(text)

    async def _hang_up(self) -> None:
        if self._websocket.client_state is not WebSocketState.CONNECTED:
            return
        try:
            async with asyncio.timeout(_SEND_SECONDS):
                await self._websocket.close(self._code)
        except (OSError, RuntimeError, TimeoutError, WebSocketDisconnect):
            return  # gone already


def _gone() -> TransportError:
    return TransportError("gone", "The laptop's connection has ended.")
