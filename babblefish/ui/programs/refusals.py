"""How programs are turned away: what to document of it, and how a WebSocket is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from babblefish import metrics
from babblefish.ui.api import ErrorAnswer
from babblefish.ui.statuses import status_of

if TYPE_CHECKING:
    from fastapi import WebSocket

    from babblefish.errors import BabbleFishError

_WORDS = {
    401: "The key is missing, wrong or revoked.",
    403: "The key is not for this, or a page of another site asks.",
    411: "Send the request with its Content-Length.",
    413: "The request is too large.",
    422: "Something in the request is not as it should be; the message says what.",
    429: "Too many requests; Retry-After says when to try again.",
    503: "Not now; the message says why, and Retry-After when to try again.",
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": words} for status, words in _WORDS.items()
}
"""``responses`` of a router whose routes take an admitted Caller and a body"""
_MOST_REASON = 123
"""bytes, by RFC 6455"""


async def turn_away(websocket: WebSocket, error: BabbleFishError) -> None:
    """Close a WebSocket, accepted or not yet, so that its program learns why: the code is 4000
    and the HTTP status (4401, 4403, 4429, 4503 …), the reason is the message."""
    from starlette.websockets import WebSocketState

    metrics.error(error.stage, error.code)
    if websocket.application_state is WebSocketState.CONNECTING:
        await websocket.accept()
    reason = error.message.encode()[:_MOST_REASON].decode(errors="ignore")
    await websocket.close(4000 + status_of(error), reason)
