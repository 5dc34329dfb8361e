"""Programs that call the server for a while: text, speech, files, sockets, and some that break off.

One round of each kind at a time; whoever wants it for long asks again. Judges nothing but whether
the answer was one.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import httpx
import numpy as np
import soundfile
import websockets

from babblefish.audio import to_int16
from bench.clips import RATE, Clip
from bench.server import Server

_FRAME_S = 0.1
_PATIENCE_S = 60.0
_TEXTS = (
    "The meeting starts at nine o'clock.", "We should talk about the budget first.",
    "Today only two rooms are free.", "My favourite colour is green.",
)  # fmt: skip


class Wrong(RuntimeError):
    """An answer that was none."""


class Programs:
    def __init__(
        self, http: httpx.AsyncClient, server: Server, key: str, clips: Sequence[Clip],
        done: Counter[str], wrong: Counter[str],
    ) -> None:  # fmt: skip
        self._http, self._server, self._key = http, server, key
        self._done, self._wrong = done, wrong
        self._texts, self._clips = itertools.cycle(_TEXTS), itertools.cycle(clips)
        self._rounds = itertools.count()

    def kinds(self) -> list[tuple[str, float, Callable[[], Awaitable[None]]]]:
        """(name, seconds between rounds, one round)"""
        return [
            ("text translated", 1.0, self.translate),
            ("text spoken", 15.0, self.speak),
            ("file transcribed", 20.0, self.transcribe),
            ("upload broken off", 7.0, self.break_off),
            ("socket", 5.0, self.socket),
        ]

    async def translate(self) -> None:
        body = {"text": next(self._texts), "source_lang": "en", "target_lang": "es"}
        answer = await self._http.post("/translate", json=body)
        if answer.status_code != 200 or not answer.json()["translation"]:
            raise Wrong(answer.text[:300])

    async def speak(self) -> None:
        body = {"model": "tts-1", "voice": "alloy", "input": next(self._texts)}
        sound = 0
        async with self._http.stream("POST", "/v1/audio/speech", json=body) as answer:
            answer.raise_for_status()
            async for piece in answer.aiter_bytes():
                sound += len(piece)
        if sound < 1000:
            raise Wrong(sound)

    async def transcribe(self) -> None:
        clip = next(self._clips)
        files = {"file": ("clip.wav", _wav(clip), "audio/wav")}
        answer = await self._http.post(
            "/transcribe", files=files, data={"source_lang": clip.language}, timeout=_PATIENCE_S
        )
        if answer.status_code != 200 or not answer.json()["segments"]:
            raise Wrong(answer.text[:300])

    async def break_off(self) -> None:
        """Every other time in the middle of the file, else while it waits for the answer."""
        whole = _wav(next(self._clips))
        middle = next(self._rounds) % 2

        async def pieces():
            yield whole[: len(whole) // 2]
            if middle:
                await asyncio.sleep(_PATIENCE_S)
            yield whole[len(whole) // 2 :]

        headers = {"Content-Type": "audio/wav"}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.6):
                await self._http.post("/transcribe", content=pieces(), headers=headers)

    async def socket(self) -> None:
        """Joins the room, says a clip, waits for its own words; every other one just goes away."""
        clip = next(self._clips)
        link = self._server.link
        config = {
            "type": "config", "room": link.code, "token": link.token, "name": "Kiosk",
            "language": clip.language, "target": "en", "words": False,
        }  # fmt: skip
        base = self._server.base.replace("http", "ws", 1)
        headers = {"Authorization": f"Bearer {self._key}"}
        async with websockets.connect(
            f"{base}/ws/client", additional_headers=headers, max_size=None
        ) as socket:
            await socket.send(json.dumps(config))
            samples = np.concatenate([to_int16(clip.samples), np.zeros(2 * RATE, np.int16)])
            said = asyncio.create_task(_say(socket, samples))
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    await _until_final(socket)
            finally:
                said.cancel()
                await asyncio.gather(said, return_exceptions=True)
            if next(self._rounds) % 2:
                socket.transport.abort()


async def _say(socket: websockets.ClientConnection, samples: np.ndarray) -> None:
    """In real time."""
    step = round(_FRAME_S * RATE)
    for start in range(0, len(samples), step):
        await socket.send(samples[start : start + step].tobytes())
        await asyncio.sleep(_FRAME_S)


async def _until_final(socket: websockets.ClientConnection) -> None:
    async for message in socket:
        if isinstance(message, str):
            told = json.loads(message)
            if told["type"] == "error":
                raise Wrong(told["code"])
            if told["type"] == "final":
                return


def _wav(clip: Clip) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, to_int16(clip.samples), RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()
