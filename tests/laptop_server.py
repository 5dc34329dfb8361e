"""The real server over real https, as laptops meet it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from babblefish.settings import Settings
from babblefish.storage.storage import Storage
from babblefish.ui.pairing import Pairing
from babblefish.ui.server import create_app
from babblefish.ui.tls import Certificates
from rooms.hub import Hub
from tests.fakes_hub import QuietEngine
from tests.patience import PATIENCE
from tests.scripted_laptop import ScriptedLaptop, trusting
from tests.served import running
from tests.stored import QUICK

PAIR, ASK = "/api/accelerators/pair", "/api/accelerators/ask"


@dataclass
class Server:
    base: str
    http: httpx.AsyncClient
    hub: Hub
    pairing: Pairing
    tls: Certificates

    async def pair(self, laptop: ScriptedLaptop, **fields) -> dict:
        answer = await self.http.post(PAIR, json=laptop.introduction(self.pairing.code(), **fields))
        assert answer.status_code == 200, answer.text
        laptop.secret = answer.json()["secret"]
        return answer.json()

    async def ask(self, laptop: ScriptedLaptop, **fields) -> httpx.Response:
        return await self.http.post(ASK, json=laptop.introduction(**fields))

    async def answer(self, ticket: str) -> httpx.Response:
        return await self.http.get(ASK, headers={"Authorization": f"Bearer {ticket}"})

    def dial(self, laptop: ScriptedLaptop, credential: str, **options):
        context = trusting(self.tls.certificate_file.with_name("ca.crt"))
        return laptop.dial(self.base, credential, ssl=context, **options)


@contextlib.asynccontextmanager
async def server(folder: Path, keeps: bool = True) -> AsyncIterator[Server]:
    settings = Settings(data_dir=folder, host="127.0.0.1", http=False)
    tls = Certificates(folder / "tls")
    tls.refresh(["localhost"], [])
    hub = Hub(settings, QuietEngine(), Storage(folder, **QUICK) if keeps else None)
    app = create_app(settings, hub, QuietEngine(), certificates=tls)
    files = {"ssl_certfile": tls.certificate_file, "ssl_keyfile": tls.key_file}
    authority = trusting(tls.certificate_file.with_name("ca.crt"))
    async with (
        running(app, **files, timeout_graceful_shutdown=1) as base,
        httpx.AsyncClient(base_url=base, verify=authority, timeout=PATIENCE) as http,
    ):
        yield Server(base, http, hub, app.state.pairing, tls)


def error_of(answer: httpx.Response) -> str:
    return answer.json()["error"]["code"]


@pytest.fixture
def quiet(monkeypatch):
    """Looking says nothing in the network."""

    def look(there: Server) -> None:
        monkeypatch.setattr(type(there.pairing.lookout), "_tell", lambda self: asyncio.sleep(0))
        there.pairing.lookout.start()

    return look
