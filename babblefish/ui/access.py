"""Who may ask for what, how often, and what a browser may do with the answer.

Rate limits, bearer tokens, origin check, body limits and security headers. Whether a token is
right is decided in ``rooms``.
"""

from __future__ import annotations

import ipaddress
import json
import re
import time
from urllib.parse import urlsplit

from limits import RateLimitItem, RateLimitItemPerMinute, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from babblefish import metrics
from babblefish.errors import RoomError, TransportError
from babblefish.settings import Settings
from babblefish.ui import recordings
from babblefish.ui.programs.cors import allowed_origin
from babblefish.ui.programs.paths import UPLOADS

TOKEN = re.compile(r"[A-Za-z0-9_-]{1,200}")
"""shape of room tokens and participants' keys"""

API_BODY_BYTES = 100_000
OTHER_BODY_BYTES = 1_000_000

PAGE_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob: data:; connect-src 'self'; font-src 'self'; manifest-src 'self'; "
    "worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": (
        "microphone=(self), screen-wake-lock=(self), autoplay=(self), "
        "camera=(), geolocation=(), payment=(), usb=()"
    ),
}


class TryLater(TransportError):
    """Not now; try again after ``retry_after`` seconds."""

    def __init__(self, code: str, message: str, retry_after: int) -> None:
        super().__init__(code, message)
        self.retry_after = retry_after

    def __reduce__(self):
        return type(self), (self.code, self.message, self.retry_after)


class RateLimited(TryLater):
    """Asked too often."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(
            "rate_limited",
            f"Too many requests. Please try again in {retry_after} seconds.",
            retry_after,
        )

    def __reduce__(self):
        return type(self), (self.retry_after,)


class CutOff(TransportError):
    """More is being sent than is taken, nobody knows how much: the connection ends with the
    answer."""


class Access:
    """Counts requests in memory and reads credentials; one per server."""

    def __init__(self, settings: Settings) -> None:
        self.public_host = urlsplit(settings.public_url).netloc.lower()
        self.origins = settings.allowed_origins
        self.most_upload = settings.max_upload_mb * 10**6
        """bytes"""
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._limits: dict[str, RateLimitItem] = {
            "request": parse("900/minute"),
            "room": parse("120/minute"),
            "join": parse("40/minute"),
            "offer": RateLimitItemPerMinute(settings.offers_per_minute),
            "place": parse("600/minute"),
            "leave": parse("120/minute"),
            "lines": parse("240/minute"),
            "transcript": parse("30/minute"),
            "voice": parse("240/minute"),
            "take": parse("60/minute"),
            "sample": parse("60/minute"),
            "guess": parse("30/minute"),
            "ask": parse("12/minute"),
            "socket": parse("60/minute"),
            "key_guess": parse("30/minute"),
        }

    def hit(self, action: str, *keys: str) -> None:
        """Count one ``action`` of ``keys`` (address, room …); RateLimited when it is too many."""
        limit = self._limits[action]
        if not self._limiter.hit(limit, action, *keys):
            raise self._refusal(limit, action, keys)

    def check(self, action: str, *keys: str) -> None:
        """As ``hit``, without counting."""
        limit = self._limits[action]
        if not self._limiter.test(limit, action, *keys):
            raise self._refusal(limit, action, keys)

    def spend(self, per_minute: int, action: str, *keys: str, cost: int = 1) -> None:
        """As ``hit``, ``cost`` times one of ``per_minute``. What costs more than a whole minute
        has is let through when nothing else was."""
        limit = RateLimitItemPerMinute(per_minute)
        if not self._limiter.hit(limit, action, *keys, cost=min(cost, per_minute)):
            raise self._refusal(limit, action, keys)

    def _refusal(self, limit: RateLimitItem, action: str, keys: tuple[str, ...]) -> RateLimited:
        stats = self._limiter.get_window_stats(limit, action, *keys)
        return RateLimited(max(1, round(stats.reset_time - time.time())))

    @staticmethod
    def address(connection: HTTPConnection) -> str:
        """What counts as one origin of requests: an IPv4 address or an IPv6 /64 network."""
        host = connection.client.host if connection.client else "local"
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return host
        if address.version == 4:
            return host
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))

    @staticmethod
    def bearer(connection: HTTPConnection, code: str) -> str:
        """The token of the Authorization header; RoomError(``code``) when there is none."""
        scheme, _, token = connection.headers.get("authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not TOKEN.fullmatch(token):
            raise RoomError(code, "Open the link of the room again: the key is missing.")
        return token


async def send_error(send: Send, status: int, error: TransportError) -> None:
    """Answer one ASGI request with the program's error shape."""
    metrics.error(error.stage, error.code)
    body = json.dumps({"error": {"code": error.code, "message": error.message}}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if isinstance(error, TryLater):
        headers.append((b"retry-after", str(error.retry_after).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Guard:
    """Refuses requests of other sites, floods and bodies that are too large.

    The HTTP server holds a body to its announced length, so that the announcement is enough; a
    body without one is counted as it arrives, and only uploads of programs may come so.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            if not self._welcome(scope):
                await receive()
                await send({"type": "websocket.close", "code": 4403})
                return
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if scope["method"] not in ("GET", "HEAD") and not self._welcome(scope):
            error = TransportError("origin", "Requests of other web sites are not accepted.")
            await send_error(send, 403, error)
            return
        if scope["path"].startswith("/api/"):
            try:
                self._access.hit("request", Access.address(HTTPConnection(scope)))
            except RateLimited as error:
                await send_error(send, 429, error)
                return
        limit, unmeasured = self._limit(scope["path"]), "transfer-encoding" in headers
        if unmeasured and not UPLOADS.fullmatch(scope["path"]):
            error = TransportError("no_length", "Send the request with its Content-Length.")
            await send_error(send, 411, error)
            return
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > limit:
            await send_error(send, 413, _too_large(limit))
            return
        await self._app(scope, _counted(receive, limit) if unmeasured else receive, send)

    def _limit(self, path: str) -> int:
        """Bytes of a request's body."""
        if UPLOADS.fullmatch(path):
            return self._access.most_upload
        if recordings.PATHS.fullmatch(path):
            return recordings.MOST_BYTES
        return API_BODY_BYTES if path.startswith("/api/") else OTHER_BODY_BYTES

    def _welcome(self, scope: Scope) -> bool:
        if allowed_origin(scope, self._access.origins):
            return True
        return self._own_site(Headers(scope=scope))

    def _own_site(self, headers: Headers) -> bool:
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site in ("cross-site", "same-site"):
            return False
        if origin is None or (origin == "null" and site == "same-origin"):
            return True
        host = urlsplit(origin).netloc.lower()
        return bool(host) and host in (headers.get("host", "").lower(), self._access.public_host)


def _too_large(limit: int) -> TransportError:
    return TransportError("too_large", f"A request is at most {limit} bytes long.")


def _counted(receive: Receive, limit: int) -> Receive:
    """``receive``, which raises TransportError("too_large") past ``limit`` bytes."""
    arrived = 0

    async def counting() -> Message:
        nonlocal arrived
        message = await receive()
        arrived += len(message.get("body", b""))
        if arrived > limit:
            raise CutOff("too_large", f"A request is at most {limit} bytes long.")
        return message

    return counting


class SecurityHeaders:
    """Adds the headers that keep pages to this server, where a route set none of its own;
    answers of the API are not stored."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Content-Security-Policy", PAGE_CSP)
                if path.startswith("/api/"):
                    headers["Cache-Control"] = "no-store"
                else:
                    headers.setdefault("Cache-Control", "no-cache")
            await send(message)

        await self._app(scope, receive, dressed)
