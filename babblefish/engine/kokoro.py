"""Speech with Kokoro-82M on onnxruntime: one clause in, 48 kHz samples out.

Knows voices and languages, but not who speaks with which voice (``voices.py``), where a text is
cut (``clauses.py``) or who listens. A voice name is a Kokoro voice such as ``ff_siwis`` or a blend
of several, ``ff_siwis*0.6+am_adam*0.4``.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import tempfile
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from kokoro_onnx.chunker import split_phonemes
from kokoro_onnx.config import DEFAULT_VOCAB, MAX_PHONEME_LENGTH

from babblefish.audio import match_loudness, resample
from babblefish.engine.onnx_session import OnnxSession
from babblefish.engine.phonemes import Phonemiser
from babblefish.engine.stages import PLAYOUT_RATE, SynthesiserCapabilities
from babblefish.engine.voices import KOKORO_VOICES, blend_parts
from babblefish.errors import SynthesisError, WeightsError

RATE = 24_000
"""Hertz that Kokoro synthesises at"""
FRAME = 600
"""samples per unit of Kokoro's duration predictor, 25 ms"""
SPEEDS = (0.5, 2.0)
"""slowest and fastest that stay intelligible; others are clamped"""
_EDGE_DB = -50.0
"""what is this far below the loudest frame is silence at either end"""
_LEAD, _TAIL = 0.02, 0.045
"""seconds kept before and after, so that soft consonants and decaying vowels stay whole"""
_LEAD_FRAMES, _TAIL_FRAMES = 6, 11
"""frames decoded before the first phoneme and from the last one on. Kokoro plans about 0.4 s of
silence at the start and 0.3 s at the end; fewer frames than these change the sound of what stays"""
_WINDOW_INPUT = "window"
"""``kokoro_graph.WINDOW_INPUT``, which is only imported to make the graph"""
_GRAPH_VERSION = 1
"""raised whenever ``kokoro_graph`` writes another graph, so that a kept one is not used"""
_FADE = 0.004
_BATCH_PAUSE = 0.12
"""seconds between the batches of a clause too long for the model"""
_SECONDS_PER_PHONEME = 0.35
_MEMORY = 210_000_000
"""bytes that a clause of 9 s needs for results, as long as one becomes (``clauses.py``)"""


class KokoroSynthesiser:
    """A ``Synthesiser``. Not thread-safe: espeak-ng inside is one per process."""

    def __init__(self, weights_dir: Path | str, threads: int = 2) -> None:
        """Loads and warms up. Raises WeightsError("missing" | "broken")."""
        folder = Path(weights_dir) / "kokoro"
        for path in (folder / "model.onnx", folder / "voices.npz"):
            if not path.is_file():
                raise WeightsError("missing", f"{path} is missing. Run `make run` to fetch it.")
        try:
            self._voices = np.load(folder / "voices.npz")
            self._session = _open(folder / "model.onnx", threads)
        except Exception as error:
            raise WeightsError(
                "broken", f"{folder} cannot be loaded. Delete it and run `make run` again."
            ) from error
        self._windowed = _WINDOW_INPUT in self._session.inputs
        self._phonemiser = Phonemiser()
        self._style = lru_cache(maxsize=64)(self._blend)
        self.capabilities = SynthesiserCapabilities(
            voices=KOKORO_VOICES, quality="good", speeds=SPEEDS
        )
        for language, voices in KOKORO_VOICES.items():
            self._phonemiser.phonemes("a", _dialect(language, voices[0]))
        self._speak("həlˈO, ˈɛvɹiwˌʌn.", self._style(KOKORO_VOICES["en"][0]), 1.0)

    def synthesise(self, text: str, language: str, voice: str, speed: float = 1.0) -> np.ndarray:
        """See ``Synthesiser``."""
        if language not in self.capabilities.voices:
            known = ", ".join(sorted(self.capabilities.voices))
            raise SynthesisError(
                "language", f"Kokoro does not speak this language. Known: {known}."
            )
        style = self._style(voice)
        phonemes = self._phonemiser.phonemes(text, _dialect(language, voice))
        if not math.isfinite(speed):
            raise SynthesisError("voice", "The speaking speed must be a number; 1.0 is natural.")
        speed = float(np.clip(speed, *SPEEDS))
        gap = np.zeros(int(_BATCH_PAUSE / speed * RATE), np.float32)
        parts: list[np.ndarray] = []
        for batch in split_phonemes(phonemes, MAX_PHONEME_LENGTH):
            said = trim(self._speak(batch, style, speed))
            if len(said):
                parts += [gap, said] if parts else [said]
        if not parts:
            return np.zeros(0, np.float32)
        return match_loudness(resample(np.concatenate(parts), RATE, PLAYOUT_RATE))

    def prepare(self, language: str) -> None:
        """Nothing to do: one model speaks every language, and is there already."""

    def _speak(self, phonemes: str, style: np.ndarray, speed: float) -> np.ndarray:
        """One batch of phonemes → (n,) float32 at RATE, silence at both ends included."""
        known = [p for p in phonemes if p in DEFAULT_VOCAB]
        letters = [i for i, p in enumerate(known) if p.isalpha()]
        if not letters:
            return np.zeros(0, np.float32)
        tokens = [DEFAULT_VOCAB[p] for p in known]
        inputs = {
            "tokens": np.array([[0, *tokens, 0]], np.int64),
            "style": style[min(len(tokens), len(style)) - 1],
            "speed": np.array([speed], np.float32),
        }
        if self._windowed:
            inputs[_WINDOW_INPUT] = np.array([_LEAD_FRAMES, letters[-1], _TAIL_FRAMES], np.int64)
        (audio,) = self._session.run_until_interrupted(["audio"], inputs)
        samples = np.asarray(audio.numpy(), np.float32).ravel()
        longest = (2.0 + _SECONDS_PER_PHONEME * len(tokens)) / speed * RATE
        if len(samples) == 0 or len(samples) > longest or not np.isfinite(samples).all():
            raise SynthesisError("bad_audio", "Kokoro returned something that is no speech.")
        return samples

    def _blend(self, voice: str) -> np.ndarray:
        """Style vectors of a voice name, (510, 1, 256): one per number of phonemes."""
        parts = [self._voices[name] * np.float32(weight) for name, weight in self._parts(voice)]
        return np.sum(parts, axis=0)

    def _parts(self, voice: str) -> list[tuple[str, float]]:
        try:
            parts = blend_parts(voice)
        except ValueError:
            parts = []
        if not parts or any(name not in self._voices for name, _ in parts):
            raise SynthesisError(
                "voice", "Unknown voice. Use one of the capabilities' names or a blend of them."
            )
        return parts


