"""The real gate and the real guard in front of a few routes for programs, on a real server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import httpx
from fastapi import APIRouter, FastAPI, Request, WebSocket
from limits.storage import memory

from babblefish.errors import BabbleFishError
from babblefish.settings import Settings
from babblefish.storage.storage import Storage
from babblefish.ui.programs import keys as keys_module
from babblefish.ui.programs.caller import Caller, needs
from babblefish.ui.programs.gate import KeyGate
from babblefish.ui.programs.keys import SCOPES, Keys
from babblefish.ui.programs.refusals import turn_away
from babblefish.ui.server import create_app
from rooms.hub import Hub
from tests.fakes_hub import QuietEngine
from tests.patience import PATIENCE
from tests.served import running
from tests.stored import QUICK


@dataclass
class Programs:
    base: str
    hub: Hub
    keys: Keys
    gate: KeyGate
    http: httpx.AsyncClient
    release: asyncio.Event = field(default_factory=asyncio.Event)
    """what waits at ``/speak`` goes on"""

    async def key(
        self, *scopes: str, per_minute: int = 600, connections: int = 30, name: str = "Kiosk"
    ) -> str:
        _, key = await self.keys.make(name, scopes or SCOPES, per_minute, connections)
        return key

    async def post(self, path: str, key: str = "", **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        headers |= options.pop("headers", {})
        return await self.http.post(path, headers=headers, **options)


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


@contextlib.contextmanager
def patient() -> Iterator[None]:
    """The storage may take its time, and is looked at often; however long a test takes, all that
    it does happens within one minute of the rate limits."""
    now = time.time()
    minute = SimpleNamespace(time=lambda: now)
    with (
        mock.patch.object(keys_module, "_READ_S", PATIENCE),
        mock.patch.object(keys_module, "_LOOK_S", 0.05),
        mock.patch.object(memory, "time", minute),
    ):
        yield


@contextlib.asynccontextmanager
async def programs(folder: Path | None = None, **settings: Any) -> AsyncIterator[Programs]:
    """folder: where keys are stored; None: nowhere. The server stands behind a reverse proxy,
    which is this machine."""
    chosen = Settings(http=True, **({"data_dir": folder} if folder else {}), **settings)
    hub = Hub(chosen, QuietEngine(), Storage(folder, **QUICK) if folder else None)
    app = create_app(chosen, hub, QuietEngine())
    release = asyncio.Event()
    add_program_routes(app, release)
    proxied = {"proxy_headers": True, "forwarded_allow_ips": chosen.trusted_proxies}
    with patient():
        async with (
            running(app, **proxied) as base,
            httpx.AsyncClient(base_url=base, timeout=PATIENCE) as http,
        ):
            yield Programs(base, hub, app.state.keys, app.state.gate, http, release)


def add_program_routes(app: FastAPI, release: asyncio.Event | None = None) -> None:
    """Ahead of the application's own. release: until when ``/speak`` takes; None: not at all."""
    own = list(app.router.routes)
    app.include_router(_routes(app.state.gate, release))
    app.router.routes[:] = [route for route in app.router.routes if route not in own] + own


def _routes(gate: KeyGate, release: asyncio.Event | None) -> APIRouter:
    router = APIRouter()

    @router.post("/translate")
    async def translate(request: Request, caller: Caller = needs(gate, "translate")) -> dict:
        return {"key": caller.key_id, "name": caller.name, "bytes": len(await request.body())}

    @router.post("/translate/batch")
    async def batch(request: Request) -> dict:
        caller = await gate.admit(request, "translate", cost=5)
        return {"key": caller.key_id}

    @router.post("/transcribe")
    async def transcribe(request: Request, caller: Caller = needs(gate, "transcribe")) -> dict:
        return {"bytes": sum([len(piece) async for piece in request.stream()])}

    @router.post("/speak")
    async def speak(caller: Caller = needs(gate, "speak")) -> dict:
        with gate.hold(caller):
            if release is not None:
                await release.wait()
        return {}

    @router.websocket("/ws/client")
    async def client(websocket: WebSocket) -> None:
        try:
            caller = await gate.admit(websocket, "rooms")
            with gate.hold(caller):
                await websocket.accept()
                await websocket.send_text("in")
                await websocket.receive_text()
        except BabbleFishError as error:
            await turn_away(websocket, error)

    return router


def checkpointed(path: Path) -> None:
    """What was written is in the database's file, no longer in its log."""
    with contextlib.closing(sqlite3.connect(path)) as plain:
        plain.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@contextlib.contextmanager
def without_database(folder: Path) -> Iterator[None]:
    """A database that this version cannot read lies where it was, from one moment to the next."""
    path, aside, newer = (folder / name for name in ("babblefish.db", "aside", "newer"))
    with contextlib.closing(sqlite3.connect(newer)) as plain:
        plain.execute("CREATE TABLE alembic_version (version_num TEXT)")
        plain.execute("INSERT INTO alembic_version VALUES ('9999')")
        plain.commit()
    checkpointed(path)
    os.link(path, aside)
    newer.replace(path)
    try:
        yield
    finally:
        aside.replace(path)
