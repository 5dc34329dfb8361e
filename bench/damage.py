"""What happens to speech on its way: noise, clipping, telephones, rooms. Seeded, 16 kHz float32."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from babblefish.audio import resample, rms
from bench.sounds import no_speech
from bench.speakers import Recording

RATE = 16_000
_MURMURING = 6
"""people in the background"""


def noisy(
    speech: np.ndarray,
    kind: str,
    snr_db: float,
    others: Sequence[Recording],
    random: np.random.Generator,
) -> np.ndarray:
    """``speech`` with noise ``snr_db`` below its loud half, peaks at most 1."""
    noise = _noise(kind, len(speech), others, random)
    mixed = speech + noise * (active_level(speech) / rms(noise) * 10 ** (-snr_db / 20))
    return (mixed / max(1.0, float(np.abs(mixed).max()))).astype(np.float32)


def active_level(speech: np.ndarray) -> float:
    """RMS of the 20 ms frames that are not much fainter than the loudest."""
    frames = speech[: len(speech) // 320 * 320].reshape(-1, 320)
    power = np.mean(np.square(frames, dtype=np.float64), axis=1)
    return float(np.sqrt(power[power > 0.01 * np.percentile(power, 95)].mean()))


def _noise(
    kind: str, count: int, others: Sequence[Recording], random: np.random.Generator
) -> np.ndarray:
    if kind == "music":
        return np.resize(no_speech(6.0)["music"], count)
    if kind == "murmur":
        sound = np.zeros(count)
        for number in random.choice(len(others), min(_MURMURING, len(others)), replace=False):
            samples = others[number].samples
            sound += np.resize(np.roll(samples, random.integers(len(samples))), count) / rms(
                samples
            )
        return sound
    white = random.normal(size=count)
    if kind == "white":
        return white
    spectrum = np.fft.rfft(white)
    return np.fft.irfft(spectrum / np.sqrt(np.maximum(1, np.arange(len(spectrum)))), count)


def clipped(speech: np.ndarray, share: float) -> np.ndarray:
    """With the loudest ``share`` of what is not silence cut off, as by a 48 kHz microphone."""
    loud = resample(speech, RATE, 3 * RATE)
    levels = np.abs(loud)
    limit = float(np.quantile(levels[levels > 0.05 * levels.max()], 1 - share))
    return resample(np.clip(loud, -limit, limit) * np.float32(0.95 / limit), 3 * RATE, RATE)


def telephone(speech: np.ndarray) -> np.ndarray:
    """Through 8 kHz."""
    return resample(resample(speech, RATE, RATE // 2), RATE // 2, RATE)[: len(speech)]


def across_the_room(
    sound: np.ndarray, delay: float, random: np.random.Generator, t60: float = 0.4
) -> np.ndarray:
    """(n,) ``sound`` as it arrives ``delay`` seconds later, with as much echo as direct sound, from
    a device whose clock is 50 parts in a million off."""
    count = int(t60 * RATE)
    echo = random.normal(size=count) * np.exp(-6.9 * np.arange(count) / count)
    echo /= np.sqrt(np.square(echo).sum())
    echo[0] += 1.0
    size = 1 << (len(sound) + count).bit_length()
    wet = np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(echo, size), size)
    late = np.concatenate([np.zeros(int(delay * RATE)), wet])[: len(sound)]
    return np.interp(np.arange(len(sound)) * (1 + 50e-6), np.arange(len(sound)), late)
