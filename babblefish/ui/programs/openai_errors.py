"""Errors as programs written for OpenAI's interface expect them, on every route under ``/v1/``:
``{"error": {"message", "type", "param", "code"}}``, and 400 for what is wrong in a request."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from babblefish import metrics
from babblefish.errors import BabbleFishError, TransportError

_PREFIX = "/v1/"
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
"""of the statuses below 500; of the others "invalid_request_error" """
_CODES = {"api_key": "invalid_api_key", "rate_limited": "rate_limit_exceeded"}
"""ours → OpenAI's, for those that programs look at"""
_PARAMS = {
    "voice": "voice", "language": "language", "nothing_to_say": "input", "unspeakable": "input",
    "file_unreadable": "file", "file_broken": "file", "no_audio": "file", "empty_audio": "file",
    "bad_audio": "file", "too_long": "file", "truncated": "file", "channels": "file",
    "rate": "file", "undecodable": "file", "no_file": "file",
}  # fmt: skip
"""our codes → the field that they are about"""


class OpenAIErrorDetail(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIErrorAnswer(BaseModel):
    error: OpenAIErrorDetail


class FieldError(TransportError):
    """A field that cannot be what it is, named; the message says what to send instead."""

    def __init__(self, param: str, code: str, message: str) -> None:
        super().__init__(code, message)
        self.param = param

    def __reduce__(self):
        return type(self), (self.param, self.code, self.message)


def error_detail(status: int, error: BabbleFishError) -> dict[str, Any]:
    """The object ``error`` of an answer or of an event."""
    return _detail(status, error.code, error.message, getattr(error, "param", None) or None)


def _detail(status: int, code: str, message: str, param: str | None = None) -> dict[str, Any]:
    kind = "server_error" if status >= 500 else _TYPES.get(status, "invalid_request_error")
    return {
        "message": message,
        "type": kind,
        "param": param or _PARAMS.get(code),
        "code": _CODES.get(code, code),
    }


class OpenAIRoute(APIRoute):
    """A route whose errors about a field name it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def named(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                return _answer(400, field_error(error.errors()[0], ("body",)))
            except FieldError as error:
                return _answer(404 if error.code == "model_not_found" else 400, error)

        return named


def _answer(status: int, error: BabbleFishError) -> JSONResponse:
    metrics.error(error.stage, error.code)
    headers = {"Cache-Control": "no-store"}
    return JSONResponse({"error": error_detail(status, error)}, status, headers)


def field_error(first: Any, place: Sequence[Any]) -> FieldError:
    """One of pydantic's errors. place: what of its ``loc`` comes before the field."""
    names = [str(part) for part in first["loc"][len(place) :] if isinstance(part, str)]
    name = names[0][:60] if names else ""
    if first["type"] == "extra_forbidden":
        return FieldError(
            name, "unknown_parameter", f"There is no field {name} here. Leave it out."
        )
    message = first["msg"].removeprefix("Value error, ")
    return FieldError(name, "bad_input", f"{name}: {message}." if name else f"{message}.")


class OpenAIErrors:
    """Puts errors of the whole application into this shape where the path is OpenAI's: those of
    the gate, of limits and of unknown routes, too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(_PREFIX):
            await self._app(scope, receive, send)
            return
        held: Message | None = None
        body = b""

        async def reshaped(message: Message) -> None:
            nonlocal held, body
            if message["type"] == "http.response.start" and _is_error(message):
                held = message
            elif held is None:
                await send(message)
            else:
                body += message.get("body", b"")
                if not message.get("more_body"):
                    for part in _reshaped(held, body):
                        await send(part)

        await self._app(scope, receive, reshaped)


def _is_error(start: Message) -> bool:
    kind = Headers(raw=start["headers"]).get("content-type", "")
    return start["status"] >= 400 and kind.startswith("application/json")


def _reshaped(start: Message, body: bytes) -> tuple[Message, Message]:
    error = json.loads(body)["error"]
    status = 400 if start["status"] == 422 else start["status"]
    if "type" not in error:
        error = _detail(status, error["code"], error["message"])
    body = json.dumps({"error": error}, ensure_ascii=False).encode()
    headers = MutableHeaders(raw=list(start["headers"]))
    headers["content-length"] = str(len(body))
    return (
        {**start, "status": status, "headers": headers.raw},
        {"type": "http.response.body", "body": body},
    )
