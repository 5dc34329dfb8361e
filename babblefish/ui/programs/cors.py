"""Pages of other origins that may call the routes for programs: those in the settings, no others.

Keys are sent by the page itself, never by the browser on its own: no credentials are allowed.
"""

from __future__ import annotations

import re
from collections.abc import Container

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from babblefish.ui.programs.paths import PROGRAMS

_NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,1000}")
"""what a list of header names is made of"""
_METHODS = "GET, POST"
_PREFLIGHT_S = 600
"""for which a browser need not ask again"""
_EXPOSED = "Retry-After, X-Request-Id"


def allowed_origin(scope: Scope, origins: Container[str]) -> str | None:
    """The page's origin, where it is in ``origins`` and asks for a path of programs."""
    origin = Headers(scope=scope).get("origin", "")
    return origin if origin in origins and PROGRAMS.fullmatch(scope["path"]) else None


class Cors:
    """Answers preflights of ``origins`` and lets their pages read the answers. Everything else is
    left to ``Guard``, which refuses it."""

    def __init__(self, app: ASGIApp, origins: frozenset[str]) -> None:
        self._app, self._origins = app, origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._origins or not PROGRAMS.fullmatch(scope["path"]):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = allowed_origin(scope, self._origins)
        if origin and scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await _preflight(headers, origin, send)
            return

        async def readable(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                answer.add_vary_header("Origin")
                if origin:
                    answer["Access-Control-Allow-Origin"] = origin
                    answer["Access-Control-Expose-Headers"] = _EXPOSED
            await send(message)

        await self._app(scope, receive, readable)


async def _preflight(headers: Headers, origin: str, send: Send) -> None:
    answer = {
        "access-control-allow-origin": origin,
        "access-control-allow-methods": _METHODS,
        "access-control-max-age": str(_PREFLIGHT_S),
        "vary": "Origin, Access-Control-Request-Headers",
        "content-length": "0",
    }
    wanted = headers.get("access-control-request-headers", "")
    if _NAMES.fullmatch(wanted):  # such as the x-stainless-… of OpenAI's client
        answer["access-control-allow-headers"] = wanted
    if headers.get("access-control-request-private-network") == "true":
        answer["access-control-allow-private-network"] = "true"
    raw = [(name.encode(), value.encode()) for name, value in answer.items()]
    await send({"type": "http.response.start", "status": 200, "headers": raw})
    await send({"type": "http.response.body", "body": b""})
