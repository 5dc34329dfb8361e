"""SeamlessM4T v2 as two stages over one set of weights: speech to text, and text to text.

An utterance is encoded once; its transcript and its translation into every language that somebody
reads are rows of one decoding. Utterances that wait at the same time are encoded and decoded
together. The model has known vices: it loops, invents sentences over a cough, and drops the end of
long speech. Each is looked for here, and what is broken is decoded again, differently. Speaking is
not its business: that is ``kokoro.py``'s and ``mms.py``'s.

Seamless cannot tell which language is spoken. Where that is open, Whisper's base model says so from
the same samples, meanwhile.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from babblefish.audio import match_loudness
from babblefish.engine import precision as precisions
from babblefish.engine import recognition_request
from babblefish.engine.doubts import is_often_invented
from babblefish.engine.precision import Precision
from babblefish.engine.seamless_codes import WRITTEN_ONLY, standard_codes
from babblefish.engine.seamless_decoding import Text, decode
from babblefish.engine.seamless_model import Row, SeamlessModel
from babblefish.engine.seamless_translator import SeamlessTranslator
from babblefish.engine.spoken_language import NON_LATIN, weigh_languages
from babblefish.engine.stages import (
    SPEECH_RATE,
    RecogniserCapabilities,
    Recognition,
    RecognitionRequest,
    SharedCapabilities,
)
from babblefish.engine.transformer import Encoding
from babblefish.engine.vad import FRAME
from babblefish.engine.whisper import WhisperRecogniser
from babblefish.errors import BabbleFishError, RecognitionError, WeightsError

FOLDER = "seamless-m4t-v2-large"
MAX_SECONDS = 30.0
_SHORTEST = 0.1
"""seconds; less holds no word"""
_LEAST_VOICED = 0.1
_LONGEST_PIECE = 13.0
"""seconds decoded in one go; the end of longer speech tends to be lost"""
_TOKENS_PER_SECOND = {"latin": 9.0, "other": 14.0}
_TOKENS_SPARE = 12
_LOST_BELOW = 1.0
"""tokens for each second of voice below which part of what was said is missing"""
_LOST_FROM_S = 4.0
"""seconds of voice from which that can be told"""
_LETTERS_SPARE, _LETTERS_PER_SECOND = 15, 35
"""nobody says more than that; the model may, over a cough"""


class Seamless:
    """The stages of one process: ``recogniser`` and ``translator``."""

    def __init__(
        self, weights_dir: Path | str, threads: int = 2,
        precision: Precision | Literal["auto"] = "auto", device: str = "auto", beam: int = 1,
        batch: int = 4,
    ) -> None:  # fmt: skip
        """device: cpu, cuda or auto. beam: hypotheses kept in decoding. batch: utterances at once.

        Raises WeightsError("missing" | "broken"), SettingsError("device" | "precision").
        """
        usable = precisions.usable_device(device)
        precisions.checked(precision, usable)
        folder = Path(weights_dir) / FOLDER
        if not (folder / "config.json").is_file():
            raise WeightsError("missing", f"{folder / 'config.json'} is missing. {_FIX}")
        try:
            model = SeamlessModel(folder, precision, threads, usable)
        except WeightsError as error:
            raise WeightsError(error.code, f"{error.message} {_FIX}") from error
        except (OSError, ValueError, KeyError) as error:
            raise WeightsError("broken", f"{folder} cannot be loaded. {_FIX}") from error
        self.model = model
        identifier = WhisperRecogniser(weights_dir, threads)
        self.recogniser = SeamlessRecogniser(model, identifier, beam, batch)
        self.translator = SeamlessTranslator(model, beam)
        self.capabilities = SharedCapabilities(
            {
                "recogniser": self.recogniser.capabilities,
                "translator": self.translator.capabilities,
            }
        )


_FIX = "Run `python app.py models fetch seamless`."


@dataclass(slots=True)
class _Utterance:
    """One clip on its way to a Recognition."""

    samples: np.ndarray
    request: RecognitionRequest
    voice: np.ndarray
    """speech probability of each VAD frame"""
    language: str = ""
    probability: float = 1.0
    targets: list[str] = field(default_factory=list)
    pieces: list[np.ndarray] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return len(self.samples) / SPEECH_RATE

    @property
    def voiced(self) -> float:
        """seconds"""
        return float(np.count_nonzero(self.voice > 0.5)) * FRAME / SPEECH_RATE


class SeamlessRecogniser:
    """A ``Recogniser``. It cannot be told what to expect: a request's ``context`` has no effect."""

    def __init__(
        self, model: SeamlessModel, identifier: WhisperRecogniser, beam: int, batch: int
    ) -> None:
        self._model, self._identifier, self._beam = model, identifier, beam
        self._codes = standard_codes(model.languages)
        written = frozenset(self._codes)
        self.capabilities = RecogniserCapabilities(
            languages=written - WRITTEN_ONLY, translates_into=written, max_seconds=MAX_SECONDS,
            translation_quality="good", batch=batch,
        )  # fmt: skip
        self._meanwhile = ThreadPoolExecutor(1, "language")

    def transcribe(self, audio: np.ndarray, request: RecognitionRequest) -> Recognition:
        """See ``Recogniser.transcribe``."""
        (found,) = self.transcribe_batch([(audio, request)])
        if isinstance(found, BabbleFishError):
            raise found
        return found

    def transcribe_batch(
        self, jobs: Sequence[tuple[np.ndarray, RecognitionRequest]]
    ) -> list[Recognition | BabbleFishError]:
        """See ``RecogniserCapabilities.batch``."""
        results: dict[int, Recognition | BabbleFishError] = {}
        utterances: dict[int, _Utterance] = {}
        for number, (audio, request) in enumerate(jobs):
            try:
                utterance = self._checked(audio, request)
            except RecognitionError as error:
                results[number] = error
                continue
            if utterance is None:
                results[number] = _nothing(request)
            else:
                utterances[number] = utterance
        if utterances:
            heard = self._hear(list(utterances.values()))
            results.update(zip(utterances, heard, strict=True))
        return [results[number] for number in range(len(jobs))]

    def _checked(self, audio: np.ndarray, request: RecognitionRequest) -> _Utterance | None:
        """None where nobody speaks. Raises RecognitionError for what is no request."""
        samples = recognition_request.checked(audio, request, self.capabilities)
        if len(samples) < _SHORTEST * SPEECH_RATE:
            return None
        utterance = _Utterance(
            samples, request, self._identifier.vad.whole(match_loudness(samples))
        )
        if utterance.voiced < _LEAST_VOICED:
            return None
        utterance.pieces = [
            utterance.samples[start:end] for start, end in pieces(utterance.voice, _LONGEST_PIECE)
        ]
        return utterance

    def _hear(self, utterances: list[_Utterance]) -> list[Recognition]:
        openly = [(u, self._identify(u)) for u in utterances]
        encoding = self._model.encode_speech([p for u in utterances for p in u.pieces])
        for utterance, heard in openly:
            self._settle_language(utterance, heard.result() if heard else {})
        texts = self._decode(utterances, encoding)
        for number, utterance in enumerate(utterances):
            if not utterance.request.draft and self._lost(utterance, texts[number][0]):
                texts[number] = self._in_smaller_pieces(utterance, texts[number])
        return [self._result(u, found) for u, found in zip(utterances, texts, strict=True)]

    def _identify(self, utterance: _Utterance) -> Future[dict[str, float]] | None:
        request = utterance.request
        if request.language is not None and (request.language_fixed or request.draft):
            return None
        return self._meanwhile.submit(self._identifier.identify, utterance.samples)

    def _settle_language(self, utterance: _Utterance, heard: dict[str, float]) -> None:
        request, known = utterance.request, self.capabilities.languages
        if heard:
            likely = {code: share for code, share in heard.items() if code in known}
            utterance.language, utterance.probability = weigh_languages(
                likely, request.language, utterance.seconds, request.among
            )
        else:
            assert request.language is not None, "else it would have been identified"
            utterance.language = request.language
        if request.translate_when is None or utterance.language in request.translate_when:
            wanted = set(request.translate_into) & self.capabilities.translates_into
            utterance.targets = sorted(wanted - {utterance.language})

    def _decode(self, utterances: list[_Utterance], encoding: Encoding) -> list[list[Text]]:
        """For each utterance its transcript and then its translations, pieces joined."""
        rows: list[Row] = []
        item = 0
        for utterance in utterances:
            for piece in utterance.pieces:
                for language in (utterance.language, *utterance.targets):
                    limit = _token_limit(len(piece) / SPEECH_RATE, language)
                    rows.append(Row(item, self._codes[language], limit))
                item += 1
        draft = all(utterance.request.draft for utterance in utterances)
        beam = 1 if draft else self._beam
        texts = iter(decode(self._model, encoding, rows, beam=beam, again=not draft))
        return [
            _joined([[next(texts) for _ in range(1 + len(u.targets))] for _ in u.pieces])
            for u in utterances
        ]

    def _lost(self, utterance: _Utterance, transcript: Text) -> bool:
        """Whether the transcript is too short for what was said."""
        voiced = utterance.voiced
        return voiced >= _LOST_FROM_S and transcript.tokens < _LOST_BELOW * voiced

    def _in_smaller_pieces(self, utterance: _Utterance, before: list[Text]) -> list[Text]:
        """Again, cut at pauses into pieces half as long; ``before`` if that finds no more."""
        smaller = pieces(utterance.voice, utterance.seconds / 2 + 0.5)
        utterance.pieces = [utterance.samples[start:end] for start, end in smaller]
        (found,) = self._decode([utterance], self._model.encode_speech(utterance.pieces))
        more = found[0].tokens > before[0].tokens and not found[0].broken
        return found if more else before

    def _result(self, utterance: _Utterance, texts: list[Text]) -> Recognition:
        transcript, *translations = texts
        if not _is_speech(utterance, transcript):
            return _nothing(utterance.request, utterance.language, utterance.probability)
        good = {
            target: text.text
            for target, text in zip(utterance.targets, translations, strict=True)
            if text.text and not text.broken
        }
        return Recognition(
            transcript.text, utterance.language, utterance.probability, transcript.confidence,
            1.0 - float(utterance.voice.max()), good,
        )  # fmt: skip


