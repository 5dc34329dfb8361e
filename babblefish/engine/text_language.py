"""Which language a text is written in: a stage, and the pool that is started when first asked.

Short texts often fit several languages; then it says so instead of guessing. Knows no translator:
callers say which languages they can do something with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from babblefish import languages
from babblefish.engine.job_queue import Priority
from babblefish.engine.stages import StageSpec
from babblefish.engine.workers import WorkerPool
from babblefish.errors import BabbleFishError, TranslationError

CERTAIN = 0.6
"""certainty from which an answer may be acted upon: of those, one in two hundred is wrong"""
UNDETERMINED = "und"
"""language of a text without letters, as BCP-47 calls it"""
LONGEST = 2000
"""characters that are looked at"""
_EXPECTED = 10.0
"""how much likelier a language is beforehand that the caller can do something with"""
_CANDIDATES = 3
_NICE = 5


@dataclass(frozen=True, slots=True)
class TextLanguage:
    """What a text seems to be written in."""

    language: str
    """the likeliest; ``UNDETERMINED`` where there are no letters"""
    certainty: float
    """0..1: its share of what speaks for any language"""
    candidates: tuple[str, ...] = ()
    """the likeliest few, best first"""

    @property
    def certain(self) -> bool:
        return self.certainty >= CERTAIN


@dataclass(frozen=True, slots=True)
class TextLanguageCapabilities:
    languages: frozenset[str]


class TextLanguageIdentifier:
    """The stage: naive Bayes over the letters' sequences, by py3langid."""

    def __init__(self) -> None:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier

        self._model = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
        self._columns = _our_codes(self._model.labels)
        self.capabilities = TextLanguageCapabilities(frozenset(self._columns.values()))

    def identify(
        self, texts: Sequence[str], expected: Collection[str], known: Collection[str]
    ) -> list[TextLanguage]:
        """The language of each text.

        expected: likelier beforehand. known: the others that it may be; what a text is not
        expected to be written in keeps it from being taken for the next of kin.
        """
        weights = dict.fromkeys(known, 1.0) | dict.fromkeys(expected, _EXPECTED)
        return [self._one(text, weights) for text in texts]

    def _one(self, text: str, weights: dict[str, float]) -> TextLanguage:
        if not has_letters(text):
            return TextLanguage(UNDETERMINED, 0.0)
        shares: dict[str, float] = {}
        for label, probability in self._model.rank(text.replace("\0", " ")):
            code = self._columns.get(label)
            if code in weights:
                shares[code] = shares.get(code, 0.0) + probability * weights[code]
        total = sum(shares.values())
        if not np.isfinite(total) or total <= 0:
            return TextLanguage(UNDETERMINED, 0.0)
        ranked = sorted(shares, key=lambda code: -shares[code])[:_CANDIDATES]
        return TextLanguage(ranked[0], shares[ranked[0]] / total, tuple(ranked))


class TextLanguages:
    """The stage in a process of its own, which is started when somebody first asks.

    Use from one event loop.
    """

    def __init__(
        self, spec: StageSpec | None = None,
        on_start: Callable[[WorkerPool], object] = lambda pool: None,
    ) -> None:  # fmt: skip
        """on_start: is told when there is a process."""
        factory = f"{__name__}:{TextLanguageIdentifier.__name__}"
        self.pool = WorkerPool("text language", spec or StageSpec(factory), nice=_NICE)
        self._starting: asyncio.Task[None] | None = None
        self._on_start = on_start

    async def identify(
        self, texts: Sequence[str], expected: Collection[str], known: Collection[str]
    ) -> list[TextLanguage]:
        """See ``TextLanguageIdentifier.identify``. Raises WorkerError."""
        if self._starting is None:
            self._starting = asyncio.create_task(self.pool.start(), name="start text language")
            self._on_start(self.pool)
        await asyncio.shield(self._starting)
        answer = await self.pool.call(
            "identify", [text[:LONGEST] for text in texts], frozenset(expected), frozenset(known),
            priority=Priority.BATCH, timeout=10.0,
        )  # fmt: skip
        fits = isinstance(answer, list) and len(answer) == len(texts)
        if not (fits and all(isinstance(one, TextLanguage) for one in answer)):
            raise TranslationError("bad_output", "The language of a text could not be told.")
        return answer

    async def close(self) -> None:
        await self.pool.close()
        if self._starting is not None:
            await asyncio.gather(self._starting, return_exceptions=True)


def has_letters(text: str) -> bool:
    return any(character.isalpha() for character in text)


def _our_codes(labels: Sequence[str]) -> dict[str, str]:
    """The model's label → our code, of those that are languages."""
    found = {}
    for label in labels:
        try:
            found[label] = languages.normalise(label)
        except BabbleFishError:
            continue
    found.pop("zxx", None)
    return found
