"""The real server with scripted stages, as programs with OpenAI's own client find it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
from fastapi import FastAPI

from babblefish.engine.engine import Engine
from babblefish.settings import Settings
from babblefish.ui.programs.gate import KeyGate
from babblefish.ui.programs.keys import SCOPES
from babblefish.ui.server import create_app
from rooms.hub import Hub
from tests.phones import fake_profile
from tests.served import running

SECONDS = 60.0
"""for anything to happen on a busy machine"""


class OpenAIServer:
    """keys: "all" may do everything, "listener" transcribe, "text" translate texts."""

    def __init__(
        self, base: str, app: FastAPI, engine: Engine, folder: Path, keys: dict[str, str]
    ) -> None:
        self.base, self.engine, self.keys = base, engine, keys
        self.gate: KeyGate = app.state.gate
        self.app_keys = app.state.keys
        self.voice = engine.synthesisers[0]
        self._folder = folder
        self.http = httpx.AsyncClient(
            base_url=base, headers={"Authorization": f"Bearer {keys['all']}"}, timeout=SECONDS
        )

    def client(self, key: str = "all") -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(
            api_key=self.keys.get(key, key), base_url=f"{self.base}/v1", max_retries=0
        )

    def uploads_left(self) -> list[str]:
        """What of recordings this process has open."""
        open_files = []
        for descriptor in os.listdir("/proc/self/fd"):
            try:
                open_files.append(os.readlink(f"/proc/self/fd/{descriptor}"))
            except OSError:
                continue
        return [path for path in open_files if str(self._folder / "uploads") in path]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS):
            while not condition():
                await asyncio.sleep(0.01)


@asynccontextmanager
async def openai_server(
    folder: Path, engine: Engine | None = None, **settings: Any
) -> AsyncIterator[OpenAIServer]:
    """engine: one of its own, by default of scripted stages."""
    engine = engine or Engine(fake_profile(plain_voice=True))
    chosen = Settings(http=True, data_dir=folder, **settings)
    app = create_app(chosen, Hub(chosen, engine), engine)
    async with running(app) as base:
        await app.state.ready.wait()
        assert app.state.failure is None
        keys = {}
        for name, scopes in (
            ("all", SCOPES), ("listener", ["transcribe"]), ("text", ["translate"]),
        ):  # fmt: skip
            _, keys[name] = await app.state.keys.make(name, scopes, 6000, 30)
        server = OpenAIServer(base, app, engine, folder, keys)
        async with server.http:
            yield server
