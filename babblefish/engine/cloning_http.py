"""A laptop that the server calls over https.

The laptop's certificate is pinned: no other key opens the connection, whatever name or date it
bears. Knows the paths and no time limit but that of connecting.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Literal

import httpx

from babblefish import accelerator_protocol as wire
from babblefish.engine.cloning_transport import (
    MOST_ANSWER_BYTES,
    MOST_LINE_BYTES,
    MOST_REPLY_BYTES,
    expect,
    failure,
    no_answer,
    unreachable,
)
from babblefish.errors import CloningError, TransportError

_CONNECT_S = 2.0
_KEPT_S = 30.0
"""an idle connection stays open; polling health keeps one warm"""
_NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME: a pinned key needs no date, and offline clocks are wrong"""
_ONE_CERTIFICATE = re.compile(
    r"-----BEGIN CERTIFICATE-----\s[\w+/=\s]+-----END CERTIFICATE-----", re.ASCII
)
_NDJSON = "application/x-ndjson"


def pinned(certificate: str) -> ssl.SSLContext:
    """Trusts the first certificate of a PEM and nothing else, no authority either.

    Raises CloningError("bad_certificate").
    """
    found = _ONE_CERTIFICATE.search(certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    try:
        context.load_verify_locations(cadata=found[0] if found else "")
    except (ssl.SSLError, ValueError) as error:
        raise CloningError(
            "bad_certificate",
            "The laptop's certificate cannot be read. Remove the laptop here and pair it again.",
        ) from error
    return context


def client(secret: str, certificate: str) -> httpx.AsyncClient:
    """For one laptop. Raises CloningError("bad_certificate")."""
    return httpx.AsyncClient(
        headers={"Authorization": f"Bearer {secret}", "Accept-Encoding": "identity"},
        verify=pinned(certificate), trust_env=False, follow_redirects=False,
        timeout=httpx.Timeout(None, connect=_CONNECT_S),
        limits=httpx.Limits(
            max_connections=None, max_keepalive_connections=4, keepalive_expiry=_KEPT_S
        ),
    )  # fmt: skip


class HttpTransport:
    """``url``: https://address:port."""

    kind: Literal["https", "websocket"] = "https"

    def __init__(self, http: httpx.AsyncClient, url: str) -> None:
        self._http, self.url = http, url.rstrip("/")

    async def health(self) -> wire.Health:
        return expect(wire.Health, await self._ask("GET", "/health"))

    async def put_voice(self, speaker: str, message: bytes) -> wire.VoiceStored:
        answer = await self._ask("POST", f"/v1/voices/{speaker}", message)
        return expect(wire.VoiceStored, answer)

    async def delete_voice(self, speaker: str) -> wire.VoiceDeleted:
        answer = await self._ask("DELETE", f"/v1/voices/{speaker}")
        return expect(wire.VoiceDeleted, answer)

    async def synthesize(self, message: wire.Synthesize) -> AsyncGenerator[wire.ClauseSpoken, None]:
        body = message.model_dump_json().encode()
        async with self._stream("POST", "/v1/synthesize", body) as response:
            if not response.headers.get("content-type", "").startswith(_NDJSON):
                raise no_answer()
            async for line in _lines(response):
                yield expect(wire.ClauseSpoken, _parsed(line))

    async def _ask(self, method: str, path: str, body: bytes | None = None) -> wire.ToServer:
        async with self._stream(method, path, body) as response:
            return _parsed(await _read(response))

    @asynccontextmanager
    async def _stream(self, method: str, path: str, body: bytes | None):
        headers = {"Content-Type": "application/json"} if body is not None else None
        try:
            async with self._http.stream(
                method, self.url + path, content=body, headers=headers
            ) as response:
                if response.status_code != 200:
                    raise await _refusal(response)
                yield response
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError) as error:
            raise unreachable() from error


def _parsed(text: bytes) -> wire.ToServer:
    try:
        return wire.message_for_server(text)
    except TransportError as error:
        raise no_answer() from error


async def _refusal(response: httpx.Response) -> CloningError:
    if response.status_code in (401, 403):
        return failure(wire.Failed(code="refused"))
    try:
        answer = _parsed(await _read(response))
    except CloningError as error:
        return error
    return failure(answer) if isinstance(answer, wire.Failed) else no_answer()


async def _read(response: httpx.Response) -> bytes:
    """Raw bytes: nothing is decompressed, so that a few cannot become many."""
    whole = bytearray()
    async for piece in response.aiter_raw():
        whole += piece
        if len(whole) > MOST_REPLY_BYTES:
            raise no_answer()
    return bytes(whole)


async def _lines(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    kept, total, searched = bytearray(), 0, 0
    async for piece in response.aiter_raw():
        kept += piece
        total += len(piece)
        while (end := kept.find(b"\n", searched)) >= 0:
            line = bytes(kept[:end])
            del kept[: end + 1]
            searched = 0
            if line.strip():
                yield line
        searched = len(kept)
        if searched > MOST_LINE_BYTES or total > MOST_ANSWER_BYTES:
            raise CloningError("bad_answer", "The laptop sent far too much.")
    if kept.strip():
        yield bytes(kept)
