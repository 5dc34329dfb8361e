"""An HTTP answer that tells clauses one a line, as they come, and stops the work when its reader
leaves.

Knows neither routes nor how clauses are made.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from babblefish.accelerator.reception import failed
from babblefish.accelerator.wall import send_failed
from babblefish.accelerator_protocol import ClauseSpoken, Failed
from babblefish.errors import BabbleFishError

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/x-ndjson"
STATUS = {
    "refused": 401,
    "unknown_voice": 404,
    "bad_request": 422,
    "bad_reference": 422,
    "unknown_language": 422,
    "busy": 503,
    "not_ready": 503,
}
"""HTTP status of each code; anything else is 500"""
_SEND_S = 30.0
"""in which the server has to take a line"""


def status_of(failure: Failed) -> int:
    return STATUS.get(failure.code, 500)


class ClauseStream(Response):
    """Trouble before the first clause has a status of its own; after it, it is the last line."""

    media_type = MEDIA_TYPE

    def __init__(self, clauses: AsyncGenerator[ClauseSpoken], request_id: str) -> None:
        super().__init__()
        self._clauses, self._request = clauses, request_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        speaking = asyncio.create_task(self._speak(send), name="speak over HTTP")
        leaving = asyncio.create_task(_until_gone(receive))
        try:
            await asyncio.wait((speaking, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            speaking.cancel()
            leaving.cancel()
            await asyncio.gather(speaking, leaving, return_exceptions=True)
        if not speaking.cancelled() and (error := speaking.exception()) is not None:
            if not isinstance(error, TimeoutError):
                raise error
            log.warning("The server did not take what it had asked for")

    async def _speak(self, send: Send) -> None:
        begun = False
        async with contextlib.aclosing(self._clauses) as clauses:
            try:
                async for clause in clauses:
                    if not begun:
                        headers = [(b"content-type", MEDIA_TYPE.encode())]
                        await send(
                            {"type": "http.response.start", "status": 200, "headers": headers}
                        )
                        begun = True
                    await _line(send, clause)
            except BabbleFishError as error:
                trouble = failed(error, self._request)
            else:
                trouble = None
                if not begun:
                    trouble = Failed(
                        request_id=self._request, code="synthesis_failed",
                        message="Nothing was spoken.",
                    )  # fmt: skip
        if trouble is not None and not begun:
            await send_failed(send, status_of(trouble), trouble)
            return
        if trouble is not None:
            await _line(send, trouble)
        await send({"type": "http.response.body", "body": b""})


async def _line(send: Send, message: ClauseSpoken | Failed) -> None:
    body = message.model_dump_json().encode() + b"\n"
    async with asyncio.timeout(_SEND_S):
        await send({"type": "http.response.body", "body": body, "more_body": True})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
