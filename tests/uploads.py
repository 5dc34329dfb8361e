"""A server that takes recordings of programs, and what to send it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from babblefish.engine.engine import Engine
from babblefish.settings import load_settings
from babblefish.storage.storage import Storage
from babblefish.ui.server import create_app
from rooms.hub import Hub
from tests.phones import fake_profile, tone
from tests.served import running
from tests.stored import QUICK

SECONDS = 60.0
"""for anything to happen on a busy machine"""


@dataclass
class Served:
    app: Any
    http: httpx.AsyncClient
    folder: Path

    async def send(self, path: str, file: bytes, accept: str = "", **fields: Any) -> httpx.Response:
        """As a form."""
        headers = {"Accept": accept} if accept else {}
        return await self.http.post(
            path, files={"file": ("../../etc/passwd", file)}, data=fields, headers=headers
        )

    def left(self) -> list[str]:
        """What of uploads is open in this process."""
        links = []
        for descriptor in os.listdir("/proc/self/fd"):
            try:
                links.append(os.readlink(f"/proc/self/fd/{descriptor}"))
            except OSError:
                continue
        return [link for link in links if str(self.folder / "uploads") in link]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS):
            while not condition():
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Served]:
    """A real server with scripted stages, and a key that may send recordings."""
    settings = load_settings(http=True, data_dir=folder, max_upload_mb=4, max_audio_hours=1.0)
    engine = Engine(fake_profile())
    app = create_app(settings, Hub(settings, engine, Storage(folder, **QUICK)), engine)
    async with running(app) as base:
        await app.state.ready.wait()
        app.state.engine = engine
        _, key = await app.state.keys.make("Archive", ["transcribe"], 600, 30)
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(base_url=base, headers=headers, timeout=SECONDS) as http:
            yield Served(app, http, folder)


def code(answer: httpx.Response) -> tuple[int, str]:
    error = answer.json()["error"]
    assert error["message"].endswith((".", "”.")) and len(error["message"]) > 20, error
    return answer.status_code, error["code"]


def events(text: str) -> list[tuple[str, Any]]:
    found = []
    for block in text.split("\n\n"):
        if block.strip() not in ("", ":"):
            name, data = block.strip().split("\n")
            found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def two_people(and_then: float | None = None) -> np.ndarray:
    """Tones at 1 s, 4 s and 7 s, of two voices; 11 s in all, float32 at 48 kHz.

    and_then: Hertz of one more tone, at 11 s."""
    gap = np.zeros(48000, np.float32)
    low, high = (tone(hertz, 2.0) / 32768 for hertz in (400, 3000))
    more = [] if and_then is None else [tone(and_then, 2.0) / 32768, gap, gap]
    return np.concatenate([gap, low, gap, high, gap, low, gap, gap, *more]).astype(np.float32)
