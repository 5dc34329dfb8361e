"""Sound files, decoded in a process of its own: a file goes in, pieces of samples come out.

The process (``decoding.py``) is no further ahead than a pipe holds, and is ended with the block
that started it. Knows no requests and no limits but the length of a recording.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from babblefish.engine.stages import SPEECH_RATE
from babblefish.errors import AudioError

_PATIENCE_S = 60.0
"""for the next piece: a machine may be busy, a decoder is niced"""
_AHEAD_BYTES = 64 * 1024
"""one second of sound"""
_ROOT = Path(__file__).resolve().parents[2]
_ENVIRONMENT = {
    "PYTHONPATH": str(_ROOT), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1",
    "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8",
}  # fmt: skip


class Decoded:
    """One file, accepted and being decoded. Made by ``decoded``."""

    def __init__(self, pipe: asyncio.StreamReader, seconds: float | None, patience: float) -> None:
        self.seconds = seconds
        """how long it is, None where only decoding can tell"""
        self._pipe, self._patience = pipe, patience

    async def pieces(self) -> AsyncIterator[np.ndarray]:
        """(n,) float32 at SPEECH_RATE. Raises AudioError("truncated" | "bad_audio" |
        "empty_audio" | "too_long" | "rate" | "undecodable")."""
        while size := int.from_bytes(
            await _within(self._patience, self._pipe.readexactly(4)), "little"
        ):
            piece = await _within(self._patience, self._pipe.readexactly(size))
            yield np.frombuffer(piece, np.float32)
        _line(await _within(self._patience, self._pipe.readline()))


@asynccontextmanager
async def decoded(
    file: BinaryIO, most_seconds: float, patience: float = _PATIENCE_S
) -> AsyncIterator[Decoded]:
    """Decode ``file``, any usual format, from its beginning; it needs a descriptor.

    patience: seconds to wait for the next piece, before the decoder is given up.
    Raises AudioError("empty_audio" | "file_unreadable" | "no_audio" | "channels" | "rate" |
    "too_long" | "truncated" | "undecodable"): each says what is wrong.
    """
    file.seek(0)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "babblefish.ui.decoding", str(SPEECH_RATE), str(most_seconds),
        stdin=file, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        env=_ENVIRONMENT, cwd="/", limit=_AHEAD_BYTES,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        head = _line(await _within(patience, process.stdout.readline()))
        yield Decoded(process.stdout, head.get("seconds"), patience)
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.stdout.read()  # a process is not over before its pipe is read to the end
        await process.wait()


async def _within(seconds: float, reading: Any) -> bytes:
    try:
        async with asyncio.timeout(seconds):
            return await reading
    except (TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
        raise undecodable() from error


def _line(line: bytes) -> dict[str, Any]:
    if not line.endswith(b"\n"):  # it crashed, or was ended for taking too much
        raise undecodable()
    answer = json.loads(line)
    if "code" in answer:
        raise AudioError(answer["code"], answer["message"])
    return answer


def undecodable() -> AudioError:
    return AudioError(
        "undecodable", "This file cannot be decoded. Save it as WAV or FLAC, and try again."
    )
