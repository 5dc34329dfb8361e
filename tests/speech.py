"""Human speech for tests and benchmarks, or, where there is none, speech made by espeak-ng.

Recordings are looked for in ``BABBLEFISH_SPEECH_DIR`` and in ``shared/speech`` beside the
checkout: a folder with ``manifest.json`` (file, language, transcript, speaker).
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile

from babblefish.audio import resample

RATE = 16_000
_ROOT = Path(__file__).resolve().parents[1]
_SENTENCES = {
    "en": ("Today only platforms one and three are used.", "We meet again on Monday at nine."),
    "es": ("Un homenaje era más que necesario.", "La reunión empieza a las diez."),
    "fr": ("Les deux autres sont situés au bord de la mer.", "La réunion commence à dix heures."),
    "de": ("Die Werbung vermittelt einen falschen Eindruck.", "Wir treffen uns am Montag."),
    "it": ("Dal passo si sale sulla vetta lungo la cresta sud.",),
    "pt": ("Um grupo de crianças está andando perto do rio.",),
}


@dataclass(frozen=True, slots=True)
class Clip:
    name: str
    samples: np.ndarray
    """(n,) float32 at 16 kHz"""
    language: str
    transcript: str
    """empty where nobody wrote it down"""
    speaker: str
    """empty where unknown"""

    @property
    def seconds(self) -> float:
        return len(self.samples) / RATE


def speech_dir() -> Path | None:
    """The folder of recordings, None when there is none."""
    named = os.environ.get("BABBLEFISH_SPEECH_DIR")
    for folder in ([Path(named)] if named else []) + [_ROOT.parent / "shared" / "speech"]:
        if (folder / "manifest.json").is_file():
            return folder
    return None


@lru_cache(maxsize=1)
def clips() -> tuple[Clip, ...]:
    """Every clip; those with a transcript first."""
    folder = speech_dir()
    return tuple(_recorded(folder)) if folder else tuple(_synthesised())


def _recorded(folder: Path) -> list[Clip]:
    entries = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    found = []
    for entry in entries:
        samples, rate = soundfile.read(folder / entry["file"], dtype="float32")
        found.append(
            Clip(
                Path(entry["file"]).stem, resample(samples, rate, RATE), entry["language"],
                entry.get("transcript", ""), entry.get("speaker", ""),
            )
        )  # fmt: skip
    return sorted(found, key=lambda clip: not clip.transcript)


def _synthesised() -> list[Clip]:
    voices = {"one": "m1", "two": "f2"}
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for language, sentences in _SENTENCES.items():
            for number, text in enumerate(sentences):
                found.append(_espeak(Path(folder), language, text, f"{language}_{number}", "", ""))
        for speaker, variant in voices.items():
            for number, text in enumerate(_SENTENCES["en"]):
                name = f"speaker_{speaker}_{number}"
                found.append(_espeak(Path(folder), "en", text, name, speaker, f"+{variant}"))
    return found


def _espeak(folder: Path, language: str, text: str, name: str, speaker: str, variant: str) -> Clip:
    path = folder / f"{name}.wav"
    subprocess.run(["espeak-ng", "-v", language + variant, "-w", str(path), text], check=True)
    samples, rate = soundfile.read(path, dtype="float32")
    return Clip(name, resample(samples, rate, RATE), language, text, speaker)
