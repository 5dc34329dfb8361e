"""How high a person speaks: the median fundamental frequency of their voiced speech.

Pure arithmetic, no model: autocorrelation (de Cheveigné and Kawahara's YIN in its normalised form)
of short frames, candidates per frame, and one choice for the whole utterance that leaves octave
errors out. A pitch is an average that millions of people share, so it is no voiceprint: it
recognises nobody. Knows neither people nor voices.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

LOWEST, HIGHEST = 60.0, 450.0
"""Hertz; speech outside is a growl or a shout"""
_FRAME_SECONDS, _HOP_SECONDS = 0.040, 0.010
_AUDIBLE = 0.05
"""part of the mean power of the louder frames below which a frame is a pause"""
_PERIODIC = 0.6
"""likeness of a frame to itself a period later from which it is voiced"""
_NEARLY = 0.85
"""part of the best likeness that an earlier peak needs to be taken: later ones are multiples"""
_REACH = 2**0.6
"""how far from an utterance's median its frames may be; an octave is 2"""
_ENOUGH_SECONDS = 0.3
_MEMORY_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Pitch:
    hertz: float
    """median fundamental frequency"""
    seconds: float
    """voiced speech that it was measured on"""


def measure(samples: np.ndarray, rate: int) -> Pitch | None:
    """The pitch of (n,) float speech at ``rate`` Hertz; None where less than 0.3 s of it is voiced
    (silence, noise, whispering).

    Takes about 5 ms for each second of speech.
    """
    likeness = _likeness(np.asarray(samples, np.float32), rate)
    if likeness is None:
        return None
    lags, peaks = _peaks(likeness, rate)
    best = peaks.max(axis=1, initial=0.0)
    voiced = best >= _PERIODIC
    if not voiced.any():
        return None
    lags, peaks, best = lags[voiced], peaks[voiced], best[voiced]
    first = np.argmax(peaks >= _NEARLY * best[:, None], axis=1)
    octaves = np.log2(rate / lags)
    median = float(np.median(octaves[np.arange(len(octaves)), first]))
    # An error of an octave is rare and goes either way: what is near the median is looked for.
    near = (np.abs(octaves - median) <= math.log2(_REACH)) & (peaks >= _PERIODIC)
    kept = np.where(near, peaks, 0.0)
    rows = kept.max(axis=1) > 0
    seconds = int(rows.sum()) * _HOP_SECONDS
    if seconds < _ENOUGH_SECONDS:
        return None
    chosen = octaves[rows, kept[rows].argmax(axis=1)]
    return Pitch(2.0 ** float(np.median(chosen)), seconds)


class PitchMemory:
    """The pitch of one person over all that they said; follows them slowly once it is sure."""

    def __init__(self) -> None:
        self._octaves, self._seconds = 0.0, 0.0

    @property
    def pitch(self) -> Pitch | None:
        """None before anything voiced was heard."""
        return Pitch(2.0**self._octaves, self._seconds) if self._seconds else None

    def add(self, pitch: Pitch) -> None:
        share = pitch.seconds / (self._seconds + pitch.seconds)
        self._octaves += share * (math.log2(pitch.hertz) - self._octaves)
        self._seconds = min(self._seconds + pitch.seconds, _MEMORY_SECONDS)


def semitones(one: float, other: float) -> float:
    """How far apart two frequencies are, ≥ 0; 12 is an octave."""
    return abs(12 * math.log2(one / other))


def _likeness(samples: np.ndarray, rate: int) -> np.ndarray | None:
    """Normalised autocorrelation, (frames, lags) with lags from 0 on, of the frames that can be
    heard; None where there are none."""
    length, hop = round(rate * _FRAME_SECONDS), round(rate * _HOP_SECONDS)
    longest = math.ceil(rate / LOWEST) + 2
    if len(samples) < length + longest or not np.isfinite(samples).all():
        return None
    samples = samples - samples.mean()  # a constant would be like itself at any lag
    frames = np.lib.stride_tricks.sliding_window_view(samples, length + longest)[::hop]
    power = np.square(frames).mean(axis=1)
    loud = power >= np.quantile(power, 0.5)
    frames = frames[power > max(_AUDIBLE * float(power[loud].mean()), 1e-9)]
    if not len(frames):
        return None
    size = 1 << (2 * length + longest - 1).bit_length()
    spectra = np.conj(np.fft.rfft(frames[:, :length], size)) * np.fft.rfft(frames, size)
    products = np.fft.irfft(spectra, size)[:, :longest]
    sums = np.cumsum(np.pad(np.square(frames, dtype=np.float64), ((0, 0), (1, 0))), axis=1)
    energies = sums[:, length : length + longest] - sums[:, :longest]
    # 2ab / (a² + b²): 1 for a perfect repetition, and less where one of both is louder.
    return 2 * products / (energies[:, :1] + energies + 1e-12)


def _peaks(likeness: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Periods that frames may have: lags with fractions, and likeness there, both (frames, n); 0
    where a frame has fewer."""
    low, high = int(rate / HIGHEST), likeness.shape[1] - 1
    before, here, after = (likeness[:, low + offset : high + offset] for offset in (-1, 0, 1))
    is_peak = (here > before) & (here >= after) & (here > 0.3)
    curve = before - 2 * here + after
    shift = np.where(is_peak, 0.5 * (before - after) / np.where(curve < 0, curve, -1.0), 0.0)
    height = np.where(is_peak, here - 0.25 * (before - after) * shift, 0.0)
    return low + np.arange(high - low) + shift, height
