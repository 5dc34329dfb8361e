"""A process that decodes one recording that somebody sent: a file on stdin, samples on stdout.

Whatever a file does to ffmpeg's libraries happens here, with little memory, little time and no
files to write; what comes out, ``decoder.py`` reads. Knows no server.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import struct
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Any, BinaryIO

import av
import numpy as np
from av import logging
from av.error import FFmpegError

from babblefish.audio import to_float32
from babblefish.errors import AudioError
from babblefish.ui.media import frame_samples, resampled

_FORMATS = "wav,w64,flac,mp3,ogg,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,aac,aiff,caf"
"""demuxers of ffmpeg: none that opens other files or addresses"""
_EXACT = {"wav", "w64", "flac", "mov,mp4,m4a,3gp,3g2,mj2", "aiff", "caf"}
"""those whose header says how long the sound is, to the sample"""
_MOST_CHANNELS = 8
_RATES = range(4_000, 192_001)
_LOUDEST = 16.0
"""of floating point samples; 1.0 is as loud as it gets"""
_MISSING_S = 0.5
"""what may be missing at the end of a whole file"""
_MEMORY_BYTES = 1_500_000_000
_CPU_SECONDS = 20
_FASTER = 20
"""times real time: slower than this, nothing usual is decoded anywhere"""
_PIECE_S = 0.5


class Decoder:
    """The first sound track of a file, as mono float32 at ``rate`` Hertz, piece by piece."""

    def __init__(self, file: BinaryIO, rate: int, most_seconds: float) -> None:
        """Raises AudioError with a code that says what is wrong, before anything is decoded."""
        self._rate, self._most_seconds = rate, most_seconds
        self._container = _opened(file)
        try:
            stream = _sound_track(self._container)
            declared = _declared_seconds(self._container, stream)
            exact = declared is not None and self._container.format.name in _EXACT
            self._check(stream, declared)
            found = self._measured(stream)
        except BaseException:
            self._container.close()
            raise
        self._container.close()
        self._exact = declared if exact else None
        """how long it says that it is, where it knows"""
        self.seconds = declared if exact else found if found is not None else declared
        """how long it is, None where that cannot be known before it is decoded"""
        self._check_whole(found)
        if _lacks_bytes(file):
            raise _cut_off()
        file.seek(0)
        self._container = _opened(file)

    def pieces(self) -> Iterator[np.ndarray]:
        """(n,) float32. Raises AudioError("truncated" | "bad_audio" | "too_long" | …)."""
        stream = _sound_track(self._container)
        count = 0
        for piece in resampled(self._frames(stream), self._rate, _mono):
            count += len(piece)
            yield piece
        if not count:
            raise AudioError("empty_audio", "There is no sound in this file: it is 0 seconds long.")
        self._check_whole(count / self._rate)

    def _frames(self, stream: Any) -> Iterator[av.AudioFrame]:
        seconds = 0.0
        try:
            for frame in self._container.decode(stream):
                if frame.sample_rate not in _RATES:
                    raise _odd_rate(frame.sample_rate)
                seconds += frame.samples / frame.sample_rate
                if seconds > self._most_seconds + 1:
                    raise _too_long(self._most_seconds)
                yield frame
        except FFmpegError as error:
            raise AudioError(
                "truncated", "This file is damaged or was cut off. Send another one."
            ) from error

    def _check(self, stream: Any, declared: float | None) -> None:
        """Refuse by what the header says."""
        channels, rate = stream.codec_context.layout.nb_channels, stream.codec_context.sample_rate
        if channels > _MOST_CHANNELS:
            raise AudioError(
                "channels", f"This recording has {channels} channels. Use one with one or two."
            )
        if channels < 1 or rate not in _RATES:
            raise _odd_rate(rate)
        if declared is not None and declared > self._most_seconds + 1:
            raise _too_long(self._most_seconds)

    def _measured(self, stream: Any) -> float | None:
        """Seconds by the times of the packets, none of which is decoded: a header may lie or
        say nothing. None where they have no times."""
        if not stream.time_base:
            return None
        start, end, most = None, 0, (self._most_seconds + 1) / stream.time_base
        with contextlib.suppress(FFmpegError):  # what is damaged is found while decoding
            for packet in self._container.demux(stream):
                if (at := packet.pts) is None:
                    continue
                start = at if start is None or at < start else start
                end = max(end, at + (packet.duration or 0))
                if end - start > most:
                    raise _too_long(self._most_seconds)
        return None if start is None else float((end - start) * stream.time_base)

    def _check_whole(self, seconds: float | None) -> None:
        if self._exact is None or seconds is None:
            return
        if self._exact - seconds > _MISSING_S:
            raise _cut_off()

    def __enter__(self) -> Decoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        self._container.close()


def decode(data: bytes, rate: int, most_seconds: float) -> np.ndarray:
    """(n,) float32 at ``rate``. Raises AudioError with a code that says what is wrong."""
    with Decoder(io.BytesIO(data), rate, most_seconds) as decoder:
        return np.concatenate(list(decoder.pieces()))[: int(most_seconds * rate)]


def _opened(file: BinaryIO) -> Any:
    if not file.read(1):
        raise AudioError("empty_audio", "Nothing arrived. Record it again.")
    file.seek(0)
    try:
        return av.open(file, options={"format_whitelist": _FORMATS})
    except (FFmpegError, ValueError, OSError) as error:
        raise AudioError(
            "file_unreadable",
            "This is no sound file. Use WAV, FLAC, MP3, OGG, WebM or M4A.",
        ) from error


def _sound_track(container: Any) -> Any:
    if not container.streams.audio:
        raise AudioError("no_audio", "There is no sound in this file. Choose another.")
    return container.streams.audio[0]


def _lacks_bytes(file: BinaryIO) -> bool:
    """Whether a WAV file ends before it says it does; ffmpeg takes what is there."""
    whole = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return False
    at = 12
    while at + 8 <= whole:
        file.seek(at)
        name, size = struct.unpack("<4sI", file.read(8))
        if name == b"data":
            streamed = size in (0, 0x7FFFFFFF, 0xFFFFFFFF)
            return not streamed and at + 8 + size > whole
        at += 8 + size + size % 2
    return True


def _declared_seconds(container: Any, stream: Any) -> float | None:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return None if container.duration is None else container.duration / av.time_base


def _too_long(most_seconds: float) -> AudioError:
    most = (
        f"{most_seconds:.0f} seconds" if most_seconds < 300
        else f"{most_seconds / 60:.0f} minutes" if most_seconds < 7200
        else f"{most_seconds / 3600:g} hours"
    )  # fmt: skip
    return AudioError("too_long", f"Too long: at most {most}. Send a shorter recording.")


def _odd_rate(rate: int) -> AudioError:
    return AudioError("rate", f"A sampling rate of {rate} Hz does not work. Use 16000 to 48000 Hz.")


def _cut_off() -> AudioError:
    return AudioError("truncated", "This file was cut off. Send the whole one.")


def _mono(frame: av.AudioFrame) -> np.ndarray:
    samples = frame_samples(frame)
    if np.issubdtype(samples.dtype, np.floating) and not (
        np.isfinite(samples).all() and np.abs(samples).max(initial=0) <= _LOUDEST
    ):
        raise AudioError(
            "bad_audio", "There are values in this recording that are no sound (NaN or Inf)."
        )
    return to_float32(samples).clip(-1.0, 1.0)


def _in_pieces(decoder: Decoder, rate: int) -> Iterator[bytes]:
    """What is decoded, float32, in pieces of about ``_PIECE_S``."""
    waiting, count = [], 0
    for piece in decoder.pieces():
        waiting.append(piece)
        count += len(piece)
        if count >= _PIECE_S * rate:
            yield np.concatenate(waiting).tobytes()
            waiting, count = [], 0
    if count:
        yield np.concatenate(waiting).tobytes()


def main() -> None:
    """``python -m babblefish.ui.decoding RATE MOST_SECONDS``

    Writes a line of JSON, ``{"seconds"}``, as soon as it is known that the file may be decoded;
    then each piece of samples, its length in bytes before it (4 bytes, little endian); then the
    length 0 and ``{}``. A line ``{"code", "message"}`` takes the place of either line of JSON.
    """
    rate, most_seconds = int(sys.argv[1]), float(sys.argv[2])
    cpu_seconds = _CPU_SECONDS + int(most_seconds / _FASTER)
    os.nice(10)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    logging.set_level(None)
    out, end = sys.stdout.buffer, b""

    def tell(**line: Any) -> None:
        out.write(end + json.dumps(line).encode() + b"\n")
        out.flush()

    try:
        with Decoder(sys.stdin.buffer, rate, most_seconds) as decoder:
            tell(seconds=decoder.seconds)
            end = bytes(4)
            for piece in _in_pieces(decoder, rate):
                out.write(struct.pack("<I", len(piece)) + piece)
                out.flush()
            tell()
    except AudioError as error:
        tell(code=error.code, message=error.message)


if __name__ == "__main__":
    main()
