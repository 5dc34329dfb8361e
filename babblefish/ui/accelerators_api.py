"""The routes that laptops use: to be paired, to ask for it, and the WebSocket of those that the
server cannot call.

For programs, not for browsers: a request that a browser sends is refused. Who is trusted is decided
in ``pairing`` and ``rooms/laptops.py``; what travels over the WebSocket is the engine's business.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response, WebSocket
from starlette.requests import HTTPConnection

from babblefish.accelerator_protocol import Asked, Introduction, Paired
from babblefish.errors import BabbleFishError, TransportError
from babblefish.ui.access import Access
from babblefish.ui.api import ErrorAnswer, error_answer
from babblefish.ui.laptop_socket import LaptopSocket

if TYPE_CHECKING:
    from babblefish.engine.cloning import Laptop
    from babblefish.ui.pairing import Pairing
    from rooms.hub import Hub

_BROWSER = ("origin", "sec-fetch-site", "sec-fetch-mode", "cookie")
"""headers that browsers send and laptops do not"""
_LONGEST_CREDENTIAL = 300


def create_accelerators_router(hub: Hub, pairing: Pairing, access: Access) -> APIRouter:
    refusals = (401, 403, 404, 409, 411, 413, 422, 429, 503)
    errors: dict[int | str, dict[str, Any]] = {s: {"model": ErrorAnswer} for s in refusals}
    router = APIRouter(tags=["laptops"], responses=errors)

    @router.post("/api/accelerators/pair")
    async def pair(body: Introduction, request: Request) -> Paired:
        """With the code that the host page shows: the laptop is used from now on."""
        _no_browser(request)
        return await pairing.pair(body, Access.address(request), _peer(request))

    @router.post("/api/accelerators/ask")
    async def ask(body: Introduction, request: Request) -> Asked:
        """Without a code, while the host looks for laptops: the host is asked, and compares the
        number."""
        _no_browser(request)
        access.hit("ask", Access.address(request))
        return pairing.ask(body, _peer(request))

    @router.get("/api/accelerators/ask", responses={202: {"model": Asked}})
    async def answer(request: Request, response: Response) -> Paired | Asked:
        """What the host has decided. Bearer: the ticket. 202: nothing yet, ask again in some
        seconds; 403: refused; 404: ask anew."""
        _no_browser(request)
        decided = await pairing.answer(_bearer(request))
        if isinstance(decided, Asked):
            response.status_code, response.headers["Retry-After"] = 202, "2"
        return decided

    @router.websocket("/ws/tts-accelerator")
    async def dial_in(websocket: WebSocket) -> None:
        """A laptop that the server cannot call. Bearer: ``accelerator_id.secret``."""
        try:
            _no_browser(websocket)
            access.hit("socket", Access.address(websocket))
            laptop = hub.laptops.recognise(_bearer(websocket))
            if laptop is None:
                raise TransportError(
                    "laptop_secret", "This server does not know this laptop any more. Pair it "
                    "again: the tab “Laptops” of the host page has the command.",
                )  # fmt: skip
        except BabbleFishError as error:
            await websocket.send_denial_response(error_answer(error))
            return
        await websocket.accept()
        socket = LaptopSocket(websocket)
        carrying = asyncio.create_task(socket.run(), name="laptop socket")
        try:
            await laptop.attach(socket)
        finally:
            socket.close(_why_ended(laptop, laptop.id in hub.laptops))
            await carrying

    return router


def _why_ended(laptop: Laptop, known: bool) -> int:
    """4401: removed, 4409: it dialled in once more, 1001: the server stops."""
    if not known:
        return 4401
    return 4409 if laptop.socket is not None else 1001


def _no_browser(connection: HTTPConnection) -> None:
    if any(name in connection.headers for name in _BROWSER):
        raise TransportError("origin", "This address is for the laptop's program only.")


def _bearer(connection: HTTPConnection) -> str:
    scheme, _, secret = connection.headers.get("authorization", "").partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not secret.isascii() or len(secret) > _LONGEST_CREDENTIAL:
        raise TransportError("laptop_secret", "The laptop's secret is missing. Pair it again.")
    return secret


def _peer(connection: HTTPConnection) -> str:
    return connection.client.host if connection.client else ""
