"""Server-sent events, and work that ends when whoever asked for it hangs up.

Knows nothing of what is sent.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable
from contextlib import AsyncExitStack, aclosing
from typing import TypeVar

from starlette.requests import Request

from babblefish.errors import BabbleFishError, TransportError
from babblefish.ui.programs.live_answer import LiveAnswer, left

T = TypeVar("T")

MEDIA_TYPE = "text/event-stream"
_BEAT_S = 15.0
"""without an event, after which a sign of life is sent: proxies cut what is silent"""


def event(name: str, data: object) -> bytes:
    """One event; ``data`` as JSON."""
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def event_stream(
    events: AsyncGenerator[bytes], open_until_sent: AsyncExitStack, beat: float = _BEAT_S
) -> LiveAnswer:
    """``events``, made by ``event``, as they come. What they raise before the first is answered
    like any other error, later it becomes the event ``error``. Then, and when the client hangs
    up, ``open_until_sent`` is closed."""
    headers = {"X-Accel-Buffering": "no"}
    return LiveAnswer(_beating(events, beat), MEDIA_TYPE, headers, _error, open_until_sent)


async def while_connected(request: Request, work: Awaitable[T]) -> T:
    """What ``work`` returns or raises. It is cancelled if the client hangs up; then raises
    TransportError("broken_off"), which nobody reads. The body was read before."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.create_task(left(request.receive), name="a program leaves")
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise TransportError("broken_off", "The connection ended. Send it again.")
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _beating(events: AsyncGenerator[bytes], beat: float) -> AsyncGenerator[bytes]:
    """The events, with signs of life between them."""
    async with aclosing(events):
        first, upcoming = True, None
        try:
            while True:
                upcoming = upcoming or asyncio.create_task(_next(events), name="event")
                await asyncio.wait({upcoming}, timeout=None if first else beat)
                if not upcoming.done():
                    yield b":\n\n"
                    continue
                done, upcoming, first = upcoming, None, False
                if (line := done.result()) is None:
                    return
                yield line
        finally:
            if upcoming is not None:
                upcoming.cancel()
                await asyncio.gather(upcoming, return_exceptions=True)


async def _next(events: AsyncGenerator[bytes]) -> bytes | None:
    return await anext(events, None)


def _error(error: BabbleFishError) -> bytes:
    return event("error", {"code": error.code, "message": error.message})
