"""What is speech in a clip: for voiceprints, which pauses and noise only blur.

Finds it with Silero's voice detection. Knows no voiceprints.
"""

from __future__ import annotations

import numpy as np

from babblefish.audio import check_speech, decibels
from babblefish.engine.stages import SPEECH_RATE
from babblefish.engine.vad import FRAME, SileroVad
from babblefish.errors import SpeakerError

MOST_SECONDS = 20.0
"""of speech that are looked at: more changes a voiceprint no further"""
_PEAK = 0.5
"""level at which speech is looked for, and returned"""
_SILENT_DB = -56.0
_PAUSE_FRAMES = 4
"""voice-detection frames on either side of voiced ones that are kept"""


def voiced(audio: np.ndarray, vad: SileroVad, min_seconds: float) -> np.ndarray:
    """(n,) floating point at SPEECH_RATE → (m,) float32: its speech, without longer pauses, at a
    fixed peak level; of more than MOST_SECONDS, the first ones.

    Raises SpeakerError("bad_audio") for silence and what is no sound, SpeakerError("too_short")
    where there is less speech than ``min_seconds``.
    """
    samples = check_speech(audio, SpeakerError)
    peak = float(np.abs(samples).max())
    if decibels(peak) < _SILENT_DB:
        raise SpeakerError("bad_audio", "The audio is silent.")
    speech, seconds = _without_pauses(samples * np.float32(_PEAK / peak), vad)
    if seconds < min_seconds:
        raise SpeakerError("too_short", "There is too little speech for a voiceprint.")
    return speech


def _without_pauses(samples: np.ndarray, vad: SileroVad) -> tuple[np.ndarray, float]:
    """Speech and what is right beside it, and how many seconds of that are speech."""
    voice = vad.whole(samples) > 0.5
    enough = np.cumsum(voice) >= MOST_SECONDS * SPEECH_RATE / FRAME
    voice[int(np.argmax(enough)) + 1 if enough.any() else len(voice) :] = False
    beside = np.ones(2 * _PAUSE_FRAMES + 1)
    keep = np.repeat(np.convolve(voice, beside)[_PAUSE_FRAMES:-_PAUSE_FRAMES] > 0, FRAME)
    padded = np.pad(samples, (0, len(keep) - len(samples)))
    return padded[keep], float(voice.sum()) * FRAME / SPEECH_RATE
