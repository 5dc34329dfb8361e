"""Beam search over the next tokens that a model proposes: several searches about one clip at once.

All live hypotheses of all searches take each step together, since a step costs a model little more
for ten of them than for one. Finds what CTranslate2 finds with the same beam, but stops at loops.
Knows token numbers, no text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from babblefish.engine.whisper_model import Encoding, Step, WhisperModel

_LOOP_TIMES, _LOOP_TOKENS = 6, 24
"""a hypothesis that ends in a phrase said so many times, in so many tokens, is a loop. People do
say "no, no, no, no" and go on"""
_LOOP_LONGEST = 8
"""tokens of such a phrase"""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """The best result of one search."""

    tokens: list[int]
    """without the prompt and without the end"""
    score: float
    """logarithm of its probability, divided by the number of tokens"""
    complete: bool
    """the model ended it; False where it ran into the limit or into a loop"""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the search must know of the vocabulary."""

    end: int
    suppressed: np.ndarray
    """float32 (1, vocabulary): 0, or minus infinity for a token that no text contains"""
    suppressed_first: np.ndarray
    """the same for the beginning of a text"""


@dataclass(frozen=True, slots=True)
class _Live:
    tokens: tuple[int, ...]
    total: float
    """sum of logarithms"""
    row: int
    """which row of the last step it continues"""


class _Search:
    """One prompt's hypotheses."""

    def __init__(self, row: int, beam: int, end: int, limit: int) -> None:
        self._beam, self._end, self._limit = beam, end, limit
        self.live = [_Live((), 0.0, row)]
        self._found: list[Hypothesis] = []

    def advance(self, step: Step, rows: Sequence[int]) -> None:
        """rows: which row of ``step`` belongs to each live hypothesis."""
        candidates = [
            _Live((*live.tokens, int(token)), live.total + float(score), row)
            for live, row in zip(self.live, rows, strict=True)
            for score, token in zip(
                step.best_scores[row, : 2 * self._beam], step.best_tokens[row], strict=False
            )
        ]
        candidates.sort(key=lambda c: -c.total)
        self.live = []
        # those behind the beam replace hypotheses that have ended, if there is a next step
        reach = self._beam if len(candidates[0].tokens) >= self._limit else 2 * self._beam
        for rank, candidate in enumerate(candidates[:reach]):
            if candidate.tokens[-1] == self._end:
                if rank < self._beam:
                    self._keep(candidate.tokens[:-1], candidate.total, complete=True)
            elif len(self.live) < self._beam:
                self.live.append(candidate)
        at_limit = bool(self.live) and len(self.live[0].tokens) >= self._limit
        looping = bool(self.live) and _loops(self.live[0].tokens)
        if at_limit or (looping and not self._found):
            for live in self.live:
                self._keep(live.tokens, live.total, complete=False)
        if at_limit or looping or len(self._found) >= self._beam:
            self.live = []

    def best(self) -> Hypothesis:
        return max(self._found, key=lambda h: h.score)

    def _keep(self, tokens: tuple[int, ...], total: float, complete: bool) -> None:
        score = total / len(tokens) if tokens else -math.inf
        self._found.append(Hypothesis(list(tokens), score, complete))


def search(
    model: WhisperModel, encoding: Encoding, prompts: Sequence[Sequence[int]], tokens: Tokens,
    *, beam: int, limit: int, between: Callable[[], None],
) -> list[Hypothesis]:  # fmt: skip
    """The best continuation of each prompt; all prompts have the same length.

    limit: tokens of a hypothesis at most; never more than half of what the model can hold, as in
    OpenAI's code. between: called before each step; may raise.
    """
    length = len(prompts[0])
    limit = max(1, min(limit, model.longest // 2, model.longest - length))
    searches = [_Search(row, beam, tokens.end, limit) for row in range(len(prompts))]
    last = [length * (row + 1) - 1 for row in range(len(prompts))]
    between()
    step = model.begin(encoding, np.array(prompts), last, tokens.suppressed_first)
    for row, one in enumerate(searches):
        one.advance(step, [row])
    while going := [live for one in searches for live in one.live]:
        between()
        beams = np.array([live.row for live in going])
        step = model.step(
            encoding, step, beams, np.array([live.tokens[-1] for live in going]), tokens.suppressed
        )
        row = 0
        for one in searches:
            count = len(one.live)
            if count:
                one.advance(step, range(row, row + count))
            row += count
    return [one.best() for one in searches]


def _loops(tokens: tuple[int, ...]) -> bool:
    """Whether the end of ``tokens`` is one short phrase again and again."""
    for size in range(1, _LOOP_LONGEST + 1):
        span = size * max(_LOOP_TIMES, -(-_LOOP_TOKENS // size))
        if len(tokens) >= span and tokens[-span:-size] == tokens[size - span :]:
            return True
    return False
