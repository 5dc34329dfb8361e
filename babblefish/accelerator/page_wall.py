"""The wall around the owner's page: this machine, this link, these of Gradio's routes.

The page listens on the loopback address only: nobody in the network needs it, and a browser would
warn of the endpoint's certificate. That alone would leave it open to other accounts of the machine
and to web sites in its browser, hence the key in the link that the terminal shows, the check of the
host's name and that of the origin. Knows nothing of what the page shows.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATH = "/page"
_STYLE = Path(__file__).with_name("page.css")
_CSP = (
    "default-src 'none'; script-src 'self'{scripts}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; media-src 'self' data: blob:; "
    "connect-src 'self' blob: data:; worker-src 'self' blob:; base-uri 'self'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
}
_ROUTES = re.compile(
    r"""/ | /config | /theme\.css | /assets/.+ | /static/.+ | /svelte/.+ | /gradio_api/(
        run/predict | heartbeat/\w+ | startup-events | app_id | upload | upload_progress
        | file=.+ )""",
    re.VERBOSE,
)
"""What the page needs of Gradio's routes; the rest is not there."""
_OUTSIDE = re.compile(
    r"""<link\s+rel="preconnect"[^>]*>|<link\s+rel="manifest"[^>]*>"""
    r"""|<meta\s+(?:property="og:|name="twitter:)[^>]*>"""
    r"""|<script\s+src="https://[^>]*>\s*</script>"""
)
_HEAD = '<link rel="icon" href="data:,"><link rel="stylesheet" href="/page.css"></head>'
_HOSTS = {"localhost", "127.0.0.1", "::1"}


class PageWall:
    def __init__(self, app: ASGIApp, key: str, evaluates: bool) -> None:
        """key: opens the page to whoever has the link. evaluates: whether its scripts, which come
        from here all the same, make functions of texts."""
        self._app, self._key = app, key
        self._eval = " 'unsafe-eval'" if evaluates else ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 4404})
        elif scope["type"] != "http":
            await self._app(scope, receive, send)
        else:
            await self._http(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection, path = HTTPConnection(scope), scope["path"]
        host = urlsplit(f"//{connection.headers.get('host', '')}")
        if host.hostname not in _HOSTS:
            await _refuse(send, 403, "This page is for this machine only.")
        elif path == "/":
            await self._enter(connection, send)
        elif not self._knows(connection):
            await _refuse(send, 401, "Open the link that the terminal shows.")
        elif scope["method"] not in ("GET", "HEAD") and not _own(connection, host.netloc):
            await _refuse(send, 403, "Requests of other web sites are not accepted.")
        elif path == "/page.css":
            await _answer(send, 200, _STYLE.read_bytes(), {"Content-Type": "text/css"})
        elif path == PATH + "/":
            await self._page(scope, receive, send)
        elif path.startswith(PATH) and _ROUTES.fullmatch(path.removeprefix(PATH)):
            keep = "private, max-age=86400" if "/assets/" in path else "no-store"
            await self._app(scope, receive, _dressed(send, "", keep))
        else:
            await _refuse(send, 404, "There is nothing here.")

    async def _enter(self, connection: HTTPConnection, send: Send) -> None:
        given = parse_qs(connection.url.query).get("key", [""])[0]
        if _same(given, self._key):
            cookie = f"{_cookie(connection)}={self._key}; Path=/; HttpOnly; SameSite=Strict"
            await _answer(send, 303, b"", {"Location": f"{PATH}/", "Set-Cookie": cookie})
        elif self._knows(connection):
            await _answer(send, 303, b"", {"Location": f"{PATH}/"})
        else:
            await _refuse(send, 401, "Open the link that the terminal shows.")

    def _knows(self, connection: HTTPConnection) -> bool:
        return _same(connection.cookies.get(_cookie(connection), ""), self._key)

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Gradio's page, without its links to other servers and with our style."""
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

        dressed = _dressed(send, f" 'nonce-{nonce}'{self._eval}")
        await self._app({**scope, "headers": plain}, receive, rewritten)


def _own_page(page: str, nonce: str) -> str:
    head, end, rest = page.partition("</head>")
    if not end:
        return page
    return (_OUTSIDE.sub("", head) + _HEAD + rest).replace("<script", f'<script nonce="{nonce}"')


def _cookie(connection: HTTPConnection) -> str:
    """Cookies of this machine are shared by all its ports."""
    return f"babblefish_laptop_{connection.scope['server'][1]}"


def _same(given: str, key: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), key.encode())


def _own(connection: HTTPConnection, host: str) -> bool:
    """Whether a browser made this request from a page of this very server."""
    origin = connection.headers.get("origin")
    site = connection.headers.get("sec-fetch-site", "same-origin")
    return site == "same-origin" and origin is not None and urlsplit(origin).netloc == host


def _dressed(send: Send, scripts: str, cache: str = "no-store") -> Send:
    own = {
        **_HEADERS, "Content-Security-Policy": _CSP.format(scripts=scripts), "Cache-Control": cache,
    }  # fmt: skip

    async def dressed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in own.items():
                headers[name] = value
        await send(message)

    return dressed


async def _refuse(send: Send, status: int, message: str) -> None:
    body = json.dumps({"error": {"message": message}}).encode()
    await _answer(send, status, body, {"Content-Type": "application/json"})


async def _answer(send: Send, status: int, body: bytes, headers: dict[str, str]) -> None:
    every = {**headers, "Content-Length": str(len(body))}
    raw = [(k.lower().encode(), v.encode()) for k, v in every.items()]
    dressed = _dressed(send, "")
    await dressed({"type": "http.response.start", "status": status, "headers": raw})
    await dressed({"type": "http.response.body", "body": body})
