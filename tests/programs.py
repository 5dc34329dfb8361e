"""Programs in rooms, for tests: a WebSocket that keeps what it was told."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import struct
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import numpy as np
import websockets
from websockets.asyncio.client import ClientConnection, connect

from babblefish.settings import Settings
from babblefish.ui.server import create_app
from tests.served import Served, running

RATE = 16_000
SECONDS = 60.0
"""how long anything is waited for"""


@asynccontextmanager
async def serving(hub, engine, certificates=None, options=None, **settings):
    """A server around a hub and an engine that run already. options: uvicorn's."""

    class Borrowed:
        """The server neither starts nor stops it."""

        def __init__(self, real) -> None:
            self._real = real

        def __getattr__(self, name):
            return getattr(self._real, name)

        async def start(self) -> None: ...
        async def close(self) -> None: ...
        async def refresh_people(self) -> None: ...

    chosen = Settings(http=certificates is None, **settings)
    app = create_app(chosen, Borrowed(hub), Borrowed(engine), None, certificates)
    async with (
        running(app, **(options or {})) as base,
        httpx.AsyncClient(base_url=base.replace("127.0.0.1", "localhost"), timeout=60) as http,
    ):
        await app.state.ready.wait()
        yield Served(app, hub, http)


def sine(hertz: float, seconds: float, rate: int = RATE) -> np.ndarray:
    """int16 (n,)."""
    t = np.arange(int(seconds * rate)) / rate
    return (0.3 * 32767 * np.sin(2 * np.pi * hertz * t)).astype(np.int16)


def silence(seconds: float, rate: int = RATE) -> np.ndarray:
    return np.zeros(int(seconds * rate), np.int16)


def sound_of(message: dict) -> tuple[np.ndarray, int]:
    """(int16 (n,), rate) of the base64 wav of a result."""
    with wave.open(io.BytesIO(base64.b64decode(message["tts_audio"]))) as wav:
        assert (wav.getnchannels(), wav.getsampwidth()) == (1, 2)
        return np.frombuffer(wav.readframes(wav.getnframes()), "<i2"), wav.getframerate()


def loudest(samples: np.ndarray, rate: int) -> float:
    """The loudest frequency, in Hertz, ± 10."""
    spectrum = np.abs(np.fft.rfft(samples.astype(np.float64)))
    return float(np.argmax(spectrum) * rate / len(samples))


class Program:
    """One connection."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.messages: list[dict] = []
        self.sounds: list[tuple[int, int, int, np.ndarray]] = []
        """kind, rate, number, samples"""
        self.ended = asyncio.Event()
        self._came = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for message in self.socket:
                if isinstance(message, str):
                    self.messages.append(json.loads(message))
                else:
                    kind, zero, rate, number = struct.unpack_from("<BBHI", message)
                    assert zero == 0
                    self.sounds.append((kind, rate, number, np.frombuffer(message[8:], "<i2")))
                self._came.set()
        except websockets.ConnectionClosed:
            pass
        finally:
            self.ended.set()
            self._came.set()

    async def say(self, message: dict | np.ndarray) -> None:
        sent = message.tobytes() if isinstance(message, np.ndarray) else json.dumps(message)
        await self.socket.send(sent)

    def of(self, kind: str) -> list[dict]:
        return [message for message in self.messages if message["type"] == kind]

    async def until(self, condition) -> None:
        try:
            async with asyncio.timeout(SECONDS):
                while not condition():
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            shown = [{**m, "tts_audio": "…"} for m in self.messages[-8:]]
            raise TimeoutError(f"told so far: {shown}, {len(self.sounds)} sounds") from None

    async def got(self, kind: str, count: int = 1) -> dict:
        """The ``count``th message of a kind."""
        await self.until(lambda: len(self.of(kind)) >= count or self.ended.is_set())
        assert len(self.of(kind)) >= count, (self.messages[-5:], self.code)
        return self.of(kind)[count - 1]

    @property
    def code(self) -> int | None:
        """With which the connection was closed."""
        return self.socket.close_code

    async def close(self) -> None:
        await self.socket.close()
        await self._reading


@asynccontextmanager
async def program(server: Served, config: dict | None, **options) -> AsyncIterator[Program]:
    """config: the first message; None: nothing is said."""
    url = str(server.http.base_url).replace("http", "ws", 1) + "/ws/client"
    async with connect(url, compression=None, proxy=None, **options) as socket:
        there = Program(socket)
        try:
            if config is not None:
                with contextlib.suppress(websockets.ConnectionClosed):  # turned away before that
                    await there.say(config)
            yield there
        finally:
            await there.close()


def config(room, name: str = "Kiosk", **more) -> dict:
    return {
        "type": "config", "room": room.code, "token": room.token, "name": name,
        "language": "fr", "target": "en", "words": False,
    } | more  # fmt: skip
