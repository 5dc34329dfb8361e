"""Sound files as people send them, and as they should not."""

from __future__ import annotations

import io
import struct

import av
import numpy as np
import soundfile

from babblefish.audio import to_int16

RATE = 48_000


def tone(seconds: float, rate: int = RATE, hertz: float = 440.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype("f4")


def wav(samples: np.ndarray, rate: int = RATE, subtype: str = "PCM_16") -> bytes:
    """samples: (n,) or (n, channels)"""
    return _written(samples, rate, "WAV", subtype)


def flac(samples: np.ndarray, rate: int = RATE) -> bytes:
    return _written(samples, rate, "FLAC", "PCM_16")


def _written(samples: np.ndarray, rate: int, kind: str, subtype: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


def encoded(samples: np.ndarray, container: str, codec: str, rate: int = RATE) -> bytes:
    """By ffmpeg: ("webm", "libopus"), ("ogg", "libopus"), ("mp4", "aac"), ("mp3", "mp3") …"""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, layout="mono")
        for start in range(0, len(samples), 960):
            piece = to_int16(samples[start : start + 960])[None]
            frame = av.AudioFrame.from_ndarray(piece, format="s16", layout="mono")
            frame.sample_rate, frame.pts = rate, start
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


def long_silence(hours: float) -> bytes:
    """A FLAC file, small because nothing is in it."""
    file = io.BytesIO()
    block = np.zeros(8000 * 600, np.int16)
    with soundfile.SoundFile(file, "w", 8000, 1, format="FLAC", subtype="PCM_16") as writer:
        for _ in range(int(hours * 6)):
            writer.write(block)
    return file.getvalue()


def without_length(flac_file: bytes) -> bytes:
    """The same file, whose header does not say how long it is."""
    changed = bytearray(flac_file)
    packed = struct.unpack(">Q", changed[18:26])[0]
    changed[18:26] = struct.pack(">Q", packed & ~((1 << 36) - 1))
    return bytes(changed)


def voice(seconds: float, hertz: float = 200.0, rate: int = 16_000, seed: int = 1) -> np.ndarray:
    """Like speech for scripted stages and for the quality check: syllables, pauses, a wide
    spectrum whose loudest frequency is ``hertz``."""
    random = np.random.default_rng(seed)
    t = np.arange(int(seconds * rate)) / rate
    tones = range(1, int(min(7600, rate / 2) / hertz) + 1)
    sound = sum(
        np.sin(2 * np.pi * hertz * k * t + random.uniform(0, 2 * np.pi)) / k**1.3 for k in tones
    )
    sound = sound + random.standard_normal(len(t)) * 0.05
    loudness = random.uniform(0.15, 1.0, int(seconds * 1.9) + 2)[(t * 1.9).astype(int)]
    syllables = np.abs(np.sin(np.pi * 1.9 * t)) ** 2 * loudness**2
    talking = (t % 2.3) < 1.8
    room = 1e-4 * random.standard_normal(len(t))
    return (0.3 * sound * syllables * talking + room).astype(np.float32)
