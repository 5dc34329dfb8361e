"""Laptops as real processes, a server's client of them, and what a listener would have heard."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from babblefish.engine.cloning import (
    ClonedClause,
    CloneReference,
    CloneRequest,
    Cloning,
    Laptop,
)
from babblefish.engine.stages import PLAYOUT_RATE
from babblefish.errors import CloningError
from bench.laptop_process import LaptopProcess, certificate
from bench.marks import tone_of
from tests.patience import PATIENCE, until

CLAUSES = ("Hello everybody,", "how are you", "on this fine day?")


def reference(speaker: str = "pierre-1", text: str = "Bonjour à tous") -> CloneReference:
    rng = np.random.default_rng(len(text))
    clip = rng.normal(0, 0.1, 24_000 * 6).astype(np.float32)
    return CloneReference.of(speaker, text, "fr", clip, 24_000)


PIERRE = reference()


def request(
    *clauses: str, of: CloneReference = PIERRE, language: str = "en", name: str = "Pierre"
) -> CloneRequest:
    return CloneRequest("u1", of.speaker, name, language, clauses or CLAUSES, of)


@dataclass
class Heard:
    """What a listener got in the cloned voice, and why it ended."""

    clauses: list[ClonedClause] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    """seconds after the request"""
    code: str = ""
    ended: float = 0.0

    @property
    def numbers(self) -> list[int]:
        return [clause.number for clause in self.clauses]

    def check(self) -> None:
        """No clause is lost, doubled, out of order or sounds like another."""
        assert self.numbers == list(range(len(self.clauses)))
        for clause in self.clauses:
            assert tone(clause.samples) == tone_of(clause.text), clause.number


def tone(samples: np.ndarray) -> float:
    """Hertz, of the strongest tone in (n,) at PLAYOUT_RATE, to the nearest 50."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return round(float(np.argmax(spectrum)) * PLAYOUT_RATE / len(samples) / 50) * 50.0


async def listen(cloning: Cloning, asked: CloneRequest | None = None, deadline: float = 3) -> Heard:
    heard, begun = Heard(), time.monotonic()
    try:
        async with aclosing(cloning.speak(asked or request(), deadline)) as spoken:
            async for clause in spoken:
                heard.clauses.append(clause)
                heard.at.append(time.monotonic() - begun)
    except CloningError as error:
        heard.code = error.code
    heard.ended = time.monotonic() - begun
    heard.check()
    return heard


async def seen(process: LaptopProcess, condition, seconds: float = PATIENCE) -> dict[str, Any]:
    async with asyncio.timeout(seconds):
        while not condition(found := await process.seen()):
            await asyncio.sleep(0.02)
    return found


@asynccontextmanager
async def client(*laptops: Laptop, ready: bool = True) -> AsyncIterator[Cloning]:
    cloning = Cloning()
    try:
        for laptop in laptops:
            cloning.add(laptop)
        if ready:
            await until(lambda: all(state.asked_now for state in cloning.laptops()))
        yield cloning
    finally:
        await cloning.close()


class _Accepted:
    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket

    async def send(self, text: str) -> None:
        await self._socket.send_text(text)

    async def receive(self) -> str:
        return await self._socket.receive_text()


class DialIn:
    """A server's WebSocket for one laptop."""

    def __init__(self, folder: Path) -> None:
        self.certificate, self._key = certificate(folder / "server")
        self.laptop: Laptop | None = None
        self.url = ""

    async def _accept(self, socket: WebSocket) -> None:
        laptop = self.laptop
        if laptop is None or socket.headers.get("authorization") != f"Bearer {laptop.secret}":
            await socket.close()
            return
        await socket.accept()
        await laptop.attach(_Accepted(socket))
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            await socket.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[DialIn]:
        config = uvicorn.Config(
            Starlette(routes=[WebSocketRoute("/ws/tts-accelerator", self._accept)]),
            port=0, log_config=None, ssl_certfile=self.certificate, ssl_keyfile=self._key,
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        server = uvicorn.Server(config)
        server.capture_signals = contextlib.nullcontext
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        self.url = f"wss://127.0.0.1:{port}/ws/tts-accelerator"
        try:
            yield self
        finally:
            if self.laptop is not None:
                self.laptop.detach()
            server.should_exit = True
            await task
