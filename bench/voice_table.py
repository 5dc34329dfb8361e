"""Measures what each voice sounds like, for ``babblefish/engine/voice_matching.py``: its median
pitch and its GE2E voiceprint, in every language that it speaks.

Each voice says the two sentences of ``bench/measure_voices.py``. Writes
``babblefish/engine/kokoro_voices.npz``; only the rows of the languages named are made again.
espeak-ng's variants, which sound alike in all languages, are the language ``*``.

    python -m bench.voice_table [LANGUAGE …]
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from babblefish.audio import resample
from babblefish.engine import pitch
from babblefish.engine.espeak import VARIANTS, EspeakSynthesiser
from babblefish.engine.kokoro import KokoroSynthesiser
from babblefish.engine.speakers import Ge2eEncoder
from babblefish.engine.stages import PLAYOUT_RATE, SPEECH_RATE, Synthesiser
from babblefish.engine.voice_matching import ANY, ENCODER, TABLE
from babblefish.engine.voices import KOKORO_VOICES
from babblefish.settings import load_settings
from bench.measure_voices import SENTENCES


@dataclass(frozen=True, slots=True)
class Row:
    hertz: float
    voiceprint: np.ndarray
    """(256,)"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("languages", nargs="*", metavar="LANGUAGE")
    wanted = parser.parse_args()
    weights = load_settings().weights_dir
    encoder = Ge2eEncoder(weights)
    rows = read()
    languages = wanted.languages or [*KOKORO_VOICES, ANY]
    kokoro = KokoroSynthesiser(weights, wanted.threads) if set(languages) - {ANY} else None
    for language in languages:
        rows = {key: row for key, row in rows.items() if key[0] != language}
        if language == ANY:
            for variant in VARIANTS:
                clips = speak(EspeakSynthesiser(), "en", f"en+{variant}")
                rows[ANY, f"+{variant}"] = measure(clips, encoder)
        else:
            assert kokoro is not None
            for voice in KOKORO_VOICES[language]:
                rows[language, voice] = measure(speak(kokoro, language, voice), encoder)
                print(f"{language} {voice} {rows[language, voice].hertz:.0f} Hz", flush=True)
        write(rows, weights)


def speak(synthesiser: Synthesiser, language: str, voice: str) -> list[np.ndarray]:
    """Its sentences, float32 at SPEECH_RATE."""
    return [
        resample(synthesiser.synthesise(text, language, voice, 1.0), PLAYOUT_RATE, SPEECH_RATE)
        for text in SENTENCES[language]
    ]


def measure(clips: Iterable[np.ndarray], encoder: Ge2eEncoder) -> Row:
    samples = np.concatenate(list(clips))
    found = pitch.measure(samples, SPEECH_RATE)
    assert found is not None, "a voice that has no voice"
    return Row(found.hertz, encoder.embed(samples))


def read(path: Path = TABLE) -> dict[tuple[str, str], Row]:
    """(language, voice) → row; nothing where there is no table."""
    if not path.is_file():
        return {}
    with np.load(path) as file:
        names = [tuple(name.split(" ")) for name in json.loads(str(file["names"]))]
        measured = zip(file["pitches"], file["voiceprints"], strict=True)
        return {key: Row(*row) for key, row in zip(names, measured, strict=True)}


def write(rows: dict[tuple[str, str], Row], weights: Path, path: Path = TABLE) -> None:
    keys = sorted(rows)
    np.savez_compressed(
        path,
        names=json.dumps([" ".join(key) for key in keys]),
        pitches=np.array([rows[key].hertz for key in keys], np.float16),
        voiceprints=np.array([rows[key].voiceprint for key in keys], np.float16),
        provenance=json.dumps(provenance(weights)),
    )


def provenance(weights: Path) -> dict[str, str]:
    """What the table was made from and by."""
    files = ("kokoro/model.onnx", "kokoro/voices.npz", "ge2e/pretrained.pt")
    digests = {}
    for name in files:
        with (weights / name).open("rb") as file:
            digests[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return {"by": "python -m bench.voice_table", "encoder": ENCODER, **digests}


if __name__ == "__main__":
    main()
