"""What a stage of the engine is: five small interfaces, and their abilities as data.

A stage is a synchronous object that lives in a worker process (``workers.py``) and is called
with one job at a time; it never sees rooms, people or the event loop. Its ``capabilities`` are
plain data that the server process reads once the worker is ready, so that nothing is ever
probed with ``hasattr``. ``profiles.py`` says which classes make up a profile.

All audio a stage takes is mono float32 in [-1, 1] at ``SPEECH_RATE``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from babblefish.protocol import Quality, Word

SPEECH_RATE = 16_000
"""Hertz of everything that goes into a stage."""
PLAYOUT_RATE = 48_000
"""Hertz of everything that a synthesiser returns."""


@dataclass(frozen=True, slots=True)
class StageSpec:
    """How a worker process builds a stage. Picklable; importing nothing until used."""

    factory: str
    """"package.module:Class" """
    options: Mapping[str, Any] = field(default_factory=dict)
    """keyword arguments of the factory"""
    part: str = ""
    """where the factory builds several stages over one model, the attribute that this one is;
    specs that differ in nothing else share their processes"""


@dataclass(frozen=True, slots=True)
class SharedCapabilities:
    """Of an object that is several stages at once."""

    parts: Mapping[str, Any]
    """attribute of each stage → its capabilities"""


# --- voice activity -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class VadCapabilities:
    frame_samples: int
    """samples per frame at SPEECH_RATE"""
    state_shape: tuple[int, ...]
    """shape of one stream's state, float32, zeros at the start"""


