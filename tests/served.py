"""The real application on a port of 127.0.0.1, in the test's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import uvicorn
from fastapi import FastAPI

from babblefish.network import bind
from babblefish.settings import Settings
from babblefish.ui.server import create_app
from tests.fakes_rooms import FakeEngine, FakeHub
from tests.patience import PATIENCE, until
from tests.rtc_peer import Peer

if TYPE_CHECKING:
    from rooms.hub import Hub


JOIN = {"name": "Marie", "speaks": "fr", "hears": "en", "microphone": True}


@dataclass
class Served:
    app: FastAPI
    hub: FakeHub | Hub
    http: httpx.AsyncClient

    @property
    def calls(self) -> dict:
        return self.app.state.offers.calls

    async def post(self, path: str, bearer: str, body: object = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {bearer}"}
        return await self.http.post(path, json=body, headers=headers)

    async def join(self, room, body: dict = JOIN):
        """A new member of ``room``, fake or real."""
        answer = await self.post(f"/api/rooms/{room.code}/join", room.token, body)
        assert answer.status_code == 200, answer.text
        return self.hub.member(room.code, answer.json()["key"])

    async def offer(self, member, sdp: str, kind: str = "offer") -> httpx.Response:
        path = f"/api/rooms/{member.room.code}/offer"
        return await self.post(path, member.key, {"sdp": sdp, "type": kind})

    async def connect(self, member, peer: Peer, resume: bool = True) -> Peer:
        answer = await self.offer(member, await peer.offer())
        assert answer.status_code == 200, answer.text
        await peer.accept(answer.json()["sdp"], resume)
        if resume:
            await peer.event("welcome")
        return peer

    async def until(self, condition) -> None:
        await until(condition)


@asynccontextmanager
async def served(script: str = "echo", **settings):
    """A running server with scripted rooms."""
    hub, engine = FakeHub(script), FakeEngine()
    app = create_app(Settings(http=True, **settings), hub, engine)
    async with running(app) as base, httpx.AsyncClient(base_url=base, timeout=PATIENCE) as http:
        await app.state.ready.wait()
        yield Served(app, hub, http)


@asynccontextmanager
async def running(app: FastAPI, **options) -> AsyncIterator[str]:
    """Base URL of ``app`` served by uvicorn."""
    listener = bind("127.0.0.1", 0)
    config = uvicorn.Config(app, log_config=None, access_log=False, **options)
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        assert not task.done(), "the server did not start"
        await asyncio.sleep(0.01)
    scheme = "https" if "ssl_certfile" in options else "http"
    try:
        yield f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