def pieces(voice: np.ndarray, longest: float) -> list[tuple[int, int]]:
    """Where to cut a clip so that no piece is longer than ``longest`` seconds: in the middle of
    the quietest third of a second in the second half of what a piece may hold.

    voice: speech probability of each FRAME. Returns (first sample, end) of each piece.
    """
    most, smooth = int(longest * SPEECH_RATE / FRAME), 10
    quiet = np.convolve(voice, np.ones(smooth) / smooth, "same")
    cuts, start = [0], 0
    while len(voice) - start > most:
        first = start + most // 2
        start = first + int(np.argmin(quiet[first : start + most]))
        cuts.append(start)
    cuts.append(len(voice))
    return [(a * FRAME, b * FRAME) for a, b in itertools.pairwise(cuts)]


def _token_limit(seconds: float, language: str) -> int:
    per_second = _TOKENS_PER_SECOND["other" if language in NON_LATIN else "latin"]
    return int(_TOKENS_SPARE + seconds * per_second)


def _joined(found: list[list[Text]]) -> list[Text]:
    """found: for each piece its texts. Returns the texts of the whole."""
    if len(found) == 1:
        return found[0]
    return [
        Text(
            " ".join(part.text for part in parts if part.text), sum(p.tokens for p in parts),
            float(np.mean([part.confidence for part in parts])), any(p.broken for p in parts),
        )
        for parts in zip(*found, strict=True)
    ]  # fmt: skip


def _is_speech(utterance: _Utterance, transcript: Text) -> bool:
    """Whether to believe that somebody said it."""
    text, voiced = transcript.text, utterance.voiced
    if not text or len(text) > _LETTERS_SPARE + _LETTERS_PER_SECOND * voiced:
        return False
    if transcript.broken and transcript.confidence < 0.25:
        return False
    return not (is_often_invented(text) and voiced < 0.25)


def _nothing(
    request: RecognitionRequest, language: str | None = None, probability: float = 0.0
) -> Recognition:
    return Recognition("", language or request.language or "en", probability, 0.0, 1.0)
