"""Which voices ``babblefish/engine/voices.py`` can list: understood when they speak a language, and
easily told apart.

Kokoro has few voices of most languages, so most candidates are blends of a native voice with a
character from another language. Says two sentences with each, recognises them again, and compares
pitch and voiceprints. Writes ``bench/results/voices.json`` and ``.md``, of the voices listed now
or, with ``--candidates``, of everything there is to choose from.

    python -m bench.measure_voices [--candidates] [LANGUAGE …]
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from babblefish.audio import resample
from babblefish.engine import pitch
from babblefish.engine.kokoro import KokoroSynthesiser
from babblefish.engine.speakers import Ge2eEncoder
from babblefish.engine.stages import PLAYOUT_RATE, SPEECH_RATE, RecognitionRequest
from babblefish.engine.voices import KOKORO_VOICES
from babblefish.engine.whisper import WhisperRecogniser
from babblefish.settings import load_settings
from bench.measures import WordErrors, word_errors

HERE = Path(__file__).parent
SENTENCES = {
    "en": ("We should begin the meeting before everybody has to leave.",
           "The new building opens its doors in the spring of next year."),
    "es": ("Debemos empezar la reunión antes de que todos tengan que salir.",
           "El nuevo edificio abre sus puertas en la primavera del próximo año."),
    "fr": ("Nous devons commencer la réunion avant que tout le monde parte.",
           "Le nouveau bâtiment ouvre ses portes au printemps de l'année prochaine."),
    "hi": ("हमें सबके जाने से पहले बैठक शुरू करनी चाहिए।",
           "नई इमारत अगले साल वसंत में अपने दरवाज़े खोलेगी।"),
    "it": ("Dobbiamo cominciare la riunione prima che tutti tornino a casa.",
           "Il nuovo palazzo apre le sue porte nella primavera del prossimo anno."),
    "pt": ("Devemos começar a reunião antes que todos tenham de sair.",
           "O novo prédio abre as suas portas na primavera do próximo ano."),
}  # fmt: skip
WRITTEN = {
    "hi": ("ہمیں سب کے جانے سے پہلے بیٹھک شروع کرنی چاہیے۔",
           "نئی عمارت اگلے سال وسنت میں اپنے دروازے کھولے گی۔"),
}  # fmt: skip
"""what the recogniser should write where that is not what is said: of Hindi, Whisper base writes
Urdu, and spells it badly whoever speaks"""
NATIVES = {
    "es": ("ef_dora", "em_alex", "em_santa"),
    "fr": ("ff_siwis",),
    "hi": ("hf_alpha", "hm_omega", "hf_beta", "hm_psi"),
    "it": ("if_sara", "im_nicola"),
    "pt": ("pf_dora", "pm_alex", "pm_santa"),
}
FEMALE = ("af_heart", "bf_emma", "af_bella", "af_nicole", "af_kore")
MALE = ("am_michael", "bm_george", "am_fenrir", "am_onyx", "am_puck", "bm_lewis")
NATIVE_SHARE = {"fr": 0.5}
"""0.3 elsewhere; French is the one language that suffers from less"""


@dataclass(frozen=True, slots=True)
class Measured:
    language: str
    voice: str
    errors: WordErrors
    heard: tuple[str, ...]
    pitch_hz: float
    voiceprint: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("languages", nargs="*", metavar="LANGUAGE")
    wanted = parser.parse_args()
    weights = load_settings().weights_dir
    kokoro = KokoroSynthesiser(weights, wanted.threads)
    whisper = WhisperRecogniser(weights, wanted.threads)
    encoder = Ge2eEncoder(weights)
    rows: list[dict] = []
    for language in wanted.languages or KOKORO_VOICES:
        names = candidates(language) if wanted.candidates else KOKORO_VOICES[language]
        measured = [measure(kokoro, whisper, encoder, language, name) for name in names]
        rows += compared(measured)
        print(markdown(rows[-len(measured) :]), flush=True)
    if wanted.candidates or wanted.languages:
        return
    results = HERE / "results"
    text = json.dumps(rows, indent=1, ensure_ascii=False)
    (results / "voices.json").write_text(text + "\n", encoding="utf-8")
    (results / "voices.md").write_text(HEADING + markdown(rows), encoding="utf-8")


def candidates(language: str) -> list[str]:
    """Natives, and blends of the first native of each sex with characters of that sex."""
    if language not in NATIVES:
        return [*FEMALE, *MALE]
    natives = NATIVES[language]
    female = natives[0]
    male = next((name for name in natives if name[1] == "m"), female)
    share = NATIVE_SHARE.get(language, 0.3)

    def blend(native: str, character: str) -> str:
        return f"{native}*{share:.1f}+{character}*{1 - share:.1f}"

    blends = [blend(female, name) for name in FEMALE] + [blend(male, name) for name in MALE]
    if male == female:
        romance = ("em_alex", "im_nicola", "pm_santa", "if_sara", "pf_dora")
        blends += [blend(female, name) for name in romance]
    return [*natives, *blends]


def measure(
    kokoro: KokoroSynthesiser,
    whisper: WhisperRecogniser,
    encoder: Ge2eEncoder,
    language: str,
    voice: str,
) -> Measured:
    request = RecognitionRequest(language, language_fixed=True)
    errors, heard, clips = WordErrors(), [], []
    written = WRITTEN.get(language, SENTENCES[language])
    for text, wanted in zip(SENTENCES[language], written, strict=True):
        spoken = kokoro.synthesise(text, language, voice, 1.0)
        clips.append(resample(spoken, PLAYOUT_RATE, SPEECH_RATE))
        heard.append(whisper.transcribe(clips[-1], request).text)
        errors += word_errors(wanted, heard[-1], language)
    samples = np.concatenate(clips)
    found = pitch.measure(samples, SPEECH_RATE)
    assert found is not None, "a voice that has no voice"
    return Measured(language, voice, errors, tuple(heard), found.hertz, encoder.embed(samples))


def compared(measured: list[Measured]) -> list[dict]:
    """A row for each voice: how it was understood, and how like it is to those before it."""
    prints = np.array([m.voiceprint for m in measured])
    alike = prints @ prints.T
    rows = []
    for index, m in enumerate(measured):
        before = alike[index, :index]
        rows.append(
            {
                "language": m.language,
                "voice": m.voice,
                "word_errors": m.errors.rate,
                "pitch_hz": round(m.pitch_hz),
                "similarity": [round(float(value), 2) for value in before],
                "most_like": measured[int(before.argmax())].voice if index else None,
                "heard": list(m.heard),
            }
        )
    return rows


HEADING = """# Voices of the compact profile

Two sentences said by each voice that `babblefish/engine/voices.py` lists, in the order in which
members of a room get them: word error rate of what Whisper base makes of them (of Hindi it writes
Urdu and spells it badly, whoever speaks: compare only with the native voices), median pitch, and
cosine similarity (GE2E) to the most similar voice before it. Written by
`python -m bench.measure_voices`.

"""


def markdown(rows: list[dict]) -> str:
    lines = [
        "| language | voice | word error rate | pitch, Hz | most like, of those before |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        like = f"{row['most_like']} {max(row['similarity']):.2f}" if row["most_like"] else "–"
        lines.append(
            f"| {row['language']} | {row['voice']} | {row['word_errors']:.2f} "
            f"| {row['pitch_hz']} | {like} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
