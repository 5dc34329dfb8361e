"""Figures from measurements: percentiles, slopes, word errors, what was lost, said twice or cut.

Pure functions on numbers and text. They know no rooms, clips or models, and never turn a missing
measurement into a zero: of nothing, the percentiles are None.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import jiwer
import numpy as np
import sacrebleu

_SIGNS = {
    "en": {"×": "times", "=": "equals", "%": "percent", "&": "and"},
    "fr": {"×": "fois", "=": "égal", "%": "pour cent", "&": "et"},
    "es": {"×": "por", "=": "igual a", "%": "por ciento", "&": "y"},
}
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_DIGIT_GROUP = re.compile(r"(?<=\d)[\s.,'’](?=\d{3}(?!\d))")
_LOST_BELOW = 0.5
"""likeness of the letters below which a caption is not of this clip, however badly recognised"""
_SAME_FROM = 0.7
"""likeness of two captions of one clip from which one repeats the other"""


# --- numbers --------------------------------------------------------------------------------


def summary(values: Iterable[float | None]) -> dict[str, Any]:
    """``p50``, ``p95`` and ``n`` of the values that are there; None of nothing."""
    known = [value for value in values if value is not None]
    if not known:
        return {"p50": None, "p95": None, "n": 0}
    return {
        "p50": round(float(np.percentile(known, 50)), 3),
        "p95": round(float(np.percentile(known, 95)), 3),
        "n": len(known),
    }


def growth_per_minute(times: Sequence[float], values: Sequence[float]) -> float | None:
    """Slope of ``values`` over ``times`` (seconds), per minute: the median over all pairs of
    measurements, which a single slow one does not tilt. None below three measurements."""
    if len(times) < 3:
        return None
    t, v = np.asarray(times, float), np.asarray(values, float)
    i, j = np.triu_indices(len(t), 1)
    apart = np.abs(t[j] - t[i]) > 1e-9
    if not apart.any():
        return None
    slopes = (v[j] - v[i])[apart] / (t[j] - t[i])[apart]
    return round(float(np.median(slopes)) * 60, 4)


def ratio(slow: float | None, fast: float | None) -> float | None:
    """How many times ``fast`` goes into ``slow``."""
    return round(slow / fast, 2) if slow and fast else None


# --- words ----------------------------------------------------------------------------------


def words(text: str, language: str = "en") -> list[str]:
    """What is compared: lower case, no punctuation, digits ungrouped, signs as spoken."""
    text = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    text = _DIGIT_GROUP.sub("", text)
    for sign, spoken in _SIGNS.get(language, {}).items():
        text = text.replace(sign, f" {spoken} ")
    return _WORD.findall(text)


@dataclass(frozen=True, slots=True)
class WordErrors:
    """Sums, so that several clips add up to one rate."""

    errors: int = 0
    of: int = 0
    """words in the references"""

    def __add__(self, other: WordErrors) -> WordErrors:
        return WordErrors(self.errors + other.errors, self.of + other.of)

    @property
    def rate(self) -> float | None:
        return round(self.errors / self.of, 4) if self.of else None


def word_errors(reference: str, hypothesis: str, language: str = "en") -> WordErrors:
    wanted, found = words(reference, language), words(hypothesis, language)
    if not wanted:
        return WordErrors(len(found), 0)
    if not found:
        return WordErrors(len(wanted), len(wanted))
    done = jiwer.process_words(" ".join(wanted), " ".join(found))
    return WordErrors(done.substitutions + done.deletions + done.insertions, len(wanted))


def chrf(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Corpus chrF, 0..100, of (translation, reference); None of nothing."""
    if not pairs:
        return None
    found, wanted = zip(*pairs, strict=True)
    return round(sacrebleu.corpus_chrf(list(found), [list(wanted)]).score, 1)


# --- one clip and the captions it became ----------------------------------------------------


@dataclass(frozen=True, slots=True)
class Match:
    lost: bool
    """no caption holds what was said"""
    doubled: bool
    """some of it was captioned twice"""
    cut: bool
    """its first word is missing"""
    errors: WordErrors


def match(reference: str, captions: Sequence[str], language: str = "en") -> Match:
    """Judge the final captions of one clip, in order, against what it says."""
    wanted = words(reference, language)
    parts = [part for part in (words(caption, language) for caption in captions) if part]
    found = [word for part in parts for word in part]
    errors = word_errors(reference, " ".join(captions), language)
    if not found:
        return Match(True, False, False, errors)
    alignment = jiwer.process_words(" ".join(wanted), " ".join(found))
    lost = _likeness(" ".join(wanted), " ".join(found)) < _LOST_BELOW
    first = alignment.alignments[0][0]
    cut = not lost and first.type == "delete"
    return Match(lost, _repeats(parts), cut, errors)


def _repeats(parts: Sequence[Sequence[str]]) -> bool:
    return any(
        _likeness(first, second) >= _SAME_FROM
        for index, first in enumerate(parts)
        for second in parts[index + 1 :]
    )


def _likeness(first: Sequence[str], second: Sequence[str]) -> float:
    return difflib.SequenceMatcher(None, first, second, autojunk=False).ratio()
