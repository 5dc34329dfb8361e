"""Speech as files and streams: sound goes in piece by piece, bytes come out as soon as they can.

Every format that can carry a remark says that the speech is synthetic. Knows no texts, voices or
HTTP. All of it is computing: not for the event loop.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import av
import numpy as np

from babblefish.audio import StreamResampler, to_int16
from babblefish.engine.stages import PLAYOUT_RATE

Format = Literal["wav", "mp3", "opus", "aac", "flac", "pcm"]
RATE = 24_000
"""Hertz of all formats but Opus, which has 48 kHz: what the voices themselves have, and what
programs written for OpenAI's interface take ``pcm`` to be"""
MEDIA_TYPES: dict[Format, str] = {
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "pcm": "audio/pcm",
}
REMARK = "Synthetic speech, made by BabbleFish"


class Encoder(Protocol):
    """Of one stream. ``push`` any number of times, then ``end`` once."""

    def push(self, samples: np.ndarray) -> bytes:
        """samples: float32 (n,) at PLAYOUT_RATE, n ≥ 1. What is ready of the stream, perhaps
        nothing."""
        ...

    def end(self) -> bytes:
        """The rest of the stream."""
        ...


def encoder(name: Format) -> Encoder:
    if name in ("wav", "pcm"):
        return _Plain(_wav_header() if name == "wav" else b"")
    return _Compressed(_CODECS[name])


class _Plain:
    """16 bit, mono, at RATE, little endian."""

    def __init__(self, header: bytes) -> None:
        self._ready = header
        self._resampler = StreamResampler(PLAYOUT_RATE, RATE)

    def push(self, samples: np.ndarray) -> bytes:
        return self._taken(self._resampler.push(samples))

    def end(self) -> bytes:
        return self._taken(self._resampler.push(np.zeros(0, np.float32), last=True))

    def _taken(self, samples: np.ndarray) -> bytes:
        before, self._ready = self._ready, b""
        return before + to_int16(samples).astype("<i2").tobytes()


def _wav_header() -> bytes:
    """Of a file whose length nobody knows yet: as everywhere, the largest number stands for it."""
    remark = REMARK.encode() + b"\0"
    remark += b"\0" * (len(remark) % 2)
    comment = b"ICMT" + struct.pack("<I", len(remark)) + remark
    return b"".join((
        b"RIFF", struct.pack("<I", _UNKNOWN), b"WAVE",
        b"fmt ", struct.pack("<IHHIIHH", 16, 1, 1, RATE, RATE * 2, 2, 16),
        b"LIST", struct.pack("<I", 4 + len(comment)), b"INFO", comment,
        b"data", struct.pack("<I", _UNKNOWN),
    ))  # fmt: skip


_UNKNOWN = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class _Codec:
    container: str
    name: str
    rate: int
    samples: str
    """type of what it takes, as ffmpeg calls it"""
    bits: int | None
    """a second"""
    options: dict[str, str]
    """of the container"""


_CODECS: dict[str, _Codec] = {
    "mp3": _Codec("mp3", "libmp3lame", RATE, "fltp", 64_000, {"write_xing": "0"}),
    "opus": _Codec(
        "ogg", "libopus", PLAYOUT_RATE, "flt", 32_000, {"page_duration": "100000"}
    ),
    "aac": _Codec("adts", "aac", RATE, "fltp", 64_000, {"write_id3v2": "1"}),
    "flac": _Codec("flac", "flac", RATE, "s16", None, {}),
}  # fmt: skip


class _Written:
    """What ffmpeg writes; it cannot go back in it."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def write(self, data: bytes) -> int:
        self._bytes += data
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self._bytes)
        self._bytes.clear()
        return taken


class _Compressed:
    def __init__(self, codec: _Codec) -> None:
        self._written = _Written()
        self._container: Any = av.open(
            self._written, "w", format=codec.container,
            container_options={**codec.options, "flush_packets": "1"},
        )  # fmt: skip
        self._container.metadata["comment"] = REMARK
        self._stream = self._container.add_stream(codec.name, rate=codec.rate, layout="mono")
        self._stream.codec_context.format = codec.samples
        if codec.bits:
            self._stream.bit_rate = codec.bits
        self._container.start_encoding()
        self._resampler = av.AudioResampler(
            format=codec.samples, layout="mono", rate=codec.rate,
            frame_size=self._stream.codec_context.frame_size or None,
        )  # fmt: skip
        self._pushed = 0

    def push(self, samples: np.ndarray) -> bytes:
        piece = np.ascontiguousarray(np.clip(samples, -1.0, 1.0), np.float32)
        frame = av.AudioFrame.from_ndarray(piece[None], format="flt", layout="mono")
        frame.sample_rate, frame.pts = PLAYOUT_RATE, self._pushed
        self._pushed += len(samples)
        self._encode(frame)
        return self._written.take()

    def end(self) -> bytes:
        if self._pushed:
            self._encode(None)
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._written.take()

    def _encode(self, frame: av.AudioFrame | None) -> None:
        for part in self._resampler.resample(frame):
            self._container.mux(self._stream.encode(part))
