"""Decodes with Seamless, and once more what came out broken. Knows neither sound nor requests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from babblefish.engine import interruption
from babblefish.engine.beam_search import Hypothesis
from babblefish.engine.doubts import Evidence, is_broken, tidy, unloop
from babblefish.engine.generation import NO_RULES, Rules
from babblefish.engine.seamless_model import Row, SeamlessModel
from babblefish.engine.transformer import Encoding

_SECOND_TRY = Rules(no_repeat_ngram_size=3, repetition_penalty=1.2)
"""breaks nearly every loop; a little worse for texts that rightly repeat themselves"""


@dataclass(frozen=True, slots=True)
class Text:
    text: str
    """tidy, loops said once"""
    tokens: int
    confidence: float
    """mean token probability, 0..1"""
    broken: bool


def decode(
    model: SeamlessModel, encoding: Encoding, rows: Sequence[Row], *, beam: int = 1,
    again: bool = True,
) -> list[Text]:  # fmt: skip
    """One text for each of ``rows``, all in one batch.

    again: whether to decode those that loop or do not end a second time, without repetitions.
    """
    if not rows:
        return []
    texts = _attempt(model, encoding, rows, beam)
    broken = [number for number, text in enumerate(texts) if text.broken] if again else []
    if broken:
        tried = _attempt(model, encoding, [rows[n] for n in broken], beam, _SECOND_TRY)
        for number, text in zip(broken, tried, strict=True):
            texts[number] = _better(texts[number], text)
    return texts


def _attempt(
    model: SeamlessModel, encoding: Encoding, rows: Sequence[Row], beam: int,
    rules: Rules = NO_RULES,
) -> list[Text]:  # fmt: skip
    found = model.decode(encoding, rows, beam=beam, rules=rules, between=interruption.check)
    return [_judged(model, row, decoded) for row, decoded in zip(rows, found, strict=True)]


def _judged(model: SeamlessModel, row: Row, decoded: Hypothesis) -> Text:
    text = tidy(model.text(decoded.tokens))
    confidence = min(1.0, math.exp(decoded.score))
    evidence = Evidence(text, len(decoded.tokens), 0.0, confidence, 0.0)
    broken = not decoded.complete or is_broken(evidence, row.limit)
    return Text(unloop(text), len(decoded.tokens), confidence, broken)


def _better(first: Text, second: Text) -> Text:
    if first.broken != second.broken:
        return second if first.broken else first
    return max(first, second, key=lambda text: text.confidence)
