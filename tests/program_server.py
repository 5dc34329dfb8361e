"""The whole server for programs, on a port of 127.0.0.1: real rooms, keys and HTTP on an engine of
scripted stages in real worker processes."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from babblefish.engine.engine import Engine
from babblefish.engine.profiles import Profile
from babblefish.settings import Settings
from babblefish.storage.storage import Storage
from babblefish.ui.programs.keys import SCOPES
from babblefish.ui.server import create_app
from rooms.hub import Hub
from tests.phones import fake_profile
from tests.served import running
from tests.stored import QUICK

MANY = 100_000
"""requests a minute"""


@dataclass
class ProgramServer:
    base: str
    app: FastAPI
    hub: Hub
    engine: Engine
    http: httpx.AsyncClient
    """with a key for everything"""
    data_dir: Path

    async def key(self, *scopes: str, per_minute: int = MANY, connections: int = 30) -> str:
        """A new key; for everything, unless told."""
        keys = self.app.state.keys
        return (await keys.make("Kiosk", scopes or SCOPES, per_minute, connections))[1]

    async def post(self, path: str, key: str | None = None, **options: Any) -> httpx.Response:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return await self.http.post(path, headers=headers, **options)


@contextlib.asynccontextmanager
async def program_server(
    profile: Profile | None = None, **settings: Any
) -> AsyncIterator[ProgramServer]:
    """settings: of the server. Without data_dir among them nothing is stored."""
    chosen = Settings(http=True, **({"requests_per_address": MANY} | settings))
    engine = Engine(profile or fake_profile())
    storage = Storage(chosen.data_dir, **QUICK) if "data_dir" in settings else None
    hub = Hub(chosen, engine, storage)
    app = create_app(chosen, hub, engine)
    async with running(app) as base, httpx.AsyncClient(base_url=base, timeout=60) as http:
        await app.state.ready.wait()
        assert app.state.failure is None, app.state.failure
        server = ProgramServer(base, app, hub, engine, http, chosen.data_dir)
        http.headers["Authorization"] = f"Bearer {await server.key()}"
        yield server
