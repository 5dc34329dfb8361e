"""Names and terms that somebody may say: what each next token is worth to a recogniser that
expects them.

A token that begins or continues a term is worth more than the model alone finds; what began like a
term and became another word gives the extra back, so that terms which nobody says cost nothing.
Wraps the model that a beam search asks. Knows token numbers, neither text nor models.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np


@dataclass(frozen=True, slots=True)
class Weights:
    """What an expected token is worth: natural logarithms, measured in bench/results/glossary.md"""

    begins: float = 3.0
    """the first token of a term"""
    continues: float = 4.0
    """each further one"""


@dataclass(slots=True)
class _Node:
    children: dict[int, _Node] = field(default_factory=dict)
    ends: int = 0
    """number of the term that is complete here, 0: none"""


@dataclass(frozen=True, slots=True)
class _State:
    """Where a text stands in a term."""

    node: _Node
    loose: float = 0.0
    """given since the last complete term: taken back if this becomes no term"""
    whole: float = 0.0
    """given since the term began: taken back if the last word goes on differently"""
    said: frozenset[int] = frozenset()
    """terms complete so far. Saying one again is worth nothing, or loops would be"""


class Terms:
    """The terms of one request, as a tree of tokens."""

    def __init__(
        self, terms: Iterable[Sequence[int]], inside_word: np.ndarray,
        weights: Weights = Weights(),
    ) -> None:  # fmt: skip
        """terms: token numbers of each. inside_word: bool (vocabulary,), which tokens go on with
        the word before them."""
        self._root = _Node()
        self._inside_word = inside_word
        self._begins, self._continues = weights.begins, weights.continues
        for number, term in enumerate(terms, 1):
            node = self._root
            for token in term:
                node = node.children.setdefault(token, _Node())
            node.ends = number if term else 0
        self.beginning = np.array(list(self._root.children), np.int64)
        """(n,): the tokens that begin a term"""
        self._states: dict[tuple[int, ...], _State] = {(): _State(self._root)}
        self._given: dict[tuple[int, ...], float] = {(): 0.0}

    def __bool__(self) -> bool:
        return bool(self._root.children)

    def given(self, text: tuple[int, ...]) -> float:
        """All that ``text`` has got so far."""
        if text not in self._given:
            before = self._state(text[:-1])
            worth, self._states[text] = self._step(before, text[-1])
            self._given[text] = self.given(text[:-1]) + worth
        return self._given[text]

    def worth(self, text: tuple[int, ...], token: int) -> float:
        """What ``token`` after ``text`` adds."""
        return self._step(self._state(text), token)[0]

    def continuing(self, text: tuple[int, ...]) -> list[int]:
        """The tokens that go on with the term that ``text`` has begun."""
        return list(self._state(text).node.children)

    def _state(self, text: tuple[int, ...]) -> _State:
        self.given(text)
        return self._states[text]

    def _step(self, state: _State, token: int) -> tuple[float, _State]:
        node = state.node.children.get(token)
        if node is not None:
            gain = self._begins if state.node is self._root else self._continues
            return self._reached(node, gain, state, state.loose, state.whole)
        back = state.whole if self._inside_word[token] and state.node.ends else state.loose
        begun = self._root.children.get(token)
        if begun is None:
            return -back, _State(self._root, said=state.said)
        worth, reached = self._reached(begun, self._begins, state, 0.0, 0.0)
        return worth - back, reached

    def _reached(
        self, node: _Node, gain: float, state: _State, loose: float, whole: float
    ) -> tuple[float, _State]:
        if node.ends in state.said:
            return -whole, _State(node, said=state.said)
        if node.ends:
            return gain, _State(node, 0.0, whole + gain, state.said | {node.ends})
        return gain, _State(node, loose + gain, whole + gain, state.said)


class Scored(Protocol):
    """Proposals of a model that can say what any token is worth to it."""

    @property
    def best_scores(self) -> np.ndarray: ...

    @property
    def best_tokens(self) -> np.ndarray: ...

    def scores(self) -> np.ndarray:
        """(hypotheses, vocabulary): logarithms of probabilities"""
        ...


class ScoredWriter(Protocol):
    def begin(self) -> Scored: ...

    def go_on(self, rows: Sequence[int], texts: Sequence[tuple[int, ...]]) -> Scored: ...


@dataclass(frozen=True, slots=True)
class _Proposals:
    best_scores: np.ndarray
    best_tokens: np.ndarray


class Expecting:
    """A ``beam_search.Writer``: another one that listens for ``terms``."""

    def __init__(self, writer: ScoredWriter, terms: Terms) -> None:
        self._writer, self._terms = writer, terms

    def begin(self) -> _Proposals:
        step = self._writer.begin()
        return self._weighed(step, [()] * len(step.best_scores))

    def go_on(self, rows: Sequence[int], texts: Sequence[tuple[int, ...]]) -> _Proposals:
        return self._weighed(self._writer.go_on(rows, texts), texts)

    def _weighed(self, step: Scored, texts: Sequence[tuple[int, ...]]) -> _Proposals:
        every = step.scores()
        found = [
            self._row(step.best_scores[n], step.best_tokens[n], every[n], text)
            for n, text in enumerate(texts)
        ]
        return _Proposals(np.stack([s for s, _ in found]), np.stack([t for _, t in found]))

    def _row(
        self, scores: np.ndarray, tokens: np.ndarray, every: np.ndarray, text: tuple[int, ...]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The best of what the model proposes and of what is expected, as many as it proposes."""
        count = len(tokens)
        beginning = self._terms.beginning
        likeliest = np.argsort(-every[beginning])[:count]  # others would not get among the best
        expected = {*self._terms.continuing(text), *beginning[likeliest].tolist()}
        more = np.array(sorted(expected - set(tokens.tolist())), tokens.dtype)
        candidates = np.concatenate([tokens, more])
        worth = np.array([self._terms.worth(text, int(token)) for token in candidates])
        total = np.concatenate([scores, every[more]]) + worth
        order = np.argsort(-total, kind="stable")[:count]
        return total[order], candidates[order]
