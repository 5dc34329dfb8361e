"""Every request once in the log and in the figures: method, route, status and time, and nothing of
what the client sent.

Gives each request the id that its log lines carry, and tells it in ``X-Request-Id``. Must be the
outermost middleware. Knows no routes and no limits.
"""

from __future__ import annotations

import logging
import time

from prometheus_client import Counter, Gauge, Histogram
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from babblefish import logs, metrics

access_log = logging.getLogger("babblefish.access")

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_POLLED = frozenset({"/health", "/health/live", "/health/ready", "/metrics", "/web"})
"""asked all the time, so that only failures are worth a line"""
_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0, 600.0)

REQUESTS = Counter(
    f"{metrics.PREFIX}http_requests", "Answered HTTP requests.", ("method", "route", "status"),
    registry=metrics.REGISTRY,
)  # fmt: skip
REQUEST_SECONDS = Histogram(
    f"{metrics.PREFIX}http_request_seconds", "From a request to the end of its answer.",
    ("route",), buckets=_SECONDS, registry=metrics.REGISTRY,
)  # fmt: skip
IN_FLIGHT = Gauge(
    f"{metrics.PREFIX}http_requests_in_flight", "HTTP requests that are being answered.",
    registry=metrics.REGISTRY,
)  # fmt: skip
SOCKETS = Gauge(
    f"{metrics.PREFIX}websockets", "Open WebSockets.", ("route",), registry=metrics.REGISTRY
)


class AccessLog:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            with logs.request() as request_id:
                await self._http(scope, receive, send, request_id)
        elif scope["type"] == "websocket":
            with logs.request():
                await self._websocket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        start, status = time.perf_counter(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        IN_FLIGHT.inc()
        try:
            await self._app(scope, receive, noted)
        finally:
            IN_FLIGHT.dec()
            seconds, route = time.perf_counter() - start, _route(scope)
            method = scope["method"] if scope["method"] in _METHODS else "other"
            REQUESTS.labels(method, route, str(status)).inc()
            REQUEST_SECONDS.labels(route).observe(seconds)
            if status >= 400 or route not in _POLLED:
                access_log.info("%s %s %d %.0f ms", method, route, status, seconds * 1000)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Counted while it is open; its route is known once it was accepted."""
        open_at: str | None = None
        start, code = time.perf_counter(), 1006

        async def noted(message: Message) -> None:
            nonlocal open_at, code
            if message["type"] == "websocket.accept":
                open_at = _route(scope)
                SOCKETS.labels(open_at).inc()
            elif message["type"] == "websocket.close":
                code = message.get("code", 1000)
            await send(message)

        async def heard() -> Message:
            nonlocal code
            message = await receive()
            if message["type"] == "websocket.disconnect":
                code = message.get("code", 1005)
            return message

        try:
            await self._app(scope, heard, noted)
        finally:
            if open_at is not None:
                SOCKETS.labels(open_at).dec()
            seconds = time.perf_counter() - start
            access_log.info("WEBSOCKET %s %d %.0f ms", _route(scope), code, seconds * 1000)


def _route(scope: Scope) -> str:
    """The template of the route, the root of what is mounted, or "-" for none."""
    path = getattr(scope.get("route"), "path", None)
    return path or scope.get("root_path") or "-"