class VoiceActivityDetector(Protocol):
    capabilities: VadCapabilities

    def probabilities(
        self, frames: np.ndarray, states: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """One frame of each of n streams.

        frames: (n, frame_samples) float32; states: (n, *state_shape) float32.
        Returns speech probabilities (n,) float32 and the new states. Keeps nothing.
        """
        ...


# --- recognition ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RecogniserCapabilities:
    languages: frozenset[str]
    """ISO 639-1 codes it transcribes"""
    translates_into: frozenset[str]
    """languages it can translate *speech* into directly"""
    max_seconds: float
    """longest audio it accepts in one call"""
    translation_quality: Quality = "basic"
    """of its speech translation"""
    batch: int = 1
    """utterances that it takes at once; above 1 it has ``transcribe_batch``, which takes a list of
    (audio, request) and returns a list of recognitions or errors"""
    glossary: bool = False
    """whether a request's ``glossary`` helps it"""
    word_times: frozenset[str] = frozenset()
    """languages in which it can say when each word of a text was said, with ``align`` (see
    ``WordTimer``); empty: it has no such method"""


@dataclass(frozen=True, slots=True)
class RecognitionRequest:
    language: str | None = None
    """declared language: a prior, or an order when ``language_fixed``"""
    language_fixed: bool = False
    translate_into: tuple[str, ...] = ()
    """speech translation wanted, each in ``translates_into``; skipped where it equals the
    language that turns out to be spoken"""
    translate_when: frozenset[str] | None = None
    """translate only if the language spoken is one of these; None: always"""
    draft: bool = False
    """a quick look at unfinished speech: lower accuracy is fine, speed matters"""
    context: str = ""
    """text said just before"""
    glossary: tuple[str, ...] = ()
    """names and terms that may be said, spelt as they are to be written"""
    among: tuple[str, ...] = ()
    """the only languages that may be spoken; empty: any"""


@dataclass(frozen=True, slots=True)
class Recognition:
    text: str
    """empty when nothing intelligible was said (noise, music, silence)"""
    language: str
    language_probability: float
    confidence: float
    """mean token probability, 0..1"""
    no_speech_probability: float
    translations: Mapping[str, str] = field(default_factory=dict)


class Recogniser(Protocol):
    capabilities: RecogniserCapabilities

    def transcribe(self, audio: np.ndarray, request: RecognitionRequest) -> Recognition:
        """audio: (n,) float32 at SPEECH_RATE, n ≥ 1.

        Raises RecognitionError("bad_audio") for empty or non-finite input or more than
        ``max_seconds``, RecognitionError("language") for a language it does not know.
        """
        ...


@dataclass(frozen=True, slots=True)
class Alignment:
    """When the words of a text were said."""

    words: tuple[Word, ...]
    """of the text's beginning, in order, seconds from the beginning of the audio; never overlapping
    or going back"""
    used: int
    """how many characters of the text they and the spaces after them are; 0 where it found none"""


class WordTimer(Protocol):
    """What a ``Recogniser`` can do besides, where its capabilities have ``word_times``."""

    def align(self, audio: np.ndarray, text: str, language: str, whole: bool) -> Alignment:
        """audio: as for ``Recogniser.transcribe``. text: what is said in it; if ``whole``, all of
        it, else its beginning is, and how much of it is found out.

        Finds no word where the text is too long for the audio, or none of it is spoken. Raises
        RecognitionError("bad_audio"), or RecognitionError("language") for a language that is not
        in ``word_times``.
        """
        ...


# --- translation ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TranslatorCapabilities:
    pairs: Mapping[tuple[str, str], Quality]
    """(source, target) → how good it is"""
    stand_ins: tuple[str, ...] = ()
    """names that it knows and leaves as they are: with one of them in place of a term that it
    does not know, it builds a better sentence"""

    @classmethod
    def among(cls, known: Iterable[str]) -> TranslatorCapabilities:
        """Of a model that translates each of these languages well into every other."""
        return cls(dict.fromkeys(itertools.permutations(known, 2), "good"))


class Translator(Protocol):
    capabilities: TranslatorCapabilities

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """Same length and order as ``texts``.

        Raises TranslationError("pair") for a pair not in ``capabilities.pairs``.
        """
        ...

    def prepare(self, source: str, target: str) -> None:
        """This pair will be wanted soon: begin loading what it takes. Returns at once; does
        nothing for a pair that is not served."""
        ...


# --- synthesis ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SynthesiserCapabilities:
    voices: Mapping[str, tuple[str, ...]]
    """language → voice names, best first. A voice name is opaque to everybody else."""
    quality: Quality
    on_demand: bool = False
    """languages are loaded when first used, or in advance by ``prepare``"""
    speeds: tuple[float, float] = (0.5, 2.0)
    """slowest and fastest that stay intelligible; others are clamped"""


class Synthesiser(Protocol):
    capabilities: SynthesiserCapabilities

    def synthesise(self, text: str, language: str, voice: str, speed: float) -> np.ndarray:
        """One clause → (n,) float32 at PLAYOUT_RATE, leading and trailing silence trimmed.

        speed: 1.0 is natural, 1.2 a fifth faster. Empty array for text without anything to say.
        Raises SynthesisError("language" | "voice" | "bad_audio").
        """
        ...

    def prepare(self, language: str) -> None:
        """Somebody hears this language now: load what speaking it takes. Does nothing for a
        language that is not spoken."""
        ...


# --- speakers -------------------------------------------------------------------------------


_MOST_EVIDENCE = 12.0
"""bound of a log-likelihood ratio: further out nothing was measured"""


@dataclass(frozen=True, slots=True)
class LikelihoodRatio:
    """Similarity of two voiceprints → log-likelihood ratio (natural logarithm) of "one person"
    against "two": a parabola, as the similarities of one person's voiceprints scatter more widely
    than those of two people's. It depends on how little speech there is:
    u = 1 / seconds + 1 / known seconds."""

    curve: float
    """where it is negative, so little that the ratio still rises up to a similarity of 1"""
    slope: float
    slope_short: float
    """added to the slope for each unit of u"""
    offset: float
    offset_short: float

    def of(self, similarity: float, seconds: float, known_seconds: float) -> float:
        """seconds: of the utterance; known_seconds: of the speech it is compared with. Beyond
        what was measured (1 … 10 s) they count as the nearest that was."""
        u = 1 / min(10.0, max(1.0, seconds)) + 1 / min(10.0, max(1.0, known_seconds))
        slope = self.slope + self.slope_short * u
        if self.curve > 0:  # less similar is never likelier
            similarity = max(similarity, -slope / (2 * self.curve))
        ratio = (self.curve * similarity + slope) * similarity + self.offset + self.offset_short * u
        return min(_MOST_EVIDENCE, max(-_MOST_EVIDENCE, ratio))


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the similarity of two voiceprints is worth. It is the cosine of the angle between
    them as seen from the average voice, which all have in common."""

    average: tuple[float, ...]
    """voiceprint; empty where similarity is counted from zero"""
    here: LikelihoodRatio
    """of speech from one microphone, minutes apart"""
    elsewhere: LikelihoodRatio
    """of speech from different microphones and rooms, as an enrolment is"""


@dataclass(frozen=True, slots=True)
class SpeakerEncoderCapabilities:
    name: str
    """of the network: voiceprints of different ones cannot be compared"""
    dimension: int
    min_seconds: float
    """shorter audio has no dependable voiceprint"""
    same_speaker: Mapping[float, float]
    """seconds of speech → cosine similarity from which two embeddings are one person"""
    calibration: Calibration | None = None
    """None where it was never measured with real voices"""


class SpeakerEncoder(Protocol):
    capabilities: SpeakerEncoderCapabilities

    def embed(self, audio: np.ndarray) -> np.ndarray:
        """(n,) float32 at SPEECH_RATE → (dimension,) float32 of length 1.

        Raises SpeakerError("too_short") below ``min_seconds``, SpeakerError("bad_audio") for
        silence or non-finite samples.
        """
        ...
