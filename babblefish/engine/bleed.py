"""Did a microphone hear what a loudspeaker played, or what somebody else said into their own?

The server has both sounds, so it need not guess: it looks for one in the other. Both are whitened
in time and frequency first, which makes a bleed count most where the speaker pauses, and lets
echoes, codecs and loudness matter little; then they are correlated at every delay. Pure signal
processing; knows no rooms and no voices. ``bench/reference_material.py`` shows what it finds.
"""

from __future__ import annotations

import numpy as np

from babblefish.audio import check_speech
from babblefish.engine.stages import SPEECH_RATE
from babblefish.errors import AudioError

EARLY_SECONDS = 0.3
"""how much sooner than the server has it a sound may reach a microphone: another phone's
microphone may send later than this one"""
LATE_SECONDS = 1.2
"""how much later: network, jitter buffer and loudspeaker, then microphone and network again"""

_FRAME, _HOP = 512, 128
_FLOOR = 0.05
"""of a bin's mean level: what is fainter is not blown up to the rest's loudness"""
_LOW_HZ, _HIGH_HZ = 200, 6000
"""where loudspeakers of phones play and codecs keep the phase"""
_BLOCK = 2 * SPEECH_RATE
"""samples within which the clocks of two devices drift too little to matter"""
_LEAST_MET = 0.1
"""part of what meets at the best delay, below which a delay is not looked at"""
_FEWEST_DELAYS = SPEECH_RATE // 10
"""that it takes to tell one of them from the others"""
_SMEAR = 16
"""samples, 1 ms: over which the arrivals of one sound are added up"""


AUDIBLE = 12.0
"""``likeness`` from which a microphone heard what was played"""
_CHECKABLE_SECONDS = 0.5
"""of sound that is not silent: less cannot be looked for dependably"""


def may_be_heard(microphone: np.ndarray, sound: np.ndarray, begins: float) -> bool:
    """Whether the microphone heard ``sound``, or may have for all that can be told.

    Both float32 at SPEECH_RATE; begins: of the sound, in seconds after the microphone's first
    sample, may be negative.
    """
    played = _around(microphone, sound, begins)
    loud = np.abs(played) > 0.01 * float(np.abs(sound).max(initial=0.0))
    if not loud.any():
        return False
    if loud.sum() < _CHECKABLE_SECONDS * SPEECH_RATE:
        return True
    return likeness(microphone, played) >= AUDIBLE


def delay(microphone: np.ndarray, sound: np.ndarray, begins: float) -> float | None:
    """How many seconds later the microphone heard ``sound``; None where it did not, for all that
    can be told. Everything else as in ``may_be_heard``."""
    played = _around(microphone, sound, begins)
    if np.count_nonzero(played) < _CHECKABLE_SECONDS * SPEECH_RATE:
        return None
    found, best = _look(microphone, played)
    return LATE_SECONDS - best / SPEECH_RATE if AUDIBLE <= found < np.inf else None


def _around(microphone: np.ndarray, sound: np.ndarray, begins: float) -> np.ndarray:
    """What was played, as ``likeness`` wants it."""
    late, early = (round(seconds * SPEECH_RATE) for seconds in (LATE_SECONDS, EARLY_SECONDS))
    played = np.zeros(late + len(microphone) + early, np.float32)
    offset = round(begins * SPEECH_RATE) + late
    first, last = max(0, offset), min(len(played), offset + len(sound))
    if first < last:
        played[first:last] = sound[first - offset : last - offset]
    return played


def likeness(microphone: np.ndarray, played: np.ndarray) -> float:
    """How much the best delay stands out among all: about 5 to 8 where the microphone heard
    nothing of it, more with every decibel that it heard.

    microphone: (n,) float32 at SPEECH_RATE. played: by the same clock, from LATE_SECONDS before
    the microphone's first sample to EARLY_SECONDS after its last. 0.0 where one of the two is
    silent, or where they meet at no delay; infinite where they meet at too few to tell.
    Raises AudioError("bad_audio").
    """
    return _look(microphone, played)[0]


