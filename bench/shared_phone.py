"""Two people at one phone: is the right one of two languages heard, and never the loudspeaker?

Language: real speech cut to 1, 2 and 3 s, told apart among two languages that somebody may have
chosen. Loudspeaker: translations played beside the microphone, left over in several ways by an echo
canceller or by none, alone and while somebody talks over them; the microphone's sound goes through
voice activity, segmentation, Whisper and the search for the phone's own words as in a room.

    python -m bench.shared_phone
"""

from __future__ import annotations

import difflib
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from babblefish.audio import resample, rms, to_int16
from babblefish.engine.kokoro import KokoroSynthesiser
from babblefish.engine.own_echo import loudness, repeats
from babblefish.engine.segmenter import Ended, Segmenter
from babblefish.engine.spoken_language import weigh_languages
from babblefish.engine.stages import PLAYOUT_RATE, RecognitionRequest
from babblefish.engine.vad import FRAME, SileroVad
from babblefish.engine.whisper import WhisperRecogniser
from babblefish.protocol import Audio, Utterance
from babblefish.settings import load_settings
from bench.clips import SENTENCES
from bench.damage import RATE, across_the_room
from bench.speaker_corpus import load
from rooms.own_words import clean
from rooms.playout import FRAME as PLAYED_FRAME
from rooms.soundings import Recorded

_PAIR = ("es", "en")
_VOICES = {"es": ("ef_dora", "em_alex"), "en": ("af_heart", "am_michael")}
_ECHOES = {
    "no echo canceller, as loud as speech": (0, False),
    "no echo canceller, 12 dB below speech": (-12, False),
    "what a canceller leaves, 20 dB below": (-20, True),
    "what a canceller leaves, 30 dB below": (-30, True),
}
_SPEECH_RMS = 0.05
_NOISE_RMS = 0.0005
_DELAY = 0.35
"""seconds from the server's playing to the microphone's hearing it"""
_SENTENCES = 2
"""played in each language"""
_LONGEST = 3 * RATE
_SAME = 0.5
"""part of the clean transcript's letters by which what somebody said is recognised"""


@dataclass(frozen=True, slots=True)
class Played:
    language: str
    text: str
    samples: np.ndarray
    """16 kHz"""


