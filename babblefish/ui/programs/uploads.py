"""Recordings that programs send: counted while they arrive, kept on disk without a name.

An upload is never in memory as a whole, has no name in the file system, so that nothing of it
outlives the request or the process, and leaves the disk the room that meetings need. Knows
requests, disks and the decoder; nothing of speech.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Self

from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect, Request

from babblefish.errors import TransportError
from babblefish.settings import Settings
from babblefish.ui.access import CutOff, TryLater
from babblefish.ui.decoder import Decoded, decoded
from babblefish.ui.programs.multipart import FormReader

log = logging.getLogger(__name__)

_BLOCK_BYTES = 1_000_000
"""written at once"""
_FORM_BYTES = 100_000
"""of a form besides its file"""
_KEPT_FREE_BYTES = 500_000_000
"""of the disk, for the transcripts and people of meetings"""
_SILENCE_S = 60.0
"""without a byte, after which nothing more is expected"""
_LEAST_PACE = 4_000
"""bytes a second on average, after the first minute; a voice in the smallest usual format"""
_LARGE_BYTES = 8_000_000
_SMALL_AT_ONCE = 4
_LARGE_AT_ONCE = 2
_MOST_WAITING = 24
_AGAIN_S = 60
_RAW = ("audio/", "video/", "application/octet-stream", "application/ogg")


class Lane:
    """How many recordings are worked on at once; the others wait in line."""

    def __init__(self, at_once: int) -> None:
        self._slots, self._waiting = asyncio.Semaphore(at_once), 0

    @property
    def free(self) -> bool:
        return not self._slots.locked()

    def check(self) -> None:
        """Raises TransportError("busy") where too many are waiting."""
        if self._slots.locked() and self._waiting >= _MOST_WAITING:
            raise TryLater(
                "busy", "Too many recordings are waiting. Try again in a few minutes.", _AGAIN_S
            )

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Raises TransportError("busy") as ``check`` does."""
        self.check()
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._slots.release()


