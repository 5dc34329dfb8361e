"""Server-sent events, and work that ends when whoever asked for it hangs up.

Knows nothing of what is sent.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from babblefish.errors import BabbleFishError, TransportError

log = logging.getLogger(__name__)

T = TypeVar("T")

MEDIA_TYPE = "text/event-stream"
_BEAT_S = 15.0
"""without an event, after which a sign of life is sent: proxies cut what is silent"""
_STUCK_S = 60.0
"""for which somebody may read nothing of what is sent"""


def event(name: str, data: object) -> bytes:
    """One event; ``data`` as JSON."""
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


async def while_connected(request: Request, work: Awaitable[T]) -> T:
    """What ``work`` returns or raises. It is cancelled if the client hangs up; then raises
    TransportError("broken_off"), which nobody reads. The body was read before."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.create_task(_gone(request.receive), name="hang-up")
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise TransportError("broken_off", "The connection ended. Send it again.")
        return working.result()
    finally:
        await _cancel(working, leaving)


class EventStream(Response):
    """Events as they come, until they end, or the client hangs up or reads no more."""

    media_type = MEDIA_TYPE

    def __init__(
        self, events: AsyncGenerator[bytes], open_until_sent: AsyncExitStack,
        beat: float = _BEAT_S, stuck: float = _STUCK_S,
    ) -> None:  # fmt: skip
        """events: made by ``event``; closed at the end, whatever it is, and then
        ``open_until_sent``. What they raise becomes the event ``error``."""
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._events, self._open = events, open_until_sent
        self._beat, self._stuck = beat, stuck

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._open:
            sending = asyncio.create_task(self._send(send), name="events")
            leaving = asyncio.create_task(_gone(receive), name="hang-up")
            try:
                await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
                if sending.done():
                    sending.result()
            finally:
                await _cancel(sending, leaving)

    async def _send(self, send: Send) -> None:
        async def told(message: Message) -> None:
            async with asyncio.timeout(self._stuck):
                await send(message)

        try:
            await told({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async with aclosing(self._lines()) as lines:
                async for line in lines:
                    await told({"type": "http.response.body", "body": line, "more_body": True})
            await told({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            log.info("a reader of events was stuck")

    async def _lines(self) -> AsyncGenerator[bytes]:
        """The events, with signs of life between them, and how they end."""
        async with aclosing(self._events):
            upcoming: asyncio.Task[bytes | None] | None = None
            try:
                while True:
                    upcoming = upcoming or asyncio.create_task(_next(self._events), name="event")
                    await asyncio.wait({upcoming}, timeout=self._beat)
                    if not upcoming.done():
                        yield b":\n\n"
                        continue
                    done, upcoming = upcoming, None
                    if (line := done.result()) is None:
                        return
                    yield line
            except BabbleFishError as error:
                yield event("error", {"code": error.code, "message": error.message})
            except Exception as error:
                log.exception("events ended: %s", type(error).__name__)
                message = "That did not work. Please try again."
                yield event("error", {"code": "internal", "message": message})
            finally:
                if upcoming is not None:
                    await _cancel(upcoming)


async def _next(events: AsyncIterator[bytes]) -> bytes | None:
    return await anext(events, None)


async def _gone(receive: Callable[[], Awaitable[Message]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cancel(*tasks: asyncio.Future) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
