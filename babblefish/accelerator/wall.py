"""The wall around the endpoint: only the paired server, only bodies of a bounded length.

An ASGI middleware that answers before a body is read or a route is looked for. Logs method, route,
status and time: nothing of what was sent. Knows no messages but the one for refusals.
"""

from __future__ import annotations

import logging
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from babblefish.accelerator.door import Door
from babblefish.accelerator_protocol import MOST_CLIP_BYTES, Failed

access_log = logging.getLogger("babblefish.laptop.access")

LIVE = "/live"
"""open to everybody; says only that a laptop is here"""
VOICE_BYTES, OTHER_BYTES = MOST_CLIP_BYTES + 20_000, 100_000
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Wall:
    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app, self._door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # the laptop opens one itself; it takes none
            await receive()
            await send({"type": "websocket.close", "code": 4404})
        elif scope["type"] == "http":
            await self._logged(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _logged(self, scope: Scope, receive: Receive, send: Send) -> None:
        start, status = time.perf_counter(), 500

        async def dressed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            refused = self._refusal(scope)
            if refused is not None:
                await send_failed(dressed, *refused)
            else:
                await self._app(scope, receive, dressed)
        finally:
            route = getattr(scope.get("route"), "path", "-")
            millis = (time.perf_counter() - start) * 1000
            access_log.info("%s %s %d %.0f ms", scope["method"], route, status, millis)

    def _refusal(self, scope: Scope) -> tuple[int, Failed] | None:
        headers = Headers(scope=scope)
        if scope["path"] == LIVE and scope["method"] in ("GET", "HEAD"):
            return None
        authorization = headers.get("authorization", "")
        if self._door.expecting and not self._door.paired and authorization:
            return 503, Failed(code="not_ready", message="This laptop is just being paired.")
        if not self._door.admits(authorization):
            what = (
                "This is not the secret of the room server that this laptop was paired with. "
                "Pair the laptop again: the host page has the command."
                if self._door.paired
                else "This laptop is not paired with a room server yet."
            )
            return 401, Failed(code="refused", message=what)
        if "transfer-encoding" in headers:
            message = "Send the request with its Content-Length."
            return 411, Failed(code="bad_request", message=message)
        limit = VOICE_BYTES if scope["path"].startswith("/v1/voices") else OTHER_BYTES
        length = headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > 12 or int(length) > limit:
            message = f"A request to this address is at most {limit} bytes long."
            return 413, Failed(code="bad_request", message=message)
        return None


async def send_failed(send: Send, status: int, failed: Failed) -> None:
    """Answer one ASGI request with a refusal."""
    body = failed.model_dump_json().encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if status in (401, 411, 413):
        headers.append((b"connection", b"close"))  # with what was not read of it
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
