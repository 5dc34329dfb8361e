"""An HTTP answer that is made while it is sent, and no longer than somebody waits for it.

Knows nothing of what the pieces are.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from babblefish.errors import BabbleFishError

log = structlog.get_logger(__name__)

STALLED_SECONDS = 60.0
"""after which a caller who takes nothing any more is given up"""


class LiveAnswer(Response):
    """The status goes out with the first piece: an error before that is answered like any other.
    One after it ends the body with ``last_words`` or, where there are none, breaks the connection,
    so that nobody takes half for the whole. The generator is closed when the caller leaves."""

    def __init__(
        self, pieces: AsyncGenerator[bytes, None], media_type: str,
        headers: Mapping[str, str] | None = None,
        last_words: Callable[[BabbleFishError], bytes] | None = None,
        open_until_sent: contextlib.AsyncExitStack | None = None,
    ) -> None:  # fmt: skip
        self.status_code, self.media_type, self.background = 200, media_type, None
        self._pieces, self._last_words = pieces, last_words
        self._open = open_until_sent or contextlib.AsyncExitStack()
        self.init_headers({"Cache-Control": "no-store", **(headers or {})})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._open:
            sending = asyncio.create_task(self._send(send), name="answer a program")
            leaving = asyncio.create_task(left(receive), name="a program leaves")
            try:
                await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
            finally:
                abandoned = not sending.done()
                for task in (sending, leaving):
                    task.cancel()
                await asyncio.gather(sending, leaving, return_exceptions=True)
            if not abandoned:
                sending.result()

    async def _send(self, send: Send) -> None:
        async with contextlib.aclosing(self._pieces) as pieces:
            piece = await anext(pieces)
            start = {"status": self.status_code, "headers": self.raw_headers}
            await send({"type": "http.response.start", **start})
            try:
                while True:
                    await _pass_on(send, piece)
                    piece = await anext(pieces)
            except StopAsyncIteration:
                await _pass_on(send, b"", more=False)
            except TimeoutError:
                log.warning("a program takes nothing of its answer any more")
            except BabbleFishError as error:
                log.warning("an answer to a program broke off", code=error.code)
                if self._last_words is not None:
                    await _pass_on(send, self._last_words(error), more=False)


async def _pass_on(send: Send, piece: bytes, more: bool = True) -> None:
    """Raises TimeoutError where the caller takes nothing any more."""
    if piece or not more:
        async with asyncio.timeout(STALLED_SECONDS):
            await send({"type": "http.response.body", "body": piece, "more_body": more})


async def left(receive: Receive) -> None:
    """Returns when the caller has left."""
    while (await receive())["type"] != "http.disconnect":
        pass
