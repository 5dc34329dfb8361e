"""The speech that is replayed: real clips where there are some, else synthesised ones.

A clip knows where its voice begins and ends; that is worked out here, from the clip alone, and
owes nothing to what the server detects. Real clips lie in a folder with a ``manifest.json``:
``BABBLEFISH_SPEECH_DIR``, or ``../shared/speech`` beside the project.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile

from babblefish.audio import decibels, resample, to_int16
from babblefish.errors import AudioError

RATE = 16_000
SENT_RATE = 48_000
_STEP = 160
"""samples in 10 ms"""
_VOICE_BELOW_PEAK_DB = 30.0
_VOICE_ABOVE_FLOOR_DB = 8.0
_FADE = 480
_ROOT = Path(__file__).resolve().parents[1]
_REFERENCES = Path(__file__).with_name("references.json")

SENTENCES = {
    "en": ("The meeting starts at nine o'clock.", "We should talk about the budget first.",
           "Today only two rooms are free.", "My favourite colour is green."),
    "fr": ("La réunion commence à neuf heures.", "Parlons d'abord du budget de cette année.",
           "Les deux autres salles sont libres.", "Ma couleur préférée est le vert."),
    "es": ("La reunión empieza a las nueve.", "Primero hablemos del presupuesto.",
           "Hoy solo hay dos salas libres.", "Mi color favorito es el verde."),
}  # fmt: skip
"""spoken by a synthetic voice where there are no recordings"""


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    name: str
    language: str
    samples: np.ndarray
    """16 kHz float32"""
    transcript: str | None
    """what is said, None where nobody has written it down"""
    translations: dict[str, str]
    """language → how a person would translate it"""
    voiced: tuple[float, float]
    """seconds of the first and after the last voiced sample"""
    real: bool = True

    @property
    def seconds(self) -> float:
        return len(self.samples) / RATE

    def varied(self, seed: int) -> Clip:
        """The same words a little later, louder or quieter, so that repeats differ."""
        random = np.random.default_rng(seed)
        delay = int(random.uniform(0, 0.1) * RATE)
        gain = 10 ** (random.uniform(-3, 2) / 20)
        gain = min(gain, 0.98 / max(1e-6, float(np.abs(self.samples).max())))
        samples = np.concatenate([np.zeros(delay, np.float32), self.samples * gain])
        first, last = (moment + delay / RATE for moment in self.voiced)
        return replace(self, samples=samples.astype(np.float32), voiced=(first, last))

    def sent(self) -> np.ndarray:
        """int16 at 48 kHz, its edges faded so that they do not click."""
        samples = resample(self.samples, RATE, SENT_RATE)
        ramp = np.linspace(0, 1, _FADE, dtype=np.float32)
        samples[:_FADE] *= ramp
        samples[-_FADE:] *= ramp[::-1]
        return to_int16(samples)


def voiced_bounds(samples: np.ndarray, speech: tuple[float, float]) -> tuple[float, float]:
    """Seconds of the first and after the last voiced sample, to 10 ms.

    speech: where a voice activity detector sees speech. It keeps breaths and clicks out but
    lags; the level within it tells to 10 ms. Raises AudioError("no_speech").
    """
    count = len(samples) // _STEP
    frames = samples[: count * _STEP].reshape(-1, _STEP).astype(np.float64)
    levels = np.array([decibels(level) for level in np.sqrt((frames**2).mean(axis=1))])
    begin, end = int(speech[0] * 100), min(count, int(np.ceil(speech[1] * 100)))
    if end <= begin:
        raise AudioError("no_speech", "The clip holds no speech.")
    peak, floor = np.percentile(levels, 95), np.percentile(levels, 5)
    threshold = max(peak - _VOICE_BELOW_PEAK_DB, min(floor + _VOICE_ABOVE_FLOOR_DB, peak - 6))
    voiced = np.nonzero(levels[begin:end] > threshold)[0]
    if not len(voiced):
        raise AudioError("no_speech", "The clip holds no speech.")
    return (begin + voiced[0]) / 100, (begin + voiced[-1] + 1) / 100


class Detector:
    """The product's own voice activity detector over whole clips."""

    def __init__(self, weights_dir: Path) -> None:
        from babblefish.engine.vad import FRAME, SileroVad

        self._vad, self._frame = SileroVad(weights_dir), FRAME

    def probabilities(self, samples: np.ndarray) -> list[float]:
        """16 kHz float32 → speech probability of each 32 ms."""
        state = np.zeros((1, *self._vad.capabilities.state_shape), np.float32)
        found = []
        for start in range(0, len(samples) - self._frame + 1, self._frame):
            frame = samples[None, start : start + self._frame]
            probability, state = self._vad.probabilities(frame, state)
            found.append(float(probability[0]))
        return found

    def bounds(self, samples: np.ndarray) -> tuple[float, float]:
        return voiced_bounds(samples, speech_range(self.probabilities(samples)))


def speech_range(probabilities: list[float], frame_s: float = 0.032) -> tuple[float, float]:
    """Seconds from the first to after the last frame that is speech."""
    speech = [index for index, probability in enumerate(probabilities) if probability > 0.5]
    return (speech[0] * frame_s, (speech[-1] + 1) * frame_s) if speech else (0.0, 0.0)


def speech_folder() -> Path | None:
    """The folder of real clips, None when there is none."""
    named = os.environ.get("BABBLEFISH_SPEECH_DIR")
    for folder in [Path(named)] if named else [_ROOT.parent / "shared" / "speech"]:
        if (folder / "manifest.json").is_file():
            return folder
    return None


def load_clips(weights_dir: Path, longest_s: float) -> list[Clip]:
    """Every clip up to a length, real ones if any."""
    folder = speech_folder()
    if folder is None:
        return synthetic_clips(weights_dir)
    references = json.loads(_REFERENCES.read_text("utf-8"))
    detector, clips = Detector(weights_dir), []
    for entry in json.loads((folder / "manifest.json").read_text("utf-8")):
        if entry["seconds"] > longest_s:
            continue
        samples, rate = soundfile.read(folder / entry["file"], dtype="float32")
        samples = resample(samples, rate, RATE)
        name = Path(entry["file"]).stem
        clips.append(
            Clip(
                name, entry["language"], samples, entry.get("transcript"),
                references.get(name, {}), detector.bounds(samples),
            )
        )  # fmt: skip
    return clips


def synthetic_clips(weights_dir: Path) -> list[Clip]:
    """``SENTENCES`` as the product's own voice says them."""
    from babblefish.engine.kokoro import KokoroSynthesiser

    voice = KokoroSynthesiser(weights_dir, threads=os.cpu_count() or 1)
    detector, clips = Detector(weights_dir), []
    for language, sentences in SENTENCES.items():
        for number, text in enumerate(sentences):
            name = voice.capabilities.voices[language][-1]
            sound = resample(voice.synthesise(text, language, name, 1.0), SENT_RATE, RATE)
            pad = np.zeros(RATE // 4, np.float32)
            samples = np.concatenate([pad, sound, pad])
            others = {other: SENTENCES[other][number] for other in SENTENCES if other != language}
            bounds = detector.bounds(samples)
            clips.append(
                Clip(f"{language}_{number}", language, samples, text, others, bounds, real=False)
            )
    return clips


def choose(clips: list[Clip], wanted: Callable[[Clip], bool]) -> list[Clip]:
    """The clips that ``wanted`` holds for, those with a transcript first, short ones first."""
    found = [clip for clip in clips if wanted(clip)]
    return sorted(found, key=lambda clip: (clip.transcript is None, clip.seconds))
