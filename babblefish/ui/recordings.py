"""Recordings that phones and hosts send: read within limits, or refused in words.

A request's body comes in, samples go out; the decoding is done by a process of its own
(``decoder.py``), which is ended when it takes too long. Nothing is written to a disk.
"""

from __future__ import annotations

import asyncio
import os
import re
from typing import BinaryIO

import numpy as np
from starlette.requests import ClientDisconnect, Request

from babblefish.engine.stages import SPEECH_RATE
from babblefish.errors import AudioError, TransportError
from babblefish.ui.decoder import decoded, undecodable

MOST_BYTES = 12_000_000
"""two minutes of the largest that browsers record"""
PATHS = re.compile(
    r"/api/rooms/[^/]+/voice/enrolment/takes/[^/]+|/admin/people/enrolments/[^/]+/takes/[^/]+"
)
"""whose requests may be that long"""
_ARRIVE_SECONDS = 60.0
_DECODE_SECONDS = 20.0
_AT_ONCE = 2


class Recordings:
    """Decodes a few at a time; the others wait their turn."""

    def __init__(self, seconds: float = _DECODE_SECONDS) -> None:
        """seconds: after which a decoding is given up."""
        self._seconds = seconds
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def read(self, data: bytes, most_seconds: float) -> np.ndarray:
        """(n,) float32 at SPEECH_RATE of a file in any usual format.

        Raises AudioError("empty_audio" | "file_unreadable" | "no_audio" | "channels" | "rate" |
        "too_long" | "truncated" | "bad_audio" | "undecodable"): each says what is wrong.
        """
        if not data:
            raise AudioError("empty_audio", "Nothing arrived. Record it again.")
        async with self._slots:
            with os.fdopen(os.memfd_create("recording"), "w+b", buffering=0) as file:
                file.write(data)
                try:
                    async with asyncio.timeout(self._seconds):
                        return await _whole(file, most_seconds)
                except TimeoutError as error:
                    raise undecodable() from error


async def _whole(file: BinaryIO, most_seconds: float) -> np.ndarray:
    async with decoded(file, most_seconds) as sound:
        pieces = [piece async for piece in sound.pieces()]
    return np.concatenate(pieces)[: int(most_seconds * SPEECH_RATE)]


async def body_of(request: Request) -> bytes:
    """The whole body. Raises TransportError("too_large" | "too_slow" | "broken_off")."""
    received = bytearray()
    try:
        async with asyncio.timeout(_ARRIVE_SECONDS):
            async for chunk in request.stream():
                received += chunk
                if len(received) > MOST_BYTES:
                    raise TransportError(
                        "too_large", f"A recording has at most {MOST_BYTES // 10**6} MB."
                    )
    except TimeoutError as error:
        raise TransportError(
            "too_slow", "The recording took too long to arrive. Try again nearer to the Wi-Fi."
        ) from error
    except ClientDisconnect as error:
        raise TransportError("broken_off", "The connection ended. Send it again.") from error
    return bytes(received)