class Upload:
    """One recording, and the fields that came with it. Close it, or use it as a block."""

    def __init__(self, most_seconds: float, lanes: tuple[Lane, Lane], folder: Path) -> None:
        self.fields: Mapping[str, list[str]] = {}
        self.size = 0
        """bytes"""
        self._most_seconds, self._lanes = most_seconds, lanes
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115

    @property
    def lane(self) -> Lane:
        """Of short recordings, or of long ones: neither waits for the other."""
        return self._lanes[self.size > _LARGE_BYTES]

    def decoded(self) -> AbstractAsyncContextManager[Decoded]:
        """The recording's sound; see ``decoder.decoded``."""
        return decoded(self._file, self._most_seconds)

    def write(self, data: bytes) -> None:
        """More of the file. Raises OSError."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]
        self.size += len(data)

    def close(self) -> None:
        """Give its room on the disk back."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Uploads:
    """Receives recordings; one for the whole server."""

    def __init__(
        self, folder: Path, most_bytes: int, most_seconds: float,
        silence: float = _SILENCE_S, clock: Callable[[], float] = time.monotonic,
        kept_free: int = _KEPT_FREE_BYTES,
    ) -> None:  # fmt: skip
        """folder: on the disk that they may fill. most_bytes: of one file; most_seconds: of its
        sound. silence: seconds without a byte, after which nothing more is expected.
        kept_free: bytes of the disk that are left alone."""
        self.most_bytes, self.most_seconds = most_bytes, most_seconds
        self._folder, self._silence, self._clock = folder, silence, clock
        self._kept_free = kept_free
        self._lanes = (Lane(_SMALL_AT_ONCE), Lane(_LARGE_AT_ONCE))
        self._disk = ThreadPoolExecutor(2, "uploads")

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(
            settings.data_dir / "uploads", settings.max_upload_mb * 10**6,
            settings.max_audio_hours * 3600,
        )  # fmt: skip

    def sweep(self) -> None:
        """Remove what an earlier run may have left, on file systems where files need a name."""
        try:
            for path in self._folder.iterdir() if self._folder.exists() else ():
                path.unlink()
        except OSError as error:
            log.warning("old uploads could not be removed: %s", type(error).__name__)

    async def receive(self, request: Request) -> Upload:
        """Take in the body: a form with the field ``file``, or the recording itself. Fields are
        those of the form and of the address. The caller closes the upload.

        Raises TransportError("content_type" | "bad_form" | "no_file" | "too_large" |
        "too_slow" | "broken_off" | "disk_full" | "disk").
        """
        kind, options = parse_options_header(request.headers.get("content-type"))
        boundary = options.get(b"boundary") if kind == b"multipart/form-data" else None
        if boundary is None and not kind.decode("latin-1").startswith(_RAW):
            raise TransportError(
                "content_type",
                "Send the recording as a form (multipart/form-data) with the field “file”, or as "
                "it is with a Content-Type such as audio/wav.",
            )
        announced = request.headers.get("content-length", "")
        self._check_size(int(announced) - _FORM_BYTES if announced.isdecimal() else 0)
        try:
            upload = await self._on_disk(self._opened)
        except OSError as error:
            raise _no_room(error) from error
        try:
            fields = await self._fill(upload, request, boundary)
            for name, value in request.query_params.multi_items():
                fields.setdefault(name, []).append(value)
            upload.fields = fields
        except BaseException:
            upload.close()
            raise
        return upload

    def _opened(self) -> Upload:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return Upload(self.most_seconds, self._lanes, self._folder)

    async def _fill(
        self, upload: Upload, request: Request, boundary: bytes | None
    ) -> dict[str, list[str]]:
        waiting = bytearray()
        form = FormReader(boundary, waiting.extend) if boundary is not None else None

        async def flush() -> None:
            self._check_size(upload.size + len(waiting))
            data = bytes(waiting)
            waiting.clear()
            try:
                await self._on_disk(self._write, upload, data)
            except OSError as error:
                raise _no_room(error) from error

        async for chunk in self._chunks(request):
            if form is None:
                waiting += chunk
            else:
                form.feed(chunk)
            if len(waiting) >= _BLOCK_BYTES:
                await flush()
        if form is not None:
            form.finish()
        await flush()
        if form is not None and not form.file_seen:
            raise TransportError("no_file", "Send the recording in the form's field “file”.")
        return form.fields if form is not None else {}

    def _write(self, upload: Upload, data: bytes) -> None:
        if shutil.disk_usage(self._folder).free < self._kept_free + len(data):
            raise OSError(errno.ENOSPC, "kept free")
        upload.write(data)

    async def _chunks(self, request: Request) -> AsyncIterator[bytes]:
        """The body as it comes, if it comes at all."""
        stream, begun, count = aiter(request.stream()), self._clock(), 0
        try:
            while True:
                async with asyncio.timeout(self._silence):
                    chunk = await anext(stream)
                yield chunk
                count += len(chunk)
                if count > self.most_bytes + _FORM_BYTES:
                    raise self._too_large()
                if count < _LEAST_PACE * (self._clock() - begun - self._silence):
                    raise TimeoutError
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise CutOff(
                "too_slow", "The recording took too long to arrive. Send it again."
            ) from error
        except ClientDisconnect as error:
            raise TransportError("broken_off", "The connection ended. Send it again.") from error

    def _check_size(self, size: int) -> None:
        if size > self.most_bytes:
            raise self._too_large()

    def _too_large(self) -> CutOff:
        most = f"{self.most_bytes / 10**6:g}"
        return CutOff(
            "too_large",
            f"The recording is too large: at most {most} MB. Send it compressed (Opus, MP3, "
            "FLAC) or in parts.",
        )

    async def _on_disk(self, work: Callable, *arguments: object):
        return await asyncio.get_running_loop().run_in_executor(self._disk, work, *arguments)

    def close(self) -> None:
        self._disk.shutdown(wait=False)


def _no_room(error: OSError) -> TransportError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return TransportError(
            "disk_full",
            "The server's disk is nearly full. Free some space there, or send a smaller file.",
        )
    log.warning("an upload could not be written: %s", os.strerror(error.errno or 0))
    return TryLater(
        "disk", "The server's disk does not take the file at the moment. Try again soon.", _AGAIN_S
    )
