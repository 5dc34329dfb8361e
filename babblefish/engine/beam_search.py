"""Beam search over the next tokens that a model proposes: several searches at once.

All live hypotheses of all searches take each step together, since a step costs a model little more
for ten of them than for one. Finds what CTranslate2 finds with the same beam, but stops at loops;
with a beam of one it takes the likeliest token each time. Knows token numbers, neither text nor
models.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

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


class Proposals(Protocol):
    """What may follow each of some hypotheses."""

    @property
    def best_scores(self) -> np.ndarray:
        """(hypotheses, n), falling: logarithms of probabilities; n is twice the beam or more"""
        ...

    @property
    def best_tokens(self) -> np.ndarray:
        """(hypotheses, n)"""
        ...


class Writer(Protocol):
    """A model that was given some prompts, one for each search."""

    def begin(self) -> Proposals:
        """For each prompt, what may follow it."""
        ...

    def go_on(self, rows: Sequence[int], texts: Sequence[tuple[int, ...]]) -> Proposals:
        """rows: which of the hypotheses of the step before each of those continues that take this
        one. texts: their tokens without the prompt; the last is the new one."""
        ...


@dataclass(frozen=True, slots=True)
class _Live:
    tokens: tuple[int, ...]
    total: float
    """sum of logarithms"""
    row: int
    """which row of the last step it continues"""


class _Search:
    """One prompt's hypotheses."""

    def __init__(self, row: int, beam: int, end: int, limit: int, may_be_empty: bool) -> None:
        self._beam, self._end, self._limit = beam, end, limit
        self._of_nothing = 1.0 if may_be_empty else 0.0
        self.live = [_Live((), 0.0, row)]
        self._found: list[Hypothesis] = []

    def advance(self, step: Proposals, rows: Sequence[int]) -> None:
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
        length = len(tokens) or self._of_nothing
        score = total / length if length else -math.inf
        self._found.append(Hypothesis(list(tokens), score, complete))


def search(
    writer: Writer, limits: Sequence[int], *, end: int, beam: int,
    may_be_empty: bool = False, between: Callable[[], None] = lambda: None,
) -> list[Hypothesis]:  # fmt: skip
    """The best continuation of each of the writer's prompts.

    limits: tokens of each at most. end: the token that ends a text. may_be_empty: whether a text
    that ends at once is as good as others that are as likely, or only better than none. between:
    called before each step; may raise.
    """
    searches = [
        _Search(row, beam, end, max(1, limit), may_be_empty) for row, limit in enumerate(limits)
    ]
    between()
    step = writer.begin()
    for row, one in enumerate(searches):
        one.advance(step, [row])
    while going := [live for one in searches for live in one.live]:
        between()
        step = writer.go_on([live.row for live in going], [live.tokens for live in going])
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