class Table:
    """One phone and what it makes of its microphone's sound."""

    def __init__(self) -> None:
        weights = load_settings().weights_dir
        self.vad, self.whisper = SileroVad(weights), WhisperRecogniser(weights, threads=1)
        self.usual = 0.0
        """loudness of people at this phone"""
        self.random = np.random.default_rng(7)

    def utterances(self, samples: np.ndarray) -> Iterator[Utterance]:
        segmenter, found = Segmenter(), []
        for start in range(0, len(samples) - FRAME + 1, FRAME):
            frame = samples[start : start + FRAME]
            if start == 0:
                state = np.zeros((1, *self.vad.capabilities.state_shape), np.float32)
            probability, state = self.vad.probabilities(frame[None], state)
            found += segmenter.push(float(probability[0]), rms(frame))
        for decision in [*found, *segmenter.flush()]:
            if isinstance(decision, Ended):
                piece = Audio(samples[decision.start : decision.end], RATE)
                yield Utterance(
                    "u", "m", piece, decision.start / RATE, decision.voiced_end / RATE, among=_PAIR
                )

    def understood(self, samples: np.ndarray, among: tuple[str, ...] = _PAIR) -> str:
        return self.whisper.transcribe(samples, RecognitionRequest(among=among)).text

    def published(self, microphone: np.ndarray, played: Played, at: float) -> list[str]:
        """Texts of what the room would translate. at: when the translation began."""
        loud = to_int16(resample(played.samples, RATE, PLAYOUT_RATE))
        frames = list(loud[: len(loud) // PLAYED_FRAME * PLAYED_FRAME].reshape(-1, PLAYED_FRAME))
        recorded, texts = Recorded(at, frames, ("t", played.language), at), []
        for utterance in self.utterances(microphone):
            cleaned = clean(utterance, [recorded], [played.text], self.usual)
            text = self.understood(cleaned.utterance.audio.samples)
            if text and not repeats(text, cleaned.words):
                texts.append(text)
        return texts


def languages(table: Table) -> dict[str, str]:
    """Of each pair and length, how often the right one is heard."""
    spoken = {"es": [], "fr": [], "de": [], "it": [], "pt": [], "en": []}
    for speaker, recordings in load([]).items():
        name = speaker.removeprefix("reader of ")
        language = name[:2] if name[2:3] == "_" else "en"
        spoken[language] += recordings
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for seconds in (1.0, 2.0, 3.0):
        size = int(seconds * RATE)
        for language, recordings in spoken.items():
            for samples in recordings:
                for start in range(0, len(samples) - size + 1, size):
                    piece = samples[start : start + size]
                    if rms(piece) < 0.3 * rms(samples):
                        continue
                    heard = table.whisper.identify(piece)
                    openly = weigh_languages(heard, None, seconds)[0] == language
                    counts[f"{seconds:g} s, any language"]["right" if openly else "wrong"] += 1
                    for other in spoken.keys() - {language}:
                        right = weigh_languages(heard, None, seconds, (language, other))[0]
                        key = f"{seconds:g} s, one of two"
                        counts[key]["right" if right == language else "wrong"] += 1
    return {key: _share(found) for key, found in counts.items()}


def translations(table: Table) -> list[Played]:
    kokoro, found = KokoroSynthesiser(load_settings().weights_dir), []
    for language, number in itertools.product(_PAIR, range(_SENTENCES)):
        text = " ".join((SENTENCES[language][number], SENTENCES[language][(number + 1) % 4]))
        voice = _VOICES[language][number % 2]
        samples = resample(kokoro.synthesise(text, language, voice, 1.0), PLAYOUT_RATE, RATE)
        found.append(Played(language, text, samples))
    return found


def left_over(sound: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """What an echo canceller leaves: the beginning, then patches in time and frequency."""
    frame, hop = 512, 256
    padded = np.pad(sound, (frame, frame + -len(sound) % hop))
    window = np.hanning(frame + 1)[:-1]
    frames = np.lib.stride_tricks.sliding_window_view(padded, frame)[::hop] * window
    spectra = np.fft.rfft(frames, axis=1)
    coarse = random.random((len(spectra) // 6 + 1, spectra.shape[1] // 16 + 1)) < 0.3
    mask = np.repeat(np.repeat(coarse, 6, 0), 16, 1)[: len(spectra), : spectra.shape[1]]
    mask[: int(0.3 * RATE / hop) + 2] = True  # before it has adapted
    parts = np.fft.irfft(spectra * mask, frame, axis=1)
    out = np.zeros(len(padded))
    for number, part in enumerate(parts):
        out[number * hop : number * hop + frame] += part
    return out[frame : frame + len(sound)]


def echo(played: Played, seconds: float, level_db: float, damaged: bool, table: Table):
    """(n,) of a microphone that hears the loudspeaker from second 1 on."""
    sound = np.zeros(int(seconds * RATE), np.float32)
    sound[RATE : RATE + len(played.samples)] = played.samples[: len(sound) - RATE]
    arrived = across_the_room(sound, _DELAY, table.random, 0.3)
    arrived = left_over(arrived, table.random) if damaged else arrived
    gain = _SPEECH_RMS * 10 ** (level_db / 20) / rms(played.samples)
    return arrived * gain + table.random.normal(size=len(arrived)) * _NOISE_RMS


def loudspeaker(
    table: Table, nears: list[tuple[str, np.ndarray]]
) -> Iterator[tuple[str, dict[str, str]]]:
    """For each kind of echo: (its name, case → how often it went right)."""
    played = translations(table)
    loud = [samples * _SPEECH_RMS / rms(samples) for _, samples in nears]
    table.usual = float(np.median([loudness(samples.astype(np.float32)) for samples in loud]))
    clean_texts = {name: table.understood(sound) for name, sound in nears}
    for name, (level, damaged) in _ECHOES.items():
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for sentence in played:
            length = len(sentence.samples) / RATE
            alone = echo(sentence, length + 4, level, damaged, table).astype(np.float32)
            heard = table.published(alone, sentence, 1.0)
            counts["alone: nothing is translated"]["no" if heard else "right"] += 1
            for near, samples in nears:
                for case, begins in (("over it", 1.0 + 0.5 * length), ("after it", 1.6 + length)):
                    total = max(begins + len(samples) / RATE + 2, length + 4)
                    mixed = echo(sentence, total, level, damaged, table)
                    first = int(begins * RATE)
                    mixed[first : first + len(samples)] += samples * _SPEECH_RMS / rms(samples)
                    texts = table.published(mixed.astype(np.float32), sentence, 1.0)
                    kept = max((_alike(clean_texts[near], text) for text in texts), default=0.0)
                    right = "right" if kept >= _SAME else "no"
                    counts[f"somebody talks {case}: understood"][right] += 1
        yield name, {case: _share(found) for case, found in counts.items()}


def _alike(one: str, other: str) -> float:
    blocks = difflib.SequenceMatcher(None, one.casefold(), other.casefold(), autojunk=False)
    found = sum(block.size for block in blocks.get_matching_blocks() if block.size >= 3)
    return found / max(1, len(one))


def _share(counts: Counter[str]) -> str:
    total = sum(counts.values())
    return f"{100 * counts['right'] / max(1, total):.1f} % of {total}"


def main() -> None:
    table = Table()
    for key, share in languages(table).items():
        print(f"{key}: {share}")
    speakers = load([])
    nears = [
        (name, recordings[0][:_LONGEST])
        for name, recordings in speakers.items()
        if name in ("reader of es_sentence", "reader of en_sentence")
    ]
    for name, cases in loudspeaker(table, nears):
        print(name, flush=True)
        for case, share in cases.items():
            print(f"  {case}: {share}")


if __name__ == "__main__":
    main()
