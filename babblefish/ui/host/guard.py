"""The wall around ``/admin``: no session, no answer; and of Gradio only what the page uses.

An ASGI middleware that sees every request and websocket below ``/admin`` before any route does.
It does not know how sessions are made, nor what the pages show.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from babblefish.settings import Settings

_CSP = (
    "default-src 'none'; script-src 'self'{nonce}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; media-src 'self' data: blob:; "
    "connect-src 'self'; worker-src 'self' blob:; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
ADMIN_CSP = _CSP.format(nonce="")
"""Gradio styles elements inline; its two inline scripts get a nonce, and it needs no eval."""

PLAIN_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    # With "no-referrer" browsers send "Origin: null" on form posts, and sign-in would be refused.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
"""For pages of our own: no inline script or style at all."""

_GRADIO_PATHS = re.compile(
    r"""/ | /config | /theme\.css | /assets/.+ | /static/.+ | /svelte/.+ | /gradio_api/(
        run/predict | heartbeat/\w+ | startup-events | app_id )""",
    re.VERBOSE,
)
"""What the page needs of Gradio's routes. Uploads, file and proxy reads, the queue and its
streams, the API documentation, calls by name, monitoring and its code editor are answered with
404."""
_OWN_PATHS = re.compile(
    r"""/projector/\w+(/state)? | /trace\.(json|csv) | /transcripts/\w+(/file)?
        | /people(/[\w-]+){1,4}""",
    re.VERBOSE,
)
_OUTSIDE = re.compile(
    r"""<link\s+rel="preconnect"[^>]*>|<link\s+rel="manifest"[^>]*>"""
    r"""|<meta\s+(?:property="og:|name="twitter:)[^>]*>"""
    r"""|<script\s+src="https://[^>]*>\s*</script>"""
)
"""Parts of Gradio's page that fetch from, or point to, other servers."""
_HEAD = (
    '<link rel="icon" href="data:,"><link rel="stylesheet" href="/web/host.css">'
    '<script type="module" src="/web/host.js"></script>'
    '<link rel="stylesheet" href="/web/people.css">'
    '<script type="module" src="/web/people.js"></script>'
    '<link rel="stylesheet" href="/web/laptops.css">'
    '<script type="module" src="/web/laptops.js"></script>'
    '<link rel="stylesheet" href="/web/programs.css">'
    '<link rel="stylesheet" href="/web/status.css">'
    '<script type="module" src="/web/status.js"></script></head>'
)


def own_request(connection: HTTPConnection, settings: Settings) -> bool:
    """Whether a browser made this request from a page of this very server."""
    site = connection.headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return False
    origin = connection.headers.get("origin")
    if origin in (None, "null"):
        return site == "same-origin"
    hosts = {connection.headers.get("host", "").lower()}
    if settings.public_url:
        hosts.add(urlsplit(settings.public_url).netloc.lower())
    return urlsplit(origin).netloc.lower() in hosts - {""}


class AdminGuard:
    """``knows(session id)`` says whether the cookie named ``cookie`` holds an open session."""

    def __init__(
        self, app: ASGIApp, *, knows: Callable[[str | None], bool], cookie: str, settings: Settings
    ) -> None:
        self._app, self._knows, self._cookie = app, knows, cookie
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] not in ("http", "websocket") or not (
            path == "/admin" or path.startswith("/admin/")
        ):
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        signed_in = self._knows(connection.cookies.get(self._cookie))
        if scope["type"] == "websocket":  # nothing under /admin speaks it
            await receive()
            await send({"type": "websocket.close", "code": 4404 if signed_in else 4401})
        elif not signed_in:
            await self._refuse(scope, connection, send)
        elif scope["method"] not in ("GET", "HEAD") and not own_request(connection, self._settings):
            await _error(send, 403, "origin", "Requests of other web sites are not accepted.")
        else:
            await self._pass(scope, receive, send, path.removeprefix("/admin"))

    async def _refuse(self, scope: Scope, connection: HTTPConnection, send: Send) -> None:
        page = "text/html" in connection.headers.get("accept", "")
        if scope["method"] in ("GET", "HEAD") and page:
            await _answer(send, 303, b"", {"Location": "/admin-login"})
        else:
            await _error(send, 401, "sign_in", "Sign in at /admin-login first.")

    async def _pass(self, scope: Scope, receive: Receive, send: Send, path: str) -> None:
        if path in ("", "/"):
            if path == "":
                await _answer(send, 307, b"", {"Location": "/admin/"})
            else:
                await self._page(scope, receive, send)
        elif _OWN_PATHS.fullmatch(path) or _GRADIO_PATHS.fullmatch(path):
            keep = "private, max-age=86400" if path.startswith("/assets/") else "no-store"
            await self._serve(scope, receive, _dressed(send, ADMIN_CSP, keep))
        else:
            await _error(send, 404, "not_found", "There is nothing here.")

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let Gradio answer. Its event streams are open when the server stops, which cancels
        them after a while; they end then without a traceback in the host's terminal."""
        state = "waiting"

        async def noted(message: Message) -> None:
            nonlocal state
            starts = message["type"] == "http.response.start"
            state = "open" if starts or message.get("more_body", False) else "complete"
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except asyncio.CancelledError:
            if state == "waiting":
                await _error(send, 503, "stopping", "The server stops.")
            elif state == "open":
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Gradio's page, without its links to other servers and with our style and script."""
        plain = [(k, v) for k, v in scope["headers"] if k != b"accept-encoding"]
        nonce = secrets.token_urlsafe(16)
        start: Message = {}
        body = bytearray()

        async def rewritten(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            body.extend(message.get("body", b""))
            if message.get("more_body", False):
                return
            content = bytes(body)
            if content and start["status"] == 200:
                content = _own_page(content.decode(), nonce).encode()
            MutableHeaders(scope=start)["Content-Length"] = str(len(content))
            await dressed(start)
            await dressed({"type": "http.response.body", "body": content})

        dressed = _dressed(send, _CSP.format(nonce=f" 'nonce-{nonce}'"))
        await self._app({**scope, "headers": plain}, receive, rewritten)


def _own_page(page: str, nonce: str) -> str:
    head, end, rest = page.partition("</head>")
    if not end:
        return page
    head = _OUTSIDE.sub("", head)
    return (head + _HEAD + rest).replace("<script", f'<script nonce="{nonce}"')


def _dressed(send: Send, csp: str, cache: str = "no-store") -> Send:
    own = {**PLAIN_HEADERS, "Content-Security-Policy": csp, "Cache-Control": cache}

    async def dressed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in own.items():
                headers.setdefault(name, value)
        await send(message)

    return dressed


async def _error(send: Send, status: int, code: str, message: str) -> None:
    body = json.dumps({"error": {"code": code, "message": message}}).encode()
    await _answer(send, status, body, {"Content-Type": "application/json"})


async def _answer(send: Send, status: int, body: bytes, headers: dict[str, str]) -> None:
    every = {**PLAIN_HEADERS, **headers, "Content-Length": str(len(body))}
    raw = [(k.lower().encode(), v.encode()) for k, v in every.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
