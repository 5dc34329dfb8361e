"""Translation with NLLB-200: two hundred languages, any of them into any other.

Translates all sentences of some texts in as few batches as possible, and looks again where the
model fell into one of its known vices: repeating itself without end, or saying nothing. Speech,
rooms and which pairs are offered to people are not its business, nor is where the weights come
from: see ``conversion.py``.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import ctranslate2
import tokenizers

from babblefish import languages
from babblefish.engine import interruption, sentence_wise
from babblefish.engine.doubts import loop_start, unloop
from babblefish.engine.generation import Rules
from babblefish.engine.nllb_network import NllbNetwork
from babblefish.engine.sentence_wise import batches
from babblefish.engine.stages import TranslatorCapabilities
from babblefish.errors import BabbleFishError, SettingsError, TranslationError, WeightsError

_VOCABULARIES = ("shared_vocabulary.json", "shared_vocabulary.txt")
_FILES = (("model.bin",), ("config.json",), ("tokenizer.json",), _VOCABULARIES)
"""what a model consists of; of several names, one is enough"""
_FETCH = "`python app.py models fetch whisper-nllb`"
_DEVICES = ("cpu", "cuda")
_END, _UNKNOWN = "</s>", "<unk>"

_LANGUAGE = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")
_STANDARD = frozenset(
    {
        "ace_Latn", "aka_Latn", "bjn_Latn", "kas_Arab", "knc_Latn", "pes_Arab", "taq_Latn",
        "zho_Hans",
    }
)  # fmt: skip
"""what is used where NLLB knows two scripts or varieties of what is one language here: Persian of
Iran rather than Dari, Akan rather than Twi, Chinese in simplified characters"""

_EXPANSION, _SPARE = 2.5, 16
"""a translation has at most this many times the tokens of its original, and some more"""
_LONG, _LONGER = 1.3, 4
"""a repetition counts as a loop only in a translation this much longer than its original: numbers
and laughter repeat themselves too"""
_FIRST_LOOK = Rules()
_SECOND_LOOK = Rules(no_repeat_ngram_size=3, repetition_penalty=1.2)
_PATIENCE = 3.0
"""seconds; after a first look that took longer there is no second: the pool gives up on a
translator that is silent for ten"""


class _Network(Protocol):
    def translate(
        self, texts: Sequence[Sequence[str]], language: str, limits: Sequence[int], *, beam: int,
        rules: Rules,
    ) -> list[tuple[list[str], bool]]:  # fmt: skip
        """texts: tokens of each, with its language before it and the end behind it. language: of
        the translations. limits: tokens of each at most. Returns tokens of each translation, and
        whether the model ended it."""
        ...


@dataclass(frozen=True, slots=True)
class _Piece:
    """A sentence, or a part of a long one."""

    text: str
    tokens: list[str]

    @property
    def limit(self) -> int:
        """Tokens that its translation may have."""
        return int(_EXPANSION * len(self.tokens)) + _SPARE

    def is_broken(self, tokens: list[str], text: str, complete: bool) -> bool:
        """Whether ``tokens``, in letters ``text``, cannot be its translation. complete: the model
        ended it."""
        if not text or not complete:
            return True
        # Tokens, too: some scripts have no words that spaces set apart.
        loops = any(loop_start(units) is not None for units in (text, " ".join(tokens)))
        return loops and len(tokens) > _LONG * len(self.tokens) + _LONGER


class NllbTranslator:
    """A ``Translator``."""

    def __init__(
        self,
        weights_dir: Path | str,
        threads: int = 2,
        size: str = "600M",
        batch_tokens: int = 512,
        beam: int = 2,
        device: str = "auto",
    ) -> None:
        """batch_tokens: tokens, padding included, that are translated at once; between batches
        a job can be given up. beam: translations pursued side by side. device: cpu, cuda or
        auto.

        Raises WeightsError("missing" | "broken"), SettingsError("device").
        """
        if device == "auto":
            device = "cuda" if _has_gpu() else "cpu"
        if device not in _DEVICES or (device == "cuda" and not _has_gpu()):
            raise SettingsError("device", f"There is no device {device!r} here. Use the cpu.")
        path = Path(weights_dir) / f"nllb-200-{size}"
        for names in _FILES:
            if not any((path / name).is_file() for name in names):
                raise WeightsError("missing", f"{path / names[0]} is missing. Run {_FETCH}.")
        try:
            json.loads((path / "config.json").read_text(encoding="utf-8"))  # or it is damaged
            vocabulary = _vocabulary(path)
            kind = _OnCpu if device == "cpu" else _OnGpu
            self._network: _Network = kind(path, vocabulary, max(1, threads))
            self._tokenizer = tokenizers.Tokenizer.from_file(str(path / "tokenizer.json"))
            self._codes = find_languages(vocabulary)
            self._tokenizer.encode_special_tokens = True
        except Exception as error:
            raise _broken(path) from error
        if not self._codes:
            raise _broken(path)
        self._batch_tokens, self._beam = batch_tokens, beam
        self.capabilities = TranslatorCapabilities.among(self._codes)

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """See ``Translator.translate``. Lines stay lines; what has neither letters nor digits
        stays as it is."""
        if (source, target) not in self.capabilities.pairs:
            raise TranslationError(
                "pair",
                f"NLLB-200 does not translate {source} into {target}. Choose two different "
                "languages of those that are offered.",
            )
        return sentence_wise.translate(
            texts, source, target, lambda sentences: self._say(sentences, source, target),
            lambda text: len(self._tokens(text)),
        )  # fmt: skip

    def prepare(self, source: str, target: str) -> None:
        """Nothing to do: one model serves all pairs, and is loaded from the start."""

    def _say(self, texts: Sequence[str], source: str, target: str) -> dict[str, str]:
        """Each of ``texts``, a sentence or less, and its translation."""
        begun = time.perf_counter()
        pieces = [_Piece(text, self._tokens(text)) for text in texts]
        said: dict[str, str] = {}
        broken: dict[str, tuple[_Piece, list[str]]] = {}
        for piece, tokens, complete in self._decode(pieces, source, target):
            said[piece.text] = self._text(tokens)
            if piece.is_broken(tokens, said[piece.text], complete):
                broken[piece.text] = piece, tokens
        in_time = time.perf_counter() - begun < _PATIENCE
        second = [piece for piece, _ in broken.values()] if in_time else []
        for piece, tokens, complete in self._decode(second, source, target, _SECOND_LOOK):
            text = self._text(tokens)
            if not piece.is_broken(tokens, text, complete):
                said[piece.text] = text
                del broken[piece.text]
        for piece, tokens in broken.values():
            said[piece.text] = self._unlooped(tokens[: piece.limit]) or piece.text
        return said

    def _decode(
        self, pieces: Sequence[_Piece], source: str, target: str, rules: Rules = _FIRST_LOOK
    ) -> Iterator[tuple[_Piece, list[str], bool]]:
        """Pieces in any order, each with the tokens of its translation, and whether the model ended
        it."""
        start = self._codes[source]
        for batch in batches(pieces, lambda piece: len(piece.tokens), self._batch_tokens):
            interruption.check()
            said = self._network.translate(
                [[start, *piece.tokens, _END] for piece in batch], self._codes[target],
                [piece.limit for piece in batch], beam=self._beam, rules=rules,
            )  # fmt: skip
            for piece, (tokens, complete) in zip(batch, said, strict=True):
                yield piece, tokens, complete

    def _unlooped(self, tokens: list[str]) -> str:
        return unloop(self._text(unloop(" ".join(tokens)).split(" ")))

    def _tokens(self, text: str) -> list[str]:
        return self._tokenizer.encode(text, add_special_tokens=False).tokens

    def _text(self, tokens: Iterable[str]) -> str:
        numbers = [self._tokenizer.token_to_id(token) for token in tokens]
        known = [number for number in numbers if number is not None]
        return self._tokenizer.decode(known, skip_special_tokens=True).strip()


class _OnCpu:
    """A ``_Network``; see ``nllb_network.py``."""

    def __init__(self, path: Path, vocabulary: Sequence[str], threads: int) -> None:
        self._vocabulary = vocabulary
        self._numbers = {token: number for number, token in enumerate(vocabulary)}
        self._unknown = self._numbers[_UNKNOWN]
        self._network = NllbNetwork(path / "model.bin", threads)

    def translate(
        self, texts: Sequence[Sequence[str]], language: str, limits: Sequence[int], *, beam: int,
        rules: Rules,
    ) -> list[tuple[list[str], bool]]:  # fmt: skip
        numbers = [[self._numbers.get(token, self._unknown) for token in text] for text in texts]
        found = self._network.translate(
            numbers, self._numbers[language], limits, beam=beam,
            rules=replace(rules, never=(*rules.never, self._unknown)), between=interruption.check,
        )  # fmt: skip
        return [([self._vocabulary[t] for t in one.tokens], one.complete) for one in found]


class _OnGpu:
    """A ``_Network``: CTranslate2's."""

    def __init__(self, path: Path, vocabulary: Sequence[str], threads: int) -> None:
        self._model = ctranslate2.Translator(str(path), "cuda", compute_type="int8_float16")

    def translate(
        self, texts: Sequence[Sequence[str]], language: str, limits: Sequence[int], *, beam: int,
        rules: Rules,
    ) -> list[tuple[list[str], bool]]:  # fmt: skip
        results = self._model.translate_batch(
            [list(text) for text in texts], target_prefix=[[language]] * len(texts),
            beam_size=beam, disable_unk=True, repetition_penalty=rules.repetition_penalty,
            no_repeat_ngram_size=rules.no_repeat_ngram_size,
            # It counts the language, which every translation begins with, as a token.
            max_decoding_length=max(limits) + 1,
        )  # fmt: skip
        found = [result.hypotheses[0][1:] for result in results]
        return [(said, len(said) < limit) for said, limit in zip(found, limits, strict=True)]


def find_languages(vocabulary: Iterable[str]) -> dict[str, str]:
    """Our language code → the token that stands for it, of all languages in ``vocabulary``."""
    found: dict[str, str] = {}
    for token in vocabulary:
        if not _LANGUAGE.fullmatch(token):
            continue
        with contextlib.suppress(BabbleFishError):
            code = languages.normalise(token)
            if code not in found or token in _STANDARD:
                found[code] = token
    return found


def _has_gpu() -> bool:
    return ctranslate2.get_cuda_device_count() > 0


def _vocabulary(path: Path) -> list[str]:
    """The model's tokens, in order."""
    listed, lines = (path / name for name in _VOCABULARIES)
    if listed.is_file():
        return json.loads(listed.read_text(encoding="utf-8"))
    return lines.read_text(encoding="utf-8").split("\n")


def _broken(path: Path) -> WeightsError:
    return WeightsError("broken", f"{path} cannot be loaded. Delete it and run {_FETCH}.")