def trim(samples: np.ndarray) -> np.ndarray:
    """Speech at RATE without the silence around it; empty when it is all silence."""
    frame = RATE // 200
    levels = np.abs(samples[: len(samples) // frame * frame]).reshape(-1, frame).max(axis=1)
    if len(levels) == 0 or levels.max() < 1e-3:
        return samples[:0]
    loud = np.flatnonzero(levels > levels.max() * 10 ** (_EDGE_DB / 20))
    start = max(0, int(loud[0] * frame - _LEAD * RATE))
    end = min(len(samples), int((loud[-1] + 1) * frame + _TAIL * RATE))
    said = samples[start:end].copy()
    fade = np.linspace(0.0, 1.0, min(int(_FADE * RATE), len(said) // 2), dtype=np.float32)
    said[: len(fade)] *= fade
    said[len(said) - len(fade) :] *= fade[::-1]
    return said


def _dialect(language: str, voice: str) -> str:
    return "en-gb" if language == "en" and voice.startswith("b") else language


def _open(path: Path, threads: int) -> OnnxSession:
    """A session on the faster graph; on the plain one where that cannot be made."""
    start = partial(OnnxSession, threads=threads, reuse_memory=False, reserve=_MEMORY)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    kept = path.with_name(f"model.fast-{_GRAPH_VERSION}-{digest[:16]}.onnx")
    if kept.is_file():
        with contextlib.suppress(Exception):  # damaged: made again below
            return start(kept)
    with contextlib.suppress(Exception):  # not the graph we know: slower, but it speaks
        data = _faster(path)
        session = start(data)
        with contextlib.suppress(OSError):  # a folder we may not write to, or a full disk
            _keep(data, kept)
        return session
    return start(path)


def _faster(path: Path) -> bytes:
    """The rewritten graph. Raises ValueError for one that is not Kokoro's."""
    import onnx

    from babblefish.engine.kokoro_graph import optimise

    return optimise(onnx.load(str(path))).SerializeToString()


def _keep(data: bytes, path: Path) -> None:
    """Write a graph for the next start, and drop those of other weights or versions."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".fast-", delete=False) as file:
        try:
            file.write(data)
            file.flush()
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        except OSError:
            os.unlink(file.name)
            raise
    for other in path.parent.glob("model.fast-*.onnx"):
        if other != path:
            other.unlink(missing_ok=True)