def _look(microphone: np.ndarray, played: np.ndarray) -> tuple[float, int]:
    """``likeness``, and at how many samples into ``played`` the microphone's sound begins."""
    heard, source = check_speech(microphone, AudioError), check_speech(played, AudioError)
    late, early = int(LATE_SECONDS * SPEECH_RATE), int(EARLY_SECONDS * SPEECH_RATE)
    if len(source) != len(heard) + late + early:
        raise AudioError("bad_audio", "What was played must cover the delays before and after.")
    if not heard.any() or not source.any():
        return 0.0, 0
    heard, source = _whitened(heard), _whitened(source)
    total, expected = np.zeros(late + early + 1), np.zeros(late + early + 1)
    for start in range(0, len(heard), _BLOCK):
        block = heard[start : start + _BLOCK]
        around = source[start : start + len(block) + late + early]
        total += np.square(_correlation(block, around))
        expected += _met(block, around)
    # where one of the sounds is short, they meet at some delays only, and more of them at some
    most = float(expected.max())
    if most <= 0.0:
        return 0.0, 0
    met = expected > _LEAST_MET * most
    total = np.where(met, total / np.maximum(expected, _LEAST_MET * most), 0.0)
    smooth = np.convolve(total, np.ones(_SMEAR) / _SMEAR, "valid")
    comparable = np.flatnonzero(np.convolve(met, np.ones(_SMEAR), "valid") > _SMEAR - 0.5)
    smooth = smooth[comparable]
    if len(smooth) < _FEWEST_DELAYS:
        return np.inf, 0
    middle = float(np.median(smooth))
    spread = float(np.median(np.abs(smooth - middle))) * 1.4826
    best = int(comparable[np.argmax(smooth)])
    return float(smooth.max() - middle) / max(spread, 1e-12), best


def _correlation(block: np.ndarray, around: np.ndarray) -> np.ndarray:
    """Sum of products at every delay of ``block`` within ``around``."""
    size = 1 << (len(around) + len(block)).bit_length()
    spectrum = np.fft.rfft(around, size) * np.conj(np.fft.rfft(block, size))
    return np.fft.irfft(spectrum, size)[: len(around) - len(block) + 1]


def _met(block: np.ndarray, around: np.ndarray) -> np.ndarray:
    """How much sound meets sound at every delay of ``block`` within ``around``: what to expect of
    the squared ``_correlation`` of two sounds that have nothing to do with each other."""
    heard, source = (
        np.add.reduceat(np.square(sound, dtype=np.float64), np.arange(0, len(sound), _HOP))
        for sound in (block, around)
    )
    coarse = np.correlate(source, heard, "valid") / _HOP
    delays = np.arange(len(around) - len(block) + 1)
    return np.interp(delays, np.arange(len(coarse)) * _HOP, coarse)


def _whitened(samples: np.ndarray) -> np.ndarray:
    """(n,) with the same loudness everywhere in time and frequency, as far as there is sound."""
    count = len(samples)
    padded = np.pad(samples, (_FRAME, _FRAME + -count % _HOP))
    window = np.sqrt(np.hanning(_FRAME + 1)[:-1]).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[::_HOP] * window
    spectra = np.fft.rfft(frames, axis=1)
    level = np.abs(spectra)
    spectra /= level + _FLOOR * level.mean(axis=0) + 1e-9
    bins = np.fft.rfftfreq(_FRAME, 1 / SPEECH_RATE)
    spectra[:, (bins < _LOW_HZ) | (bins > _HIGH_HZ)] = 0
    parts = (np.fft.irfft(spectra, _FRAME, axis=1) * window).reshape(len(spectra), -1, _HOP)
    out = np.zeros((len(spectra) + parts.shape[1] - 1, _HOP), np.float32)
    for shift in range(parts.shape[1]):
        out[shift : shift + len(spectra)] += parts[:, shift]
    return out.reshape(-1)[_FRAME : _FRAME + count]
