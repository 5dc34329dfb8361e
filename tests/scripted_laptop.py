"""A laptop of which tests decide what it does: its endpoint over real https, and its own calls to
the server. It says every clause with a tone.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse
from websockets.asyncio.client import ClientConnection, connect

from babblefish import accelerator_protocol as wire
from babblefish.engine import clauses
from tests.served import running


def certificate(folder: Path) -> tuple[Path, Path, str]:
    """Files of certificate and key, and the certificate as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "laptop")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(1))
        .not_valid_after(now + datetime.timedelta(9)).sign(key, hashes.SHA256())
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    files = folder / "laptop.crt", folder / "laptop.key"
    pem = made.public_bytes(serialization.Encoding.PEM)
    files[0].write_bytes(pem)
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )  # fmt: skip
    return *files, pem.decode()


@dataclass
class ScriptedLaptop:
    secret: str = ""
    voices: dict[str, str] = field(default_factory=dict)
    """speaker → digest"""
    deleted: list[str] = field(default_factory=list)
    url: str = ""
    pem: str = ""
    asked: list[str] = field(default_factory=list)
    """paths that were called, whoever called"""

    @property
    def health(self) -> wire.Health:
        return wire.Health(
            ready=True, device="NVIDIA GeForce RTX 3050 Laptop", languages=["en", "zh"],
            memory_used_mb=1945, memory_total_mb=4096, voices=len(self.voices),
            real_time_factor=0.41, first_clause_s=0.12,
        )  # fmt: skip

    def introduction(self, code: str = "", **fields: Any) -> dict:
        values = {"code": code, "name": "Dan's laptop", "urls": [self.url] if self.url else [],
                  "certificate": self.pem, "health": self.health}  # fmt: skip
        return wire.Introduction(**(values | fields)).model_dump(mode="json")

    def answer(self, message: wire.ToLaptop) -> list[wire.ToServer]:
        match message:
            case wire.AskHealth():
                return [self.health]
            case wire.PutVoice():
                self.voices[message.speaker_id] = message.digest
                return [wire.VoiceStored(speaker_id=message.speaker_id, digest=message.digest)]
            case wire.DeleteVoice():
                self.deleted.append(message.speaker_id)
                existed = self.voices.pop(message.speaker_id, None) is not None
                return [wire.VoiceDeleted(speaker_id=message.speaker_id, existed=existed)]
            case wire.Synthesize() if self.voices.get(message.speaker_id) != message.reference:
                return [wire.Failed(request_id=message.request_id, code="unknown_voice")]
            case wire.Synthesize():
                return [*_spoken(message)]
        return []

    # --- called -------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def listening(self, folder: Path) -> AsyncIterator[ScriptedLaptop]:
        """Its endpoint is there."""
        crt, key, self.pem = certificate(folder)
        async with running(self._app(), ssl_certfile=crt, ssl_keyfile=key) as self.url:
            yield self

    def _app(self) -> FastAPI:
        app = FastAPI()

        @app.middleware("http")
        async def door(request: Request, onward):
            self.asked.append(request.url.path)
            if request.headers.get("authorization") != f"Bearer {self.secret}" or not self.secret:
                return JSONResponse(wire.Failed(code="refused").model_dump(), 401)
            return await onward(request)

        @app.get("/health")
        async def health() -> wire.Health:
            return self.health

        @app.post("/v1/voices/{speaker}")
        async def put(speaker: str, body: wire.PutVoice):
            return self.answer(body)[0]

        @app.delete("/v1/voices/{speaker}")
        async def delete(speaker: str):
            return self.answer(wire.DeleteVoice(speaker_id=speaker))[0]

        @app.post("/v1/synthesize")
        async def synthesize(body: wire.Synthesize):
            answers = self.answer(body)
            if isinstance(answers[0], wire.Failed):
                return JSONResponse(answers[0].model_dump(), 404)
            lines = (answer.model_dump_json() + "\n" for answer in answers)
            return StreamingResponse(lines, media_type="application/x-ndjson")

        return app

    # --- calling ------------------------------------------------------------------------------

    def dial(self, base: str, credential: str, **options: Any) -> connect:
        """The WebSocket to the server; a context manager."""
        address = base.replace("http", "ws", 1) + "/ws/tts-accelerator"
        headers = {"Authorization": f"Bearer {credential}"} | options.pop("headers", {})
        return connect(address, additional_headers=headers, max_size=None, **options)

    async def converse(self, socket: ClientConnection) -> None:
        """Answer until the server hangs up; raises ConnectionClosed."""
        while True:
            text = await socket.recv()
            for answer in self.answer(wire.message_for_laptop(text)):
                await socket.send(answer.model_dump_json())


def _spoken(message: wire.Synthesize):
    texts = message.clauses or [message.text]
    for number, text in enumerate(texts):
        seconds = clauses.seconds(text)
        tone = 0.3 * np.sin(2 * np.pi * 220 * np.arange(int(24_000 * seconds)) / 24_000)
        yield wire.ClauseSpoken(
            request_id=message.request_id, clause=number, last=number == len(texts) - 1,
            audio=wire.encode_audio(tone.astype(np.float32)), sample_rate=24_000, latency_ms=5.0,
        )  # fmt: skip


def trusting(pem_file: Path) -> ssl.SSLContext:
    """For a program that knows the server's authority."""
    return ssl.create_default_context(cafile=pem_file)


def refusal(error: Any) -> dict:
    """What the server said to a WebSocket that it did not open."""
    return json.loads(error.response.body)["error"]
