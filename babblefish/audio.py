"""Pure functions on sound: sample types, resampling, loudness, checks.

Arrays in, arrays out; no files, devices or models. Shapes are (n,) mono unless said otherwise.
"""

from __future__ import annotations

import io
import wave

import numpy as np
import soxr

from babblefish.errors import AudioError, BabbleFishError


def to_float32(samples: np.ndarray) -> np.ndarray:
    """Integer or float samples, (n,) or (channels, n) → mono float32 in [-1, 1]."""
    if samples.dtype.kind == "i":
        samples = samples * np.float32(0.5 ** (8 * samples.itemsize - 1))
    if samples.ndim == 2:
        samples = samples.mean(axis=0)
    return samples.astype(np.float32, copy=False)


def to_int16(samples: np.ndarray) -> np.ndarray:
    """float in [-1, 1] → int16, clipping what is louder."""
    return np.clip(np.rint(samples * 32767.0), -32768, 32767).astype(np.int16)


def resample(samples: np.ndarray, source: int, target: int) -> np.ndarray:
    """A whole clip from ``source`` to ``target`` Hertz, float32."""
    if source == target or len(samples) == 0:
        return samples.astype(np.float32, copy=False)
    return soxr.resample(samples.astype(np.float32, copy=False), source, target, quality="HQ")


class StreamResampler:
    """Resamples a stream chunk by chunk without seams."""

    def __init__(self, source: int, target: int) -> None:
        self._stream = soxr.ResampleStream(source, target, 1, dtype="float32", quality="MQ")

    def push(self, samples: np.ndarray, last: bool = False) -> np.ndarray:
        """float32 (n,) in, float32 (m,) out; m varies as the filter fills."""
        return self._stream.resample_chunk(samples, last=last)


class FrameResampler:
    """Resamples a stream up or down by a whole factor, each frame at once: as many samples come
    out as went in, times the ratio, where ``StreamResampler`` gives them in blocks of 60 ms."""

    _ZEROS = 12
    """crossings of the filter to each side: 60 dB down beyond a tenth above the band"""

    def __init__(self, source: int, target: int) -> None:
        """Raises ValueError unless one rate is a whole multiple of the other."""
        high, low = max(source, target), min(source, target)
        if high % low:
            raise ValueError(f"{source} and {target} Hz are no multiples")
        factor = high // low
        self._up, self._down = target // low, source // low
        half = self._ZEROS * factor
        band = 0.95 / factor
        lowpass = np.sinc(band * np.arange(-half, half + 1)) * np.kaiser(2 * half + 1, 6.0)
        lowpass = np.pad(lowpass * self._up / lowpass.sum(), (0, -len(lowpass) % self._up))
        # one column for each sample that comes out of one that goes in
        columns = lowpass.reshape(-1, self._up)[::-1]
        self._filter = np.ascontiguousarray(columns, np.float32)
        self._before = np.zeros(len(columns) - 1, np.float32)

    def push(self, samples: np.ndarray) -> np.ndarray:
        """float32 (n,), n a multiple of the factor where it goes down → float32 (n × ratio,)."""
        if len(samples) % self._down:
            raise ValueError("a frame is cut in the middle of a sample")
        whole = np.concatenate([self._before, samples.astype(np.float32, copy=False)])
        self._before = whole[len(whole) - len(self._before) :]
        if not len(samples):
            return samples
        around = np.lib.stride_tricks.sliding_window_view(whole, len(self._filter))
        return (around[:: self._down] @ self._filter).reshape(-1)

    def skip(self, samples: np.ndarray) -> None:
        """As ``push``, where nobody wants what would come out."""
        last = np.concatenate([self._before, samples[-len(self._before) :]])
        self._before = last[len(last) - len(self._before) :].astype(np.float32, copy=False)


def rms(samples: np.ndarray) -> float:
    """Root mean square, 0.0 for nothing."""
    if len(samples) == 0:
        return 0.0
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def decibels(level: float) -> float:
    """Linear level → dB relative to full scale, floored at -120."""
    return 20.0 * float(np.log10(max(level, 1e-6)))


def match_loudness(samples: np.ndarray, target_db: float = -20.0) -> np.ndarray:
    """Scale speech to an RMS of ``target_db`` dBFS over its voiced part, peaks kept below 0.97."""
    if len(samples) == 0:
        return samples
    frame = max(1, min(len(samples), 960))
    frames = samples[: len(samples) // frame * frame].reshape(-1, frame)
    levels = np.sqrt(np.mean(np.square(frames), axis=1))
    voiced = levels[levels > levels.max() * 0.1] if len(levels) else levels
    level = float(np.sqrt(np.mean(np.square(voiced)))) if len(voiced) else 0.0
    if level < 1e-4:
        return samples
    gain = 10 ** (target_db / 20.0) / level
    peak = float(np.abs(samples).max())
    return (samples * min(gain, 0.97 / peak)).astype(np.float32, copy=False)


def check_speech(samples: np.ndarray, error: type[BabbleFishError] = AudioError) -> np.ndarray:
    """``samples`` as contiguous float32 (n,), or ``error``("bad_audio") saying what is wrong."""
    samples = np.asarray(samples)
    if samples.ndim != 1:
        raise error("bad_audio", f"Audio must be mono, shape (n,), not {samples.shape}.")
    if len(samples) == 0:
        raise error("bad_audio", "The audio is empty.")
    if not np.issubdtype(samples.dtype, np.floating):
        raise error("bad_audio", f"Audio must be floating point, not {samples.dtype}.")
    if not np.isfinite(samples).all():
        raise error("bad_audio", "The audio holds NaN or infinite samples.")
    return np.ascontiguousarray(samples, dtype=np.float32)


def wav_file(samples: np.ndarray, rate: int) -> bytes:
    """float32 (n,) → a mono 16-bit WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(to_int16(samples).tobytes())
    return file.getvalue()
