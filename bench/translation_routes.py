"""Which way from speech in one language to text in another: measured, not guessed.

Compares, for every pair of six languages, translating the transcript (Apertium) with letting
Whisper translate the speech into English and going on from there. chrF against our own reference
translations of the recorded clips and of everyday meeting sentences, which the synthesiser reads
aloud. Writes ``bench/results/translation_routes.json`` and ``.md``; ``engine/routes.py`` holds
what follows from them.

    python -m bench.translation_routes [--read-aloud 10]
"""

from __future__ import annotations

import argparse
import itertools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sacrebleu

from babblefish.audio import resample
from babblefish.engine.apertium import ApertiumTranslator
from babblefish.engine.espeak import EspeakSynthesiser
from babblefish.engine.kokoro import KokoroSynthesiser
from babblefish.engine.stages import PLAYOUT_RATE, SPEECH_RATE, RecognitionRequest
from babblefish.engine.whisper import WhisperRecogniser
from babblefish.settings import load_settings

HERE = Path(__file__).parent
LANGUAGES = ("en", "es", "fr", "it", "pt", "de")


@dataclass(frozen=True, slots=True)
class Heard:
    """One sentence as it was spoken, and what the recogniser made of it."""

    row: dict[str, str]
    transcript: str
    english: str
    """the recogniser's own translation; the transcript where English was spoken"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--read-aloud", type=int, default=10, metavar="N")
    wanted = parser.parse_args().read_aloud
    rows = json.loads((HERE / "translation_references.json").read_text(encoding="utf-8"))
    translator = ApertiumTranslator(keep=40, warm=())
    heard = listen(rows, wanted)
    table = [
        measure(rows, heard[source], source, target, translator)
        for source, target in itertools.permutations(LANGUAGES, 2)
    ]
    translator.close()
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    (results / "translation_routes.json").write_text(json.dumps(table, indent=1) + "\n")
    (results / "translation_routes.md").write_text(markdown(table, rows, heard))
    print(markdown(table, rows, heard))


def listen(rows: list[dict[str, str]], wanted: int) -> dict[str, list[Heard]]:
    """Language → recognised recordings and ``wanted`` sentences read aloud."""
    weights = load_settings().weights_dir
    recogniser = WhisperRecogniser(weights, threads=2)
    kokoro, espeak = KokoroSynthesiser(weights), EspeakSynthesiser()
    recordings = {clip.name: clip for clip in recorded_clips()}
    heard: dict[str, list[Heard]] = {language: [] for language in LANGUAGES}

    def add(row: dict[str, str], language: str, samples: np.ndarray) -> None:
        request = RecognitionRequest(language, language_fixed=True, translate_into=("en",))
        result = recogniser.transcribe(samples, request)
        english = result.translations.get("en", result.text if language == "en" else "")
        heard[language].append(Heard(row, result.text, english))

    for row in rows:
        if clip := recordings.get(row.get("clip", "")):
            add(row, clip.language, clip.samples)
    for row, language in itertools.product(
        [r for r in rows if "clip" not in r][:wanted], LANGUAGES
    ):
        voice = kokoro if language in kokoro.capabilities.voices else espeak
        name = voice.capabilities.voices[language][0]
        spoken = voice.synthesise(row[language], language, name, 1.0)
        add(row, language, resample(spoken, PLAYOUT_RATE, SPEECH_RATE))
    return heard


def recorded_clips():
    from tests.speech import clips, speech_dir

    return clips() if speech_dir() else ()


def measure(
    rows: list[dict[str, str]],
    heard: list[Heard],
    source: str,
    target: str,
    translator: ApertiumTranslator,
) -> dict[str, str | float | None]:
    """chrF of each way that exists for one pair."""
    pairs = translator.capabilities.pairs

    def through(texts: list[str], start: str) -> list[str] | None:
        if start == target:
            return texts
        return translator.translate(texts, start, target) if (start, target) in pairs else None

    def score(texts: list[str] | None, references: list[str]) -> float | None:
        return None if texts is None else round(sacrebleu.corpus_chrf(texts, [references]).score, 1)

    spoken = [h.row[target] for h in heard]
    speech = None if source == "en" else through([h.english for h in heard], "en")
    return {
        "source": source,
        "target": target,
        "text_of_reference": score(
            through([row[source] for row in rows], source), [row[target] for row in rows]
        ),
        "text_of_transcript": score(through([h.transcript for h in heard], source), spoken),
        "speech": score(speech, spoken),
    }


def markdown(table: list[dict], rows: list[dict], heard: dict[str, list[Heard]]) -> str:
    def cell(value: float | None) -> str:
        return "–" if value is None else f"{value:.1f}"

    counts = ", ".join(f"{language} {len(heard[language])}" for language in LANGUAGES)
    lines = [
        "# Translation routes of the compact profile",
        "",
        f"chrF (0–100) against our own references; {len(rows)} sentences as text, and as speech: "
        f"{counts} (recordings, the rest read aloud by the synthesiser; German by espeak-ng).",
        "Written by `python -m bench.translation_routes`.",
        "",
        "| from | to | Apertium on the true text | Apertium on the transcript | Whisper's speech "
        "translation into English, then Apertium |",
        "|---|---|---|---|---|",
    ]
    for r in table:
        figures = (r["text_of_reference"], r["text_of_transcript"], r["speech"])
        lines.append(f"| {r['source']} | {r['target']} | " + " | ".join(map(cell, figures)) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
