"""What a list of names and terms does: how many are heard right, and what it costs otherwise.

Sentences with uncommon names, read by Kokoro (German by espeak-ng), are recognised without a list,
with the list as Whisper's prompt, and with the list in the beam search (``term_bias.py``) at
several weights. The list holds as many names that nobody says. The price: word errors on recorded
speech in which none of them is said, words that change in recordings without a transcript, listed
names heard there or where nobody speaks, and processor time.

    python -m bench.glossary [--quick]
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from babblefish.audio import resample
from babblefish.engine.espeak import EspeakSynthesiser
from babblefish.engine.kokoro import KokoroSynthesiser
from babblefish.engine.stages import PLAYOUT_RATE, SPEECH_RATE, RecognitionRequest
from babblefish.engine.term_bias import Weights
from babblefish.engine.whisper import WhisperRecogniser
from babblefish.settings import load_settings
from bench.measures import WordErrors, word_errors, words
from tests.sounds import non_speech
from tests.speech import clips

SENTENCES = {
    "en": ("Good morning, I am {Marek}, and this is {Zyrianova} from accounting.",
           "We use {BabbleFish} for every meeting with {Kowalczyk}.",
           "Please send the contract to {Siobhan} before {Okonkwo} leaves.",
           "The new release of {Kubernetes} runs on {Hetzner}.",
           "Yesterday {Thibault} presented the results of {Mnemosyne}.",
           "Did {Wiśniewski} already talk to {Gbemisola}?"),
    "fr": ("Bonjour, je suis {Marek} et voici {Zyrianova} de la comptabilité.",
           "Nous utilisons {BabbleFish} pour chaque réunion avec {Kowalczyk}.",
           "Envoyez le contrat à {Siobhan} avant le départ de {Okonkwo}.",
           "Hier, {Thibault} a présenté les résultats de {Mnemosyne}."),
    "es": ("Buenos días, soy {Marek} y esta es {Zyrianova} de contabilidad.",
           "Usamos {BabbleFish} en todas las reuniones con {Kowalczyk}.",
           "Mande el contrato a {Siobhan} antes de que salga {Okonkwo}."),
    "it": ("Buongiorno, sono {Marek} e questa è {Zyrianova} della contabilità.",
           "Ieri {Thibault} ha presentato i risultati di {Mnemosyne}."),
    "de": ("Guten Morgen, ich bin {Marek}, und das ist {Zyrianova} aus der Buchhaltung.",
           "Wir benutzen {BabbleFish} in jeder Besprechung mit {Kowalczyk}."),
}  # fmt: skip
NOT_SAID = (
    "Anwuli Adeyemi", "Szymon", "Quentin", "Rajesh Venkataraman", "Oyelaran", "Xochitl",
    "Brzęczyszczykiewicz", "Fitzwilliam", "Dan", "Pierre", "Anna", "Bob", "Terraform", "Grafana",
    "PostgreSQL", "Prometheus", "ISO 27001", "Q3 roadmap", "Nguyen", "Hassan al-Rashid",
)  # fmt: skip
VOICES = 2
"""for each language"""
_LONGEST_S = 8.0
"""of the recordings"""
_TERM = re.compile(r"\{(.+?)\}")
LISTED = tuple(
    dict.fromkeys(t for said in SENTENCES.values() for s in said for t in _TERM.findall(s))
)
OUT = Path(__file__).parent / "results" / "glossary.md"


@dataclass(frozen=True, slots=True)
class Way:
    name: str
    weights: Weights | None = None
    """None: not in the search"""
    prompt: str = ""
    draft: bool = False


WAYS = (
    Way("no list"),
    Way("prompt", prompt=f"Glossary: {', '.join((*NOT_SAID, *LISTED))}."),
    Way("**search 3 / 4**", Weights()),
    Way("no list, partial captions", draft=True),
    Way("search 3 / 4, partial captions", Weights(), draft=True),
)


@dataclass(frozen=True, slots=True)
class Said:
    language: str
    text: str
    terms: tuple[str, ...]
    samples: np.ndarray


class Listener:
    """Recognises in one way, and knows what it cost."""

    def __init__(self, whisper: WhisperRecogniser, way: Way) -> None:
        self._whisper, self._way = whisper, way
        self._whisper.weights = way.weights or Weights()
        self.times: list[float] = []

    def text(self, samples: np.ndarray, language: str) -> str:
        way = self._way
        listed = (*NOT_SAID, *LISTED) if way.weights else ()
        request = RecognitionRequest(language, draft=way.draft, context=way.prompt, glossary=listed)
        begun = time.process_time()
        text = self._whisper.transcribe(samples, request).text
        self.times.append(time.process_time() - begun)
        return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only what is in use")
    ways = [w for w in WAYS if "prompt" not in w.name and "." not in w.name and not w.draft]
    ways = ways if parser.parse_args().quick else list(WAYS)
    weights_dir = load_settings().weights_dir
    said = read_aloud(weights_dir)
    whisper = WhisperRecogniser(weights_dir, threads=2)
    usual: dict[str, str] = {}
    rows = []
    for way in ways:
        rows.append(_row(whisper, way, said, usual))
        print(rows[-1], flush=True)
    text = _HEAD.format(sentences=len(said), listed=len(LISTED), others=len(NOT_SAID))
    OUT.write_text(text + "\n".join(rows) + "\n", encoding="utf-8")


def read_aloud(weights_dir: Path) -> list[Said]:
    kokoro, espeak = KokoroSynthesiser(weights_dir), EspeakSynthesiser()
    found = []
    for language, sentences in SENTENCES.items():
        reader = kokoro if language in kokoro.capabilities.voices else espeak
        for voice in reader.capabilities.voices[language][:VOICES]:
            for sentence in sentences:
                text = _TERM.sub(r"\1", sentence)
                sound = reader.synthesise(text, language, voice, 1.0)
                samples = resample(sound, PLAYOUT_RATE, SPEECH_RATE)
                found.append(Said(language, text, tuple(_TERM.findall(sentence)), samples))
    return found


def _row(whisper: WhisperRecogniser, way: Way, said: Sequence[Said], usual: dict[str, str]) -> str:
    """usual: clip → transcript without a list, filled by the first way."""
    listener = Listener(whisper, way)
    heard = [listener.text(one.samples, one.language) for one in said]
    right = sum(t.casefold() in text.casefold() for text, s in zip(heard, said, strict=True)
                for t in s.terms)  # fmt: skip
    wer = sum(
        (word_errors(s.text, text, s.language) for text, s in zip(heard, said, strict=True)),
        WordErrors(),
    )
    errors, changed, false = WordErrors(), 0, 0
    for clip in clips():
        if clip.seconds > _LONGEST_S:
            continue
        text = listener.text(clip.samples, clip.language)
        if clip.transcript:
            errors += word_errors(clip.transcript, text, clip.language)
        elif clip.name in usual:
            changed += word_errors(usual[clip.name], text).errors
        usual.setdefault(clip.name, text)
        false += sum(bool(re.search(rf"\b{re.escape(t)}\b", text)) for t in (*NOT_SAID, *LISTED))
    invented = sum(len(words(listener.text(np.asarray(sound, np.float32), "en")))
                   for sound in non_speech().values())  # fmt: skip
    total = sum(len(s.terms) for s in said)
    spent = np.mean(listener.times[: len(said)]) * 1000
    return (
        f"| {way.name} | {right} of {total} | {wer.rate:.1%} | {errors.rate:.1%} | {changed} "
        f"| {false} | {invented} | {spent:.0f} ms |"
    )


_HEAD = """# Names and terms: what a list does to the recogniser

Whisper base; {sentences} sentences with uncommon names, read by two voices for each language in
English, French, Spanish, Italian (Kokoro) and German (espeak-ng); listed are the {listed} names
said and {others} others. "Search a / b": what the first token of a term and each further one is
worth. Recorded: the clips of shared/speech up to 8 s long, in which no listed name is said;
changed: words that differ from those heard without a list in recordings without a transcript.
Written by `python -m bench.glossary`, on a machine that was busy with other things.

| way | names right | word errors with names | recorded: word errors | changed | false names \
| words where nobody speaks | processor time a sentence |
|---|---|---|---|---|---|---|---|
"""

if __name__ == "__main__":
    main()
