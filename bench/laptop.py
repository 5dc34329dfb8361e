"""A laptop without a model: a process that speaks the contract and says every clause as a tone of
its own (``marks``), as slowly and as badly as it is told.

``python -m bench.laptop --port P --certificate FILE --key FILE --secret S`` answers over https,
with ``--dial wss://…`` it dials out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import ssl
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import suppress

import numpy as np
import uvicorn
import websockets
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from babblefish import accelerator_protocol as wire
from bench.marks import spoken

RATE = 24_000


class Behaviour:
    """What the process does next; set from outside with ``POST /behaviour``."""

    first_s = 0.05
    """until the first clause"""
    each_s = 0.02
    """for every further one"""
    fault = ""
    """see ``Laptop.faulty`` and ``Laptop.answer``"""
    fault_at = 0
    """the clause in which the fault is"""
    health = ""
    """"hang", "not_ready", "html" or "" """
    refuse = False
    """the secret, whatever it is"""
    languages = ("en", "fr")
    most_voices = 16
    """0: confirm voices, and lose them"""


class Laptop:
    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.begin()
        self._work = asyncio.Lock()
        self._waiting = 0

    def begin(self) -> None:
        self.behaviour = Behaviour()
        self.voices: dict[str, str] = {}
        self.asked: list[str] = []
        self.done = self.cancelled = self.uploads = 0

    def health(self) -> wire.Health:
        b = self.behaviour
        return wire.Health(
            ready=b.health != "not_ready", message="Warming up." * (b.health == "not_ready"),
            name="Tones", device="CPU", languages=list(b.languages), waiting=self._waiting,
            expected_wait_s=self._waiting * (b.first_s + b.each_s), voices=len(self.voices),
        )  # fmt: skip

    def put_voice(self, message: wire.PutVoice) -> wire.VoiceStored | wire.Failed:
        self.uploads += 1
        wire.decode_audio(message.clip)
        if message.digest != wire.digest_of(message.clip, message.text, message.sample_rate):
            return wire.Failed(code="bad_reference", request_id=message.speaker_id)
        self.voices[message.speaker_id] = message.digest
        while len(self.voices) > self.behaviour.most_voices:
            del self.voices[next(iter(self.voices))]
        return wire.VoiceStored(speaker_id=message.speaker_id, digest=message.digest)

    def delete_voice(self, speaker: str) -> wire.VoiceDeleted:
        existed = self.voices.pop(speaker, None) is not None
        return wire.VoiceDeleted(speaker_id=speaker, existed=existed)

    async def answer(self, request: wire.Synthesize) -> AsyncIterator[str]:
        """Lines of JSON, or what is none."""
        self.asked.append(request.request_id)
        self._waiting += 1
        try:
            if self.voices.get(request.speaker_id) != request.reference:
                yield wire.Failed(
                    request_id=request.request_id, code="unknown_voice"
                ).model_dump_json()
                return
            async with self._work:
                texts = request.clauses or [request.text]
                for number, text in enumerate(texts):
                    b = self.behaviour
                    await asyncio.sleep(b.each_s if number else b.first_s)
                    here = b.fault if number == b.fault_at else ""
                    if here == "end":
                        return
                    line = self._line(request, number, text, number == len(texts) - 1, here)
                    async for piece in self._sent(line, here):
                        yield piece
            self.done += 1
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled += 1
            raise
        finally:
            self._waiting -= 1

    def _line(
        self, request: wire.Synthesize, number: int, text: str, last: bool, fault: str
    ) -> str:
        rate = {"other_rate": 16_000, "top_rate": 48_000}.get(fault, RATE)
        sound = spoken(text, rate)
        match fault:
            case "silence":
                sound *= 0
            case "short":
                sound = sound[: rate // 100]
            case "long":
                sound = np.tile(sound, 12)
            case "loud":
                sound = np.sign(sound)
        audio = wire.encode_audio(sound)
        if fault == "nan_samples":
            audio = wire.encode_audio(np.full(len(sound), np.nan, "<f4").view("<i2"))
        line = {
            "type": "tts_result", "request_id": request.request_id, "clause": number, "last": last,
            "audio": audio, "sample_rate": rate, "latency_ms": 1.0,
        }  # fmt: skip
        match fault:
            case "nan":
                line["latency_ms"] = float("nan")
            case "absurd_rate":
                line["sample_rate"] = 192_000
            case "wrong_clause":
                line["clause"] = number + 1
            case "wrong_request":
                line["request_id"] = "another"
            case "wrong_last":
                line["last"] = not last
            case "html":
                return "<html><body>It works!</body></html>"
            case "no_base64":
                line["audio"] = "?" * 1000
            case "failed":
                return wire.Failed(
                    request_id=request.request_id, code="synthesis_failed", message=request.text
                ).model_dump_json()
            case "oversized":
                line["audio"] = "A" * 40_000_000
        return json.dumps(line)

    async def _sent(self, line: str, fault: str) -> AsyncIterator[str]:
        """``line`` in one or more pieces; the last one ends it."""
        match fault:
            case "hang":
                await asyncio.sleep(3600)
            case "half":
                yield line[: len(line) // 2]
                await asyncio.sleep(3600)
            case "trickle":
                for begin in range(0, len(line), 200):
                    yield line[begin : begin + 200]
                    await asyncio.sleep(0.05)
            case "die":
                yield line[: len(line) // 2]
                await asyncio.sleep(0.05)
                os.kill(os.getpid(), signal.SIGKILL)
            case _:
                yield line
        yield "\n"


# --- over https --------------------------------------------------------------------------------


class Service:
    def __init__(self, laptop: Laptop) -> None:
        self._laptop = laptop
        self.app = Starlette(
            routes=[
                Route("/health", self._health),
                Route("/v1/voices/{speaker}", self._voice, methods=["POST", "DELETE"]),
                Route("/v1/synthesize", self._synthesize, methods=["POST"]),
                Route("/behaviour", self._behaviour, methods=["POST"]),
                Route("/seen", self._seen),
            ]
        )

    def _refused(self, request: Request) -> Response | None:
        right = request.headers.get("authorization") == f"Bearer {self._laptop.secret}"
        if right and not self._laptop.behaviour.refuse:
            return None
        return _json(wire.Failed(code="refused", message="Who are you?"), 401)

    async def _health(self, request: Request) -> Response:
        if refused := self._refused(request):
            return refused
        match self._laptop.behaviour.health:
            case "hang":
                await asyncio.sleep(3600)
            case "html":
                return PlainTextResponse("<html>", media_type="text/html")
        return _json(self._laptop.health())

    async def _voice(self, request: Request) -> Response:
        if refused := self._refused(request):
            return refused
        if request.method == "DELETE":
            return _json(self._laptop.delete_voice(request.path_params["speaker"]))
        answer = self._laptop.put_voice(wire.PutVoice.model_validate_json(await request.body()))
        return _json(answer, 400 if isinstance(answer, wire.Failed) else 200)

    async def _synthesize(self, request: Request) -> Response:
        if refused := self._refused(request):
            return refused
        message = wire.Synthesize.model_validate_json(await request.body())
        match self._laptop.behaviour.fault:
            case "503":
                return PlainTextResponse("Service Unavailable", 503)
            case "busy":
                return _json(wire.Failed(code="busy"), 503)
            case "page":
                return PlainTextResponse("<html>Sign in to the guest network</html>")
            case "redirect":
                return Response(status_code=302, headers={"Location": "https://127.0.0.1:1/"})
            case "deaf":
                await asyncio.sleep(3600)
        return StreamingResponse(self._laptop.answer(message), media_type="application/x-ndjson")

    async def _behaviour(self, request: Request) -> Response:
        changes = await request.json()
        if changes.pop("anew", False):  # as if just started, but quicker
            self._laptop.begin()
        for name, value in changes.items():
            setattr(self._laptop.behaviour, name, value)
        return JSONResponse({})

    async def _seen(self, request: Request) -> Response:
        laptop = self._laptop
        return JSONResponse(
            {
                "asked": len(laptop.asked), "done": laptop.done, "cancelled": laptop.cancelled,
                "voices": laptop.voices, "uploads": laptop.uploads,
            }
        )  # fmt: skip


def _json(message: wire.ToServer, status: int = 200) -> Response:
    return Response(message.model_dump_json(), status, media_type="application/json")


# --- over a WebSocket --------------------------------------------------------------------------


async def dial(laptop: Laptop, url: str, certificate: str) -> None:
    """Again and again."""
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False
    headers = {"Authorization": f"Bearer {laptop.secret}"}
    while True:
        with suppress(OSError, websockets.WebSocketException):
            async with websockets.connect(
                url, ssl=context, additional_headers=headers, max_size=wire.MOST_CLIP_BYTES + 10_000
            ) as socket:
                await _serve_socket(laptop, socket)
        await asyncio.sleep(0.1)


async def _serve_socket(laptop: Laptop, socket: websockets.ClientConnection) -> None:
    requests: dict[str, asyncio.Task[None]] = {}
    try:
        async for text in socket:
            match wire.message_for_laptop(text):
                case wire.AskHealth():
                    if laptop.behaviour.health != "hang":
                        await socket.send(laptop.health().model_dump_json())
                case wire.PutVoice() as message:
                    await socket.send(laptop.put_voice(message).model_dump_json())
                case wire.DeleteVoice(speaker_id=speaker):
                    await socket.send(laptop.delete_voice(speaker).model_dump_json())
                case wire.Synthesize() as message:
                    work = _answer_socket(laptop, socket, message)
                    requests[message.request_id] = asyncio.create_task(work)
                case wire.Cancel(request_id=made):
                    if task := requests.pop(made, None):
                        task.cancel()
    finally:
        for task in requests.values():
            task.cancel()


async def _answer_socket(
    laptop: Laptop, socket: websockets.ClientConnection, message: wire.Synthesize
) -> None:
    line = ""
    with suppress(websockets.WebSocketException):
        async for piece in laptop.answer(message):
            line += piece
            if piece == "\n" or '"error"' in piece:
                await socket.send(line)
                line = ""


def _end_with_parent() -> None:
    """Whoever started this process holds the other end of its standard input."""
    sys.stdin.buffer.read()
    os._exit(0)


async def main() -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    parser = argparse.ArgumentParser()
    for name in ("--certificate", "--key", "--secret", "--dial", "--server-certificate"):
        parser.add_argument(name, default="")
    parser.add_argument("--port", type=int)
    arguments = parser.parse_args()
    laptop = Laptop(arguments.secret)
    config = uvicorn.Config(
        Service(laptop).app, host="127.0.0.1", port=arguments.port, log_level="error",
        access_log=False, ssl_certfile=arguments.certificate, ssl_keyfile=arguments.key,
        timeout_graceful_shutdown=0,
    )  # fmt: skip
    async with asyncio.TaskGroup() as group:
        if arguments.dial:
            group.create_task(dial(laptop, arguments.dial, arguments.server_certificate))
        await uvicorn.Server(config).serve()
        raise SystemExit


if __name__ == "__main__":
    asyncio.run(main())
