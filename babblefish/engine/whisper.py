"""Whisper: speech to text, and speech to English text, from one encoding.

Most of what a short utterance costs with the usual wrappers is the encoder's fixed 30 s window
and decoding again at rising temperatures. This module encodes just enough window for the clip,
finds the language, decodes transcript and translation together, once and with a beam, and looks
again through the full window only when the result is broken. It does not know where utterances
start or end, nor how text is translated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import tokenizers
from faster_whisper.feature_extractor import FeatureExtractor
from faster_whisper.tokenizer import _LANGUAGE_CODES, Tokenizer

from babblefish.audio import decibels, match_loudness, rms
from babblefish.engine import interruption, recognition_request
from babblefish.engine.beam_search import Hypothesis, search
from babblefish.engine.doubts import (
    Evidence,
    is_broken,
    is_doubtful,
    is_often_invented,
    tidy,
    unloop,
)
from babblefish.engine.spoken_language import NON_LATIN, weigh_languages
from babblefish.engine.stages import (
    SPEECH_RATE,
    Alignment,
    RecogniserCapabilities,
    Recognition,
    RecognitionRequest,
)
from babblefish.engine.term_bias import Expecting, Terms, Weights
from babblefish.engine.vad import FRAME, SileroVad
from babblefish.engine.whisper_model import Encoding, Prompted, Tokens, WhisperModel
from babblefish.engine.word_timing import WordTiming, following_heads
from babblefish.errors import WeightsError

FULL_WINDOW = 3000
"""frames of 10 ms that the model was trained with"""
WINDOWS = (1200, 1500, 2000, FULL_WINDOW)
"""frames; windows below 1200 make the decoder loop (most of their silence costs nothing)"""
DRAFT_WINDOWS = (1000, *WINDOWS)
_MARGIN = 130
"""frames of silence that must follow the clip inside its window"""
MAX_SECONDS = 30.0
_SHORTEST = 0.1
"""seconds; less holds no word"""
_SILENT_DB = -62.0
"""dBFS; if the loudest 30 ms are below this, nobody spoke"""
_QUIET_DB = -32.0
"""dBFS; speech below this is amplified"""
_TRANSLATED_DRAFT = 1.2
"""seconds from which a draft is translated too; the first look at a sentence must be quick"""
_CONTEXT_TOKENS = 100
_IDENTIFY_SECONDS = 8.0
"""of speech that tell a language as well as more would"""
_TOKENS_PER_SECOND = {"latin": 11.0, "other": 25.0}
_TOKENS_SPARE = 14
_UNSPACED = frozenset({"ja", "zh", "yue", "th", "lo", "km", "my"})
"""languages that put no spaces between words"""
_SPACE = "Ġ"
"""how tokens are listed that begin with a space"""


@dataclass(frozen=True, slots=True)
class _Decoded:
    evidence: Evidence
    broken: bool


class WhisperRecogniser:
    """A ``Recogniser``."""

    def __init__(
        self, weights_dir: Path | str, threads: int = 2, size: str = "base", beam: int = 5
    ) -> None:
        """Raises WeightsError("missing" | "broken")."""
        path = Path(weights_dir) / f"whisper-{size}"
        for name in ("model.bin", "tokenizer.json"):
            if not (path / name).is_file():
                raise WeightsError(
                    "missing", f"{path / name} is missing. Run `make run` to fetch it."
                )
        try:
            self.model = WhisperModel(
                path / "model.bin", max(1, threads), 2 * beam, following_heads(path)
            )
            vocabulary = tokenizers.Tokenizer.from_file(str(path / "tokenizer.json"))
        except Exception as error:
            raise WeightsError(
                "broken", f"{path} cannot be loaded. Delete it and run `make run` again."
            ) from error
        self.beam = beam
        self.vad = SileroVad(weights_dir, whole_clips=True)
        self.features = FeatureExtractor(feature_size=self.model.mels)
        tokens = {code: vocabulary.token_to_id(f"<|{code}|>") for code in _LANGUAGE_CODES}
        self.languages = {code: token for code, token in tokens.items() if token is not None}
        """code → its token"""
        self.tokenizers = {
            (code, task): Tokenizer(vocabulary, True, task, code)
            for code in self.languages
            for task in ("transcribe", "translate")
        }
        self.tokens = _vocabulary(self.tokenizers["en", "transcribe"], self.model.vocabulary)
        self.word_timing = WordTiming(self.model, self.tokens)
        self.weights = Weights()
        """of the terms that a request expects"""
        self._listed: tuple[tuple[tuple[str, ...], str], list[list[int]]] = ((), ""), []
        """the last glossary, and how the space before words is written; its tokens"""
        self._inside_word = _inside_word(vocabulary, self.model.vocabulary)
        self.capabilities = RecogniserCapabilities(
            languages=frozenset(self.languages),
            translates_into=frozenset({"en"}),
            max_seconds=MAX_SECONDS,
            glossary=True,
            word_times=frozenset(self.languages),
        )
        self._warm_up()

    def transcribe(self, audio: np.ndarray, request: RecognitionRequest) -> Recognition:
        """See ``Recogniser.transcribe``."""
        samples = recognition_request.checked(audio, request, self.capabilities)
        loudest = _loudest(samples)
        if len(samples) < _SHORTEST * SPEECH_RATE or decibels(loudest) < _SILENT_DB:
            return _nothing(request)
        if decibels(loudest) < _QUIET_DB:
            samples = match_loudness(samples)
        return _Listening(self, samples, request).run()

    def align(self, audio: np.ndarray, text: str, language: str, whole: bool) -> Alignment:
        """See ``WordTimer.align``."""
        request = RecognitionRequest(language, language_fixed=True)
        samples = recognition_request.checked(audio, request, self.capabilities)
        if len(samples) < _SHORTEST * SPEECH_RATE:
            return Alignment((), 0)
        voiced = self.vad.whole(samples)
        if decibels(_loudest(samples)) < _QUIET_DB:
            samples = match_loudness(samples)
        return _Listening(self, samples, request).align(text, voiced, whole)

    def identify(self, samples: np.ndarray) -> dict[str, float]:
        """Probability of each language in (n,) float32 of speech, of which the beginning counts."""
        longest = int(_IDENTIFY_SECONDS * SPEECH_RATE)
        return _Listening(self, samples[:longest], RecognitionRequest()).languages()

    def terms(self, glossary: tuple[str, ...], language: str) -> Terms:
        """``glossary`` as what a transcript in ``language`` may say."""
        space = "" if language in _UNSPACED else " "
        if self._listed[0] != (glossary, space):
            forms = {form for term in glossary for form in (term, term[:1].upper() + term[1:])}
            encode = self.tokenizers["en", "transcribe"].encode
            tokens = [encode(space + form) for form in sorted(forms)]
            self._listed = (glossary, space), tokens
        return Terms(self._listed[1], self._inside_word, self.weights)

    def _warm_up(self) -> None:
        noise = np.random.default_rng(0).normal(0, 0.05, SPEECH_RATE).astype(np.float32)
        self.transcribe(noise, RecognitionRequest(language="en", language_fixed=True))


class _Listening:
    """One clip's way through the model."""

    def __init__(
        self, recogniser: WhisperRecogniser, samples: np.ndarray, request: RecognitionRequest
    ) -> None:
        self._of, self._samples, self._request = recogniser, samples, request
        self._seconds = len(samples) / SPEECH_RATE
        self._features = recogniser.features(samples)
        self._beam = 1 if request.draft else recogniser.beam

    def run(self) -> Recognition:
        request = self._request
        window = _window(self._features.shape[1], DRAFT_WINDOWS if request.draft else WINDOWS)
        encoding = self._encode(window)
        heard, no_speech = self._first_look(encoding)
        language, probability = self._language(heard)
        transcript, english = self._decode(encoding, language, no_speech)
        if transcript.broken and not request.draft and window < FULL_WINDOW:
            again, english_again = self._decode(self._encode(FULL_WINDOW), language, no_speech)
            transcript = _better(transcript, again)
            if english and english_again:
                english = _better(english, english_again)
        text = unloop(transcript.evidence.text)
        if not self._is_speech(transcript, text):
            return _nothing(request, language, probability, no_speech)
        return Recognition(
            text, language, probability, transcript.evidence.confidence, no_speech,
            {"en": unloop(english.evidence.text)} if english else {},
        )  # fmt: skip

    def align(self, text: str, voiced: np.ndarray, whole: bool) -> Alignment:
        """voiced: how likely it is that somebody speaks in each FRAME."""
        language = self._request.language or "en"
        window = _window(self._features.shape[1], WINDOWS)
        return self._of.word_timing.align(
            partial(self._encode, window), self._seconds, voiced, text,
            self._of.tokenizers[language, "transcribe"], language not in _UNSPACED,
            None if whole else self._token_limit(language),
        )  # fmt: skip

    def languages(self) -> dict[str, float]:
        return self._first_look(self._encode(_window(self._features.shape[1], DRAFT_WINDOWS)))[0]

    def _encode(self, window: int) -> Encoding:
        features = self._features
        frames = min(window, (features.shape[1] + _MARGIN) // 2 * 2)
        padded = np.full((1, features.shape[0], frames), features.min(), np.float32)
        used = min(features.shape[1], frames)
        padded[0, :, :used] = features[:, :used]
        return self._of.model.encode(padded, window)

    def _first_look(self, encoding: Encoding) -> tuple[dict[str, float], float]:
        """Probability of each language, and that nobody speaks. Of the clip alone: what was said
        before it (``context``) has no say in this."""
        tokenizer = self._of.tokenizers["en", "transcribe"]
        everything = np.zeros((1, self._of.model.vocabulary), np.float32)
        interruption.check()
        step = self._of.model.begin(encoding, np.array([[tokenizer.sot]]), [0], everything)
        probabilities = np.exp(step.all_scores.numpy()[0])
        codes = self._of.languages
        total = sum(probabilities[token] for token in codes.values())
        heard = {code: float(probabilities[token] / total) for code, token in codes.items()}
        return heard, float(probabilities[tokenizer.no_speech])

    def _language(self, heard: dict[str, float]) -> tuple[str, float]:
        """What was heard weighed against what was declared."""
        declared = self._request.language
        if declared is not None and (self._request.language_fixed or self._request.draft):
            return declared, 1.0
        return weigh_languages(heard, declared, self._seconds, self._request.among)

    def _decode(
        self, encoding: Encoding, language: str, no_speech: float
    ) -> tuple[_Decoded, _Decoded | None]:
        """Transcript, and translation into English where it is wanted."""
        tasks = ["transcribe", "translate"] if self._wants_english(language) else ["transcribe"]
        limit = self._token_limit(language)
        prompts = [self._prompt(language, task) for task in tasks]
        writer = Prompted(self._of.model, encoding, prompts, self._of.tokens)
        terms = self._of.terms(self._request.glossary, language)
        found = search(
            Expecting(writer, terms) if terms else writer,
            [writer.limit(limit)] * len(prompts), end=self._of.tokens.end,
            beam=self._beam, between=interruption.check,
        )  # fmt: skip
        judged = [self._judge(hypothesis, terms, no_speech, limit) for hypothesis in found]
        return judged[0], judged[1] if len(judged) > 1 else None

    def _wants_english(self, language: str) -> bool:
        request = self._request
        return (
            "en" in request.translate_into
            and language != "en"
            and (not request.draft or self._seconds >= _TRANSLATED_DRAFT)
            and (request.translate_when is None or language in request.translate_when)
        )

    def _prompt(self, language: str, task: str) -> list[int]:
        tokenizer = self._of.tokenizers[language, task]
        prompt = [*tokenizer.sot_sequence, tokenizer.no_timestamps]
        context = self._request.context.strip()
        if context:
            words = tokenizer.encode(" " + context)[-_CONTEXT_TOKENS:]
            prompt = [tokenizer.sot_prev, *words, *prompt]
        return prompt

    def _token_limit(self, language: str) -> int:
        per_second = _TOKENS_PER_SECOND["other" if language in NON_LATIN else "latin"]
        return int(_TOKENS_SPARE + self._seconds * per_second)

    def _judge(
        self, hypothesis: Hypothesis, terms: Terms, no_speech: float, limit: int
    ) -> _Decoded:
        text = self._of.tokenizers["en", "transcribe"].decode(hypothesis.tokens)
        extra = terms.given(tuple(hypothesis.tokens)) / max(1, len(hypothesis.tokens))
        evidence = Evidence(
            text=tidy(text),
            tokens=len(hypothesis.tokens),
            seconds=self._seconds,
            confidence=min(1.0, math.exp(hypothesis.score - extra)),
            no_speech=no_speech,
        )
        return _Decoded(evidence, not hypothesis.complete or is_broken(evidence, limit))

    def _is_speech(self, transcript: _Decoded, text: str) -> bool:
        """Whether to believe that somebody said ``text``."""
        evidence = transcript.evidence
        if not text:
            return False
        if not (transcript.broken or is_doubtful(evidence)):
            return True
        voiced = _voiced_seconds(self._of.vad, self._samples)
        if voiced < 0.1:
            return False
        if evidence.confidence < 0.25 and (transcript.broken or evidence.no_speech > 0.4):
            return False
        return not (is_often_invented(text) and evidence.no_speech > 0.6 and voiced < 0.25)


def _vocabulary(tokenizer: Tokenizer, size: int) -> Tokens:
    suppressed = np.zeros((1, size), np.float32)
    suppressed[0, list(tokenizer.non_speech_tokens)] = -np.inf
    special = ("transcribe", "translate", "sot", "sot_prev", "sot_lm", "no_speech")
    suppressed[0, [getattr(tokenizer, name) for name in special]] = -np.inf
    suppressed_first = suppressed.copy()
    suppressed_first[0, [tokenizer.eot, *tokenizer.encode(" ")]] = -np.inf
    allowed = np.zeros((1, size), np.float32)
    allowed[0, tokenizer.eot + 1 :] = -np.inf
    return Tokens(tokenizer.eot, suppressed, suppressed_first, allowed)


def _inside_word(vocabulary: tokenizers.Tokenizer, size: int) -> np.ndarray:
    """bool (size,): tokens that go on with the word before them."""
    names = [vocabulary.id_to_token(number) or "<" for number in range(size)]
    return np.array([name[0] != _SPACE and name[0].isalnum() for name in names])


def _window(frames: int, windows: tuple[int, ...]) -> int:
    return next((w for w in windows if frames + _MARGIN <= w), FULL_WINDOW)


def _better(first: _Decoded, second: _Decoded) -> _Decoded:
    if first.broken != second.broken:
        return second if first.broken else first
    return max(first, second, key=lambda d: d.evidence.confidence)


def _loudest(samples: np.ndarray) -> float:
    """RMS of the loudest 30 ms."""
    frame = 480
    if len(samples) < frame:
        return rms(samples)
    frames = samples[: len(samples) // frame * frame].reshape(-1, frame)
    return float(np.sqrt(np.mean(np.square(frames, dtype=np.float64), axis=1).max()))


def _voiced_seconds(vad: SileroVad, samples: np.ndarray) -> float:
    """How much of ``samples`` sounds like a voice."""
    return float(np.count_nonzero(vad.whole(samples) > 0.5)) * FRAME / SPEECH_RATE


def _nothing(
    request: RecognitionRequest,
    language: str | None = None,
    probability: float = 0.0,
    no_speech: float = 1.0,
) -> Recognition:
    return Recognition("", language or request.language or "en", probability, 0.0, no_speech)
