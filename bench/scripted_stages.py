"""Stages without a model, for measurements of what lies around them: what is said is a number, told
by the pitch of a tone, and the neutral voice speaks in tones as ``marks`` has them.
"""

from __future__ import annotations

import time

import numpy as np

from babblefish.engine.profiles import Profile, StagePlan
from babblefish.engine.stages import (
    PLAYOUT_RATE,
    SPEECH_RATE,
    RecogniserCapabilities,
    Recognition,
    RecognitionRequest,
    SpeakerEncoderCapabilities,
    StageSpec,
    SynthesiserCapabilities,
    VadCapabilities,
)
from babblefish.errors import RecognitionError
from bench import marks

_LOWEST, _STEP = 300, 20
MOST = 250
"""numbers that can be said"""


def said(number: int, seconds: float, rate: int) -> np.ndarray:
    """int16 (n,): ``number``, as somebody says it who speaks French."""
    t = np.arange(int(seconds * rate)) / rate
    return (0.3 * 32767 * np.sin(2 * np.pi * (_LOWEST + _STEP * number) * t)).astype(np.int16)


class Activity:
    """Speech is what is louder than -40 dBFS."""

    capabilities = VadCapabilities(frame_samples=512, state_shape=(1,))

    def probabilities(self, frames, states):
        loud = np.sqrt(np.mean(np.square(frames), axis=1)) > 0.01
        return loud.astype(np.float32), states


class Recogniser:
    """Hears numbers, and knows what each means in English. Has no time for drafts."""

    capabilities = RecogniserCapabilities(
        languages=frozenset({"en", "fr"}), translates_into=frozenset({"en"}), max_seconds=30.0
    )

    def transcribe(self, audio: np.ndarray, request: RecognitionRequest) -> Recognition:
        if request.draft:
            raise RecognitionError("bad_audio", "No drafts here.")
        spectrum = np.abs(np.fft.rfft(audio, 4 * SPEECH_RATE))
        number = round((int(np.argmax(spectrum)) / 4 - _LOWEST) / _STEP)
        return Recognition(f"numéro {number}", "fr", 1.0, 1.0, 0.0, {"en": marks.sentence(number)})


class Voice:
    """Neutral; takes its time."""

    capabilities = SynthesiserCapabilities(voices={"en": ("en-0", "en-1")}, quality="good")

    def __init__(self, delay: float) -> None:
        self._delay = delay

    def synthesise(self, text, language, voice, speed):
        time.sleep(self._delay)
        return marks.spoken(text, PLAYOUT_RATE, "neutral")


class OneSpeaker:
    """There is but one."""

    capabilities = SpeakerEncoderCapabilities(
        name="one", dimension=2, min_seconds=0.3, same_speaker={1.0: 0.9, 3.0: 0.95}
    )

    def embed(self, audio):
        return np.array([1.0, 0.0], np.float32)


def profile(voice_delay: float, voices: int) -> Profile:
    """voices: processes that speak at the same time."""

    def plan(name: str, processes: int = 1, **options) -> StagePlan:
        spec = StageSpec(f"bench.scripted_stages:{name}", options)
        return StagePlan(spec, processes=processes, nice=0)

    return Profile(
        "scripted", plan("Activity"), plan("Recogniser"), None,
        (plan("Voice", voices, delay=voice_delay),), plan("OneSpeaker"),
    )  # fmt: skip
