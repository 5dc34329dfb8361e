"""The plain pipeline to compare with, on the same clips, machine and weights.

Wait for 1.5 s of silence, recognise with faster-whisper as it comes, translate by the product's
own route, synthesise the whole text with kokoro-onnx, then play. It has the machine to itself and
pays for no network, which is in its favour. Only the translation is the product's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from faster_whisper import WhisperModel
from kokoro_onnx import Kokoro

from babblefish.engine import routes
from babblefish.engine.apertium import ApertiumTranslator
from babblefish.engine.stages import RecogniserCapabilities
from bench.clips import RATE, Clip, Detector, speech_range
from bench.measures import summary

SILENCE_S = 1.5
_ESPEAK_NAMES = {"en": "en-us", "fr": "fr-fr"}
_VOICES = {"en": "af_heart", "es": "ef_dora", "fr": "ff_siwis"}
_SECOND_PASS_S = 30.0


@dataclass(frozen=True, slots=True)
class Stages:
    """Seconds after the last voiced sample of one clip."""

    wait: float
    recognise: float
    translate: float
    synthesise: float

    @property
    def total(self) -> float:
        return self.wait + self.recognise + self.translate + self.synthesise


class Whisper:
    """faster-whisper with its defaults and the product's weights."""

    def __init__(self, weights_dir: Path) -> None:
        self._model = WhisperModel(
            str(weights_dir / "whisper-base"), device="cpu", compute_type="int8",
            cpu_threads=os.cpu_count() or 4,
        )  # fmt: skip

    def text(self, samples: np.ndarray, language: str, task: str = "transcribe") -> str:
        """16 kHz float32 → what was said, or its English translation."""
        segments, _ = self._model.transcribe(samples, language=language, task=task)
        return " ".join(segment.text.strip() for segment in segments)


class Baseline:
    def __init__(self, weights_dir: Path, whisper: Whisper) -> None:
        self._detector, self._whisper = Detector(weights_dir), whisper
        self._apertium = ApertiumTranslator()
        session = onnxruntime.InferenceSession(
            str(weights_dir / "kokoro" / "model.onnx"), providers=["CPUExecutionProvider"]
        )
        self._kokoro = Kokoro.from_session(session, str(weights_dir / "kokoro" / "voices.npz"))
        for language in _VOICES:
            self._speak("A.", language)

    def close(self) -> None:
        self._apertium.close()

    def run(self, clip: Clip, target: str) -> Stages:
        wait = self._wait(clip)
        begun = time.perf_counter()
        text = self._whisper.text(clip.samples, clip.language)
        recognised = time.perf_counter()
        translation = self._translate(clip, text, target)
        translated = time.perf_counter()
        self._speak(translation or text, target)
        spoken = time.perf_counter()
        return Stages(wait, recognised - begun, translated - recognised, spoken - translated)

    def _wait(self, clip: Clip) -> float:
        """From the last voiced sample to ``SILENCE_S`` after the detector's last speech."""
        padded = np.concatenate([clip.samples, np.zeros(RATE, np.float32)])
        _, last = speech_range(self._detector.probabilities(padded))
        return max(0.0, last - clip.voiced[1]) + SILENCE_S

    def _translate(self, clip: Clip, text: str, target: str) -> str:
        capabilities = RecogniserCapabilities(
            frozenset({clip.language, target}), frozenset({"en"}), _SECOND_PASS_S
        )
        route = routes.plan(clip.language, target, capabilities, self._apertium.capabilities)
        if route is None:
            raise LookupError(f"{clip.language} is not translated into {target}")
        if route.kind == "text":
            return self._apertium.translate([text], clip.language, target)[0]
        english = self._whisper.text(clip.samples, clip.language, "translate")
        if target == "en":
            return english
        return self._apertium.translate([english], "en", target)[0]

    def _speak(self, text: str, language: str) -> None:
        espeak = _ESPEAK_NAMES.get(language, language)
        self._kokoro.create(text, voice=_VOICES[language], speed=1.0, lang=espeak)


def measure(
    baseline: Baseline, jobs: Sequence[tuple[Clip, str]], report: Callable[[str], None],
    deadline: float = float("inf"),
) -> dict[str, Any]:  # fmt: skip
    """Figures of (clip, target language) jobs; after ``deadline``, no further one begins."""
    done: dict[str, list[Stages]] = {}
    for clip, target in jobs:
        if done and time.monotonic() > deadline:
            break
        stages = baseline.run(clip, target)
        done.setdefault(f"{clip.language}→{target}", []).append(stages)
        report(f"{clip.language}→{target}  baseline {stages.total:.2f} s")
    every = [stages for group in done.values() for stages in group]
    parts = ("wait", "recognise", "translate", "synthesise")
    return {
        "speech_end_to_audio_s": summary(s.total for s in every),
        "directions": {d: summary(s.total for s in group) for d, group in done.items()},
        "stages": {part: summary(getattr(s, part) for s in every) for part in parts},
    }
