"""Speech of which it is known when each word is said: by espeak-ng, which tells when it begins a
word, and by Kokoro, which plans how long each phoneme is to be."""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import onnx
from kokoro_onnx.config import DEFAULT_VOCAB
from onnx import TensorProto, helper

from babblefish.audio import resample
from babblefish.engine.espeak import EspeakSynthesiser
from babblefish.engine.kokoro import FRAME, RATE
from babblefish.engine.onnx_session import OnnxSession
from babblefish.engine.phonemes import Phonemiser
from babblefish.engine.stages import SPEECH_RATE
from babblefish.engine.voices import KOKORO_VOICES

_ENDS = "/encoder/CumSum_output_0"
"""of Kokoro's graph: frame at which each token ends"""
_WORD, _LAST = 1, 0
_LEAD = 0.4
"""seconds of silence around what is said"""


@dataclass(frozen=True, slots=True)
class Timed:
    language: str
    text: str
    samples: np.ndarray
    """(n,) float32 at 16 kHz"""
    starts: tuple[float, ...]
    """seconds at which each word begins"""
    ends: tuple[float | None, ...]
    """at which each word ends, where that is known"""


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int), ("identifier", ctypes.c_uint), ("text_position", ctypes.c_int),
        ("length", ctypes.c_int), ("audio_position", ctypes.c_int), ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p), ("id", ctypes.c_char * 8),
    ]  # fmt: skip


class _TellingEspeak(EspeakSynthesiser):
    def __init__(self) -> None:
        self.began: dict[int, float] = {}
        """characters before each word → seconds"""
        super().__init__()

    def _hear(self, samples, count: int, events) -> int:
        event = ctypes.cast(events, ctypes.POINTER(_Event)) if events else None
        number = 0
        while event and event[number].type != _LAST:
            if event[number].type == _WORD:
                at = event[number].text_position - 1
                self.began.setdefault(at, event[number].audio_position / 1000)
            number += 1
        return super()._hear(samples, count, events)


@lru_cache(maxsize=1)
def _espeak() -> _TellingEspeak:
    return _TellingEspeak()


def by_espeak(text: str, language: str, voice: str = "m3", speed: float = 0.9) -> Timed:
    """``text`` must be read word by word: no numbers, no abbreviations."""
    espeak = _espeak()
    espeak.began.clear()
    espeak._choose(language, f"{language}+{voice}", speed)
    samples = resample(espeak._speak(text), espeak._rate, SPEECH_RATE)
    began = [at for _, at in sorted(espeak.began.items())]
    assert len(began) == len(text.split()), "espeak-ng reads other words than there are"
    return _surrounded(language, text, samples, began, [None] * len(began))


class _TellingKokoro:
    """Kokoro as it was published, with how long it plans each phoneme to be."""

    def __init__(self, weights_dir: Path) -> None:
        folder = weights_dir / "kokoro"
        model = onnx.load(str(folder / "model.onnx"))
        model.graph.output.append(helper.make_tensor_value_info(_ENDS, TensorProto.INT64, None))
        self._audio = model.graph.output[0].name
        self._session = OnnxSession(model.SerializeToString(), 2, reuse_memory=False)
        self._voices = np.load(folder / "voices.npz")
        self._phonemiser = Phonemiser()

    def say(self, text: str, language: str, voice: str) -> tuple[np.ndarray, np.ndarray]:
        """Samples at 24 kHz, and seconds (words, 2) of where each begins and ends."""
        known = [p for p in self._phonemiser.phonemes(text, language) if p in DEFAULT_VOCAB]
        tokens = [0, *(DEFAULT_VOCAB[p] for p in known), 0]
        style = self._voices[voice][len(known) - 1]
        given = {
            "tokens": np.array([tokens], np.int64), "style": style,
            "speed": np.ones(1, np.float32),
        }  # fmt: skip
        audio, ends = self._session.run([self._audio, _ENDS], given)
        edges = ends.numpy().ravel() * FRAME / RATE
        """where each token ends; the one before the first phoneme is number 0"""
        times = []
        for said in re.finditer(r"[^ ]*\w[^ ]*", "".join(known)):
            letters = [i for i in range(*said.span()) if known[i].isalpha()]
            times.append((edges[letters[0]], edges[letters[-1] + 1]))
        assert len(times) == len(text.split()), f"Kokoro reads other words than {text!r}"
        return audio.numpy().ravel(), np.array(times)


@lru_cache(maxsize=1)
def _kokoro(weights_dir: Path) -> _TellingKokoro:
    return _TellingKokoro(weights_dir)


def by_kokoro(
    weights_dir: Path, stretches: tuple[str, ...], language: str, pause: float, voice: int = 0
) -> Timed:
    """pause: seconds of silence between stretches, which are spoken without one."""
    name = KOKORO_VOICES[language][voice]
    starts, ends, parts, at = [], [], [], 0.0
    for stretch in stretches:
        audio, times = _kokoro(weights_dir).say(stretch, language, name)
        first, last = int((times[0, 0] - 0.05) * RATE), int((times[-1, 1] + 0.05) * RATE)
        starts += [float(t) + at - first / RATE for t in times[:, 0]]
        ends += [float(t) + at - first / RATE for t in times[:, 1]]
        said = audio[first:last]
        parts += [said, np.zeros(int(pause * RATE), np.float32)]
        at += len(said) / RATE + int(pause * RATE) / RATE
    samples = resample(np.concatenate(parts[:-1]), RATE, SPEECH_RATE)
    return _surrounded(language, " ".join(stretches), samples, starts, ends)


def _surrounded(language, text, samples, starts, ends) -> Timed:
    silence = np.zeros(int(_LEAD * SPEECH_RATE), np.float32)
    sound = np.concatenate([silence, samples, silence]).astype(np.float32)
    noise = np.random.default_rng(1).normal(0, 0.0005, len(sound)).astype(np.float32)
    return Timed(
        language, text, sound + noise, tuple(s + _LEAD for s in starts),
        tuple(None if e is None else e + _LEAD for e in ends),
    )  # fmt: skip
