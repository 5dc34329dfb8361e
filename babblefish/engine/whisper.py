"""Whisper on CTranslate2: speech to text, and speech to English text, from one encoding.

Most of what a short utterance costs with the usual wrappers is the encoder's fixed 30 s window
and decoding again at rising temperatures. This module encodes just enough window for the clip,
decodes once with a beam, and looks again through the full window only when the result is broken.
It does not know where utterances start or end, nor how text is translated.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

import ctranslate2
import numpy as np
import tokenizers
from faster_whisper.feature_extractor import FeatureExtractor
from faster_whisper.tokenizer import _LANGUAGE_CODES, Tokenizer

from babblefish.audio import check_speech, decibels, match_loudness, rms
from babblefish.engine import interruption
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
    RecogniserCapabilities,
    Recognition,
    RecognitionRequest,
)
from babblefish.engine.vad import FRAME, SileroVad
from babblefish.errors import RecognitionError, WeightsError

FULL_WINDOW = 3000
"""frames of 10 ms that the model was trained with"""
WINDOWS = (1200, 1500, 2000, FULL_WINDOW)
"""frames; windows below 1200 make the decoder loop, see bench"""
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
_POLL_S = 0.002
"""how often decoding looks whether it should be given up"""
_CONTEXT_TOKENS = 100
_TOKENS_PER_SECOND = {"latin": 11.0, "other": 25.0}
_TOKENS_SPARE = 14


@dataclass(frozen=True, slots=True)
class _Decoded:
    evidence: Evidence
    broken: bool


class WhisperRecogniser:
    """A ``Recogniser``.

    Encoding uses all ``threads``; decoding is a chain of small steps that extra threads only slow
    down, so each decoding gets one thread, and transcript and translation run side by side.
    """

    def __init__(
        self, weights_dir: Path | str, threads: int = 2, size: str = "base", beam: int = 5
    ) -> None:
        """Raises WeightsError("missing" | "broken")."""
        path = Path(weights_dir) / f"whisper-{size}"
        for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.txt"):
            if not (path / name).is_file():
                raise WeightsError(
                    "missing", f"{path / name} is missing. Run `make run` to fetch it."
                )
        try:
            self._encoder, self._decoder = (
                ctranslate2.models.Whisper(
                    str(path), device="cpu", compute_type="int8", intra_threads=intra,
                    inter_threads=inter,
                )
                for intra, inter in ((max(1, threads), 1), (1, min(2, max(1, threads))))
            )  # fmt: skip
            vocabulary = tokenizers.Tokenizer.from_file(str(path / "tokenizer.json"))
        except Exception as error:
            raise WeightsError(
                "broken", f"{path} cannot be loaded. Delete it and run `make run` again."
            ) from error
        self._beam = beam
        self._vad = SileroVad(weights_dir)
        self._features = FeatureExtractor(feature_size=self._encoder.n_mels)
        languages = [
            code for code in _LANGUAGE_CODES if vocabulary.token_to_id(f"<|{code}|>") is not None
        ]
        self._tokenizers = {
            (code, task): Tokenizer(vocabulary, True, task, code)
            for code in languages
            for task in ("transcribe", "translate")
        }
        any_language = self._tokenizers["en", "transcribe"]
        self._suppress = sorted(
            {
                *any_language.non_speech_tokens,
                any_language.transcribe,
                any_language.translate,
                any_language.sot,
                any_language.sot_prev,
                any_language.sot_lm,
                any_language.no_speech,
            }
        )
        self.capabilities = RecogniserCapabilities(
            languages=frozenset(languages),
            translates_into=frozenset({"en"}),
            max_seconds=MAX_SECONDS,
        )
        self._warm_up()

    def transcribe(self, audio: np.ndarray, request: RecognitionRequest) -> Recognition:
        """See ``Recogniser.transcribe``."""
        samples = check_speech(audio, RecognitionError)
        self._check(samples, request)
        loudest = _loudest(samples)
        if len(samples) < _SHORTEST * SPEECH_RATE or decibels(loudest) < _SILENT_DB:
            return _nothing(request)
        if decibels(loudest) < _QUIET_DB:
            samples = match_loudness(samples)
        listening = _Listening(self, samples, request)
        return listening.run()

    def _check(self, samples: np.ndarray, request: RecognitionRequest) -> None:
        if len(samples) > MAX_SECONDS * SPEECH_RATE:
            raise RecognitionError(
                "bad_audio",
                f"The audio is longer than {MAX_SECONDS:.0f} seconds. Cut it into utterances.",
            )
        if request.language is not None and request.language not in self.capabilities.languages:
            raise RecognitionError(
                "language", f"Speech in {request.language!r} is not recognised. Choose another."
            )
        if request.language_fixed and request.language is None:
            raise RecognitionError("language", "A fixed language must be named.")

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
        self._features = recogniser._features(samples)
        self._beam = 1 if request.draft else recogniser._beam

    def run(self) -> Recognition:
        request = self._request
        window = _window(self._features.shape[1], DRAFT_WINDOWS if request.draft else WINDOWS)
        encoded = self._encode(window)
        language, probability, transcript, english = self._first_pass(encoded)
        if transcript.broken and not request.draft and window < FULL_WINDOW:
            encoded = self._encode(FULL_WINDOW)
            again = self._finish(self._start(encoded, language, "transcribe"), language)
            transcript = _better(transcript, again)
        text = unloop(transcript.evidence.text)
        if not self._is_speech(transcript, text):
            return _nothing(request, language, probability, transcript.evidence.no_speech)
        translations = {}
        if self._wants_english(language):
            translations["en"] = self._translate(encoded, language, english)
        return Recognition(
            text, language, probability, transcript.evidence.confidence,
            transcript.evidence.no_speech, translations,
        )  # fmt: skip

    def _first_pass(self, encoded) -> tuple[str, float, _Decoded, _Decoded | None]:
        """Decode in the declared language while checking that it is the one spoken."""
        declared = self._request.language
        if declared is None:
            language, probability = self._identify(encoded)
            jobs = self._start_all(encoded, language)
        else:
            language, probability = declared, 1.0
            jobs = self._start_all(encoded, declared)
            if not (self._request.language_fixed or self._request.draft):
                language, probability = self._identify(encoded)
                if language != declared:
                    jobs = self._start_all(encoded, language)
        transcript = self._finish(jobs[0], language)
        english = self._finish(jobs[1], "en") if len(jobs) > 1 else None
        return language, probability, transcript, english

    def _start_all(self, encoded, language: str) -> list:
        jobs = [self._start(encoded, language, "transcribe")]
        if self._wants_english(language):
            jobs.append(self._start(encoded, language, "translate"))
        return jobs

    def _translate(self, encoded, language: str, first: _Decoded | None) -> str:
        if first is None or first.broken:
            again = self._finish(self._start(encoded, language, "translate"), "en")
            first = _better(first, again) if first else again
        return unloop(first.evidence.text)

    def _wants_english(self, language: str) -> bool:
        request = self._request
        return (
            "en" in request.translate_into
            and language != "en"
            and (not request.draft or self._seconds >= _TRANSLATED_DRAFT)
            and (request.translate_when is None or language in request.translate_when)
        )

    def _encode(self, window: int) -> ctranslate2.StorageView:
        features = self._features
        padded = np.full((1, features.shape[0], window), features.min(), np.float32)
        used = min(features.shape[1], window)
        padded[0, :, :used] = features[:, :used]
        interruption.check()
        encoded = self._of._encoder.encode(ctranslate2.StorageView.from_array(padded))
        interruption.check()
        return encoded

    def _identify(self, encoded) -> tuple[str, float]:
        """The language spoken: what was heard weighed against what was declared."""
        heard = {
            token[2:-2]: probability
            for token, probability in self._of._decoder.detect_language(encoded)[0]
        }
        return weigh_languages(heard, self._request.language, self._seconds)

    def _start(self, encoded, language: str, task: str):
        tokenizer = self._of._tokenizers[language, task]
        prompt = [*tokenizer.sot_sequence, tokenizer.no_timestamps]
        context = self._request.context.strip()
        if context:
            words = tokenizer.encode(" " + context)[-_CONTEXT_TOKENS:]
            prompt = [tokenizer.sot_prev, *words, *prompt]
        return self._of._decoder.generate(
            encoded,
            [prompt],
            asynchronous=True,
            beam_size=self._beam,
            max_length=min(448, len(prompt) + self._token_limit(language, task)),
            suppress_tokens=self._of._suppress,
            return_scores=True,
            return_no_speech_prob=True,
        )[0]

    def _token_limit(self, language: str, task: str) -> int:
        other = task == "transcribe" and language in NON_LATIN
        per_second = _TOKENS_PER_SECOND["other" if other else "latin"]
        return int(_TOKENS_SPARE + self._seconds * per_second)

    def _finish(self, job, language: str) -> _Decoded:
        """``language``: that of the text."""
        while not job.done():
            interruption.check()
            time.sleep(_POLL_S)
        result = job.result()
        tokens = result.sequences_ids[0]
        tokenizer = self._of._tokenizers[language, "transcribe"]
        evidence = Evidence(
            text=tidy(tokenizer.decode(tokens)),
            tokens=len(tokens),
            seconds=self._seconds,
            confidence=min(1.0, math.exp(result.scores[0])),
            no_speech=result.no_speech_prob,
        )
        return _Decoded(evidence, is_broken(evidence, self._token_limit(language, "transcribe")))

    def _is_speech(self, transcript: _Decoded, text: str) -> bool:
        """Whether to believe that somebody said ``text``."""
        evidence = transcript.evidence
        if not text:
            return False
        if not (transcript.broken or is_doubtful(evidence)):
            return True
        voiced = _voiced_seconds(self._of._vad, self._samples)
        if voiced < 0.1:
            return False
        if evidence.confidence < 0.25 and (transcript.broken or evidence.no_speech > 0.4):
            return False
        return not (is_often_invented(text) and evidence.no_speech > 0.6 and voiced < 0.25)


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
    padded = np.pad(samples, (0, -len(samples) % FRAME)).reshape(-1, 1, FRAME)
    state = np.zeros((1, *vad.capabilities.state_shape), np.float32)
    voiced = 0
    for frame in padded:
        probability, state = vad.probabilities(frame, state)
        voiced += bool(probability[0] > 0.5)
    return voiced * FRAME / SPEECH_RATE


def _nothing(
    request: RecognitionRequest,
    language: str | None = None,
    probability: float = 0.0,
    no_speech: float = 1.0,
) -> Recognition:
    return Recognition("", language or request.language or "en", probability, 0.0, no_speech)
