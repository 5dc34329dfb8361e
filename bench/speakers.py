"""People's recordings for measurements: those with a known speaker, and single sentences.

Recordings of people where there are some, else what Kokoro's voices read aloud.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from babblefish.audio import resample
from babblefish.engine.stages import PLAYOUT_RATE
from bench.clips import SENTENCES, speech_folder

RATE = 16_000
_VOICES = ("af_heart", "am_michael", "bf_emma")


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    samples: np.ndarray
    """(n,) float32 at 16 kHz"""
    speaker: str
    """empty where unknown"""
    language: str
    text: str
    """empty where nobody wrote it down"""

    @property
    def seconds(self) -> float:
        return len(self.samples) / RATE


def recordings(weights_dir: Path) -> list[Recording]:
    folder = speech_folder()
    if folder is None:
        return _read_aloud(weights_dir)
    found = []
    for entry in json.loads((folder / "manifest.json").read_text("utf-8")):
        samples, rate = soundfile.read(folder / entry["file"], dtype="float32")
        found.append(
            Recording(
                resample(samples, rate, RATE), entry.get("speaker", ""), entry["language"],
                entry.get("transcript", ""),
            )
        )  # fmt: skip
    return found


def _read_aloud(weights_dir: Path) -> list[Recording]:
    from babblefish.engine.kokoro import KokoroSynthesiser

    kokoro, found = KokoroSynthesiser(weights_dir), []
    sentences = SENTENCES["en"]
    texts = [
        f"{one} {two}" for one, two in zip(sentences, sentences[1:] + sentences[:1], strict=True)
    ]
    for voice in _VOICES:
        for text in texts:
            spoken = kokoro.synthesise(text, "en", voice, 1.0)
            found.append(Recording(resample(spoken, PLAYOUT_RATE, RATE), voice, "en", text))
    return found
