"""A process that decodes one recording that somebody sent: a file on stdin, samples on stdout.

Whatever a file does to ffmpeg's libraries happens here, with little memory, little time and no
files to write. The first line of the output is JSON, ``{}`` or ``{"code", "message"}``; float32
samples follow. Knows no server; started by ``recordings.py``.
"""

from __future__ import annotations

import io
import json
import os
import resource
import sys
from typing import Any

import av
import numpy as np
from av import logging
from av.error import FFmpegError

from babblefish.audio import StreamResampler, to_float32
from babblefish.errors import AudioError
from babblefish.ui.media import frame_samples

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


def decode(data: bytes, rate: int, most_seconds: float) -> np.ndarray:
    """(n,) float32 at ``rate``. Raises AudioError with a code that says what is wrong."""
    if not data:
        raise AudioError("empty_audio", "Nothing arrived. Record it again.")
    try:
        container = av.open(io.BytesIO(data), options={"format_whitelist": _FORMATS})
    except (FFmpegError, ValueError, OSError) as error:
        raise AudioError(
            "file_unreadable",
            "This is no sound file. Use WAV, FLAC, MP3, OGG, WebM or M4A.",
        ) from error
    with container:
        if not container.streams.audio:
            raise AudioError("no_audio", "There is no sound in this file. Choose another.")
        stream = container.streams.audio[0]
        declared = _declared_seconds(container, stream)
        _check(stream, declared, most_seconds)
        samples = _samples(container, stream, rate, most_seconds)
        exact = declared is not None and container.format.name in _EXACT
    missing = declared - len(samples) / rate if exact and declared is not None else 0.0
    if missing > _MISSING_S or _lacks_bytes(data):
        raise AudioError("truncated", "This file was cut off. Send the whole one.")
    return samples


def _lacks_bytes(data: bytes) -> bool:
    """Whether a WAV file ends before it says it does; ffmpeg takes what is there."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return False
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"data":
            streamed = size in (0, 0x7FFFFFFF, 0xFFFFFFFF)
            return not streamed and at + 8 + size > len(data)
        at += 8 + size + size % 2
    return True


def _declared_seconds(container: Any, stream: Any) -> float | None:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return None if container.duration is None else container.duration / av.time_base


def _check(stream: Any, declared: float | None, most_seconds: float) -> None:
    """Refuse by what the header says, before anything is decoded."""
    channels, rate = stream.codec_context.layout.nb_channels, stream.codec_context.sample_rate
    if channels > _MOST_CHANNELS:
        raise AudioError(
            "channels", f"This recording has {channels} channels. Use one with one or two."
        )
    if channels < 1 or rate not in _RATES:
        raise AudioError(
            "rate", f"A sampling rate of {rate} Hz does not work. Use 16000 to 48000 Hz."
        )
    if declared is not None and declared > most_seconds + 1:
        raise _too_long(most_seconds)


def _too_long(most_seconds: float) -> AudioError:
    return AudioError(
        "too_long", f"Too long: at most {most_seconds:.0f} seconds. Send a shorter recording."
    )


def _samples(container: Any, stream: Any, rate: int, most_seconds: float) -> np.ndarray:
    resampler: StreamResampler | None = None
    pieces, count = [], 0
    try:
        for frame in container.decode(stream):
            if resampler is None:
                source = frame.sample_rate
                resampler = StreamResampler(source, rate)
            elif frame.sample_rate != source:
                raise AudioError("rate", "The sampling rate changes within this recording.")
            count += frame.samples
            if count > (most_seconds + 1) * source:
                raise _too_long(most_seconds)
            pieces.append(resampler.push(_mono(frame)))
    except FFmpegError as error:
        raise AudioError(
            "truncated", "This file is damaged or was cut off. Send another one."
        ) from error
    if resampler is None or not count:
        raise AudioError("empty_audio", "There is no sound in this file: it is 0 seconds long.")
    pieces.append(resampler.push(np.zeros(0, np.float32), last=True))
    return np.concatenate(pieces)[: int(most_seconds * rate)]


def _mono(frame: av.AudioFrame) -> np.ndarray:
    samples = frame_samples(frame)
    if np.issubdtype(samples.dtype, np.floating) and not (
        np.isfinite(samples).all() and np.abs(samples).max(initial=0) <= _LOUDEST
    ):
        raise AudioError(
            "bad_audio", "There are values in this recording that are no sound (NaN or Inf)."
        )
    return to_float32(samples).clip(-1.0, 1.0)


def main() -> None:
    """``python -m babblefish.ui.decoding RATE MOST_SECONDS``"""
    rate, most_seconds = int(sys.argv[1]), float(sys.argv[2])
    os.nice(10)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    logging.set_level(None)
    answer, samples = {}, np.zeros(0, np.float32)
    try:
        samples = decode(sys.stdin.buffer.read(), rate, most_seconds)
    except AudioError as error:
        answer = {"code": error.code, "message": error.message}
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n" + samples.tobytes())


if __name__ == "__main__":
    main()
