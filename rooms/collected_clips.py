"""Clips of the storage as stretches of somebody's speech, and back.

Figures that reference material is chosen by travel in the clip's ``quality``. A voiceprint does
not: it is made of the sound again when it is needed.
"""

from __future__ import annotations

import io
import wave
from collections.abc import Iterable

import numpy as np

from babblefish.audio import resample, to_float32, wav_file
from babblefish.engine.reference_material import Limits, Progress, Stretch, is_sentence
from babblefish.engine.stages import SPEECH_RATE
from babblefish.storage.records import Clip, NewClip


def new_clip(samples: np.ndarray, stretch: Stretch) -> NewClip:
    """samples: (n,) float32 at SPEECH_RATE. The stretch's session is hexadecimal, as members' ids
    are."""
    quality = {
        "snr_db": stretch.snr_db, "speech_seconds": stretch.speech_seconds, "start": stretch.start,
        "whole": float(stretch.whole), "session": float(int(stretch.session, 16)),
    }  # fmt: skip
    return NewClip(
        wav_file(samples, SPEECH_RATE), stretch.seconds, stretch.text, stretch.language,
        "meeting", "cloning", quality,
    )  # fmt: skip


def as_stretch(clip: Clip, voiceprint: np.ndarray) -> Stretch:
    quality = clip.quality
    session = f"{int(quality.get('session', 0)):012x}" if clip.source == "meeting" else clip.source
    return Stretch(
        clip.id, session, quality.get("start", clip.made), clip.seconds, speech_seconds(clip),
        clip.text, clip.language, quality.get("snr_db", 0.0), voiceprint,
        bool(quality.get("whole", is_sentence(clip.text))),
    )  # fmt: skip


def progress(clips: Iterable[Clip]) -> Progress:
    """How much of what a voice of their own takes is among somebody's ``clips``."""
    seconds = sum(speech_seconds(clip) for clip in clips if clip.purpose == "cloning")
    return Progress(seconds, Limits().wanted_seconds)


def speech_seconds(clip: Clip) -> float:
    return clip.quality.get("speech_seconds", clip.seconds)


def read_samples(data: bytes) -> np.ndarray:
    """A WAV file of 16 bits → float32 (n,) at SPEECH_RATE, empty for any other file."""
    try:
        with wave.open(io.BytesIO(data)) as sound:
            rate, channels, width = sound.getframerate(), sound.getnchannels(), sound.getsampwidth()
            frames = sound.readframes(sound.getnframes())
    except (wave.Error, EOFError):
        return np.zeros(0, np.float32)
    if width != 2:
        return np.zeros(0, np.float32)
    whole = np.frombuffer(frames, "<i2").reshape(-1, channels).T
    return resample(to_float32(whole), rate, SPEECH_RATE)
