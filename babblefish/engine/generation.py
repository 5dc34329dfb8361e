"""Writes texts with a ``TextDecoder``: which token comes next, for many texts at once.

Each row is one text about one item of an encoding: rows of different languages and of different
utterances take every step together, and one that has ended takes no more of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from babblefish.engine import beam_search
from babblefish.engine.beam_search import Hypothesis
from babblefish.engine.transformer import Encoding, TextDecoder, Texts


@dataclass(frozen=True, slots=True)
class Row:
    """One text to write."""

    item: int
    """of the encoding"""
    prompt: tuple[int, ...]
    """tokens that it begins with; of all rows as many"""
    limit: int
    """tokens after the prompt"""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a text may not contain."""

    never: tuple[int, ...] = ()
    """tokens"""
    no_repeat_ngram_size: int = 0
    """no sequence of so many tokens comes twice; 0: any may"""
    repetition_penalty: float = 1.0
    """over 1: what has been said becomes less likely. See arXiv 1909.05858"""


NO_RULES = Rules()


@torch.inference_mode()
def generate(
    decoder: TextDecoder, encoding: Encoding, rows: Sequence[Row], *, end: int, beam: int = 1,
    rules: Rules = NO_RULES, between: Callable[[], None] = lambda: None,
) -> list[Hypothesis]:  # fmt: skip
    """One text for each of ``rows``, without its prompt.

    end: the token that ends a text. between: called before each step; what it raises ends all.
    """
    limits = [row.limit for row in rows]
    writer = _Rows(decoder, encoding, rows, 2 * beam, rules)
    return beam_search.search(
        writer, limits, end=end, beam=beam, may_be_empty=True, between=between
    )


@dataclass(frozen=True, slots=True)
class _Proposals:
    best_scores: np.ndarray
    best_tokens: np.ndarray


class _Rows:
    """A ``beam_search.Writer``."""

    def __init__(
        self, decoder: TextDecoder, encoding: Encoding, rows: Sequence[Row], best: int, rules: Rules
    ) -> None:
        self._decoder, self._best, self._rules = decoder, best, rules
        self._prompts = [row.prompt for row in rows]
        longest = max(len(row.prompt) + row.limit for row in rows)
        self._texts: Texts = decoder.begin(encoding, [row.item for row in rows], longest)
        self._never = torch.tensor(rules.never, dtype=torch.long, device=decoder.shape.device)

    def begin(self) -> _Proposals:
        return self._step([list(prompt) for prompt in self._prompts], self._prompts)

    def go_on(self, rows: Sequence[int], texts: Sequence[tuple[int, ...]]) -> _Proposals:
        self._texts.keep(rows)
        self._prompts = [self._prompts[row] for row in rows]
        said = [(*prompt, *text) for prompt, text in zip(self._prompts, texts, strict=True)]
        return self._step([[text[-1]] for text in texts], said)

    def _step(self, tokens: list[list[int]], said: Sequence[tuple[int, ...]]) -> _Proposals:
        device = self._decoder.shape.device
        logits = self._decoder.step(self._texts, torch.tensor(tokens, device=device))
        self._obey(logits, said)
        scores, best = logits.topk(self._best)
        scores = scores - logits.logsumexp(1, keepdim=True)
        return _Proposals(scores.cpu().numpy(), best.cpu().numpy())

    def _obey(self, logits: torch.Tensor, said: Sequence[tuple[int, ...]]) -> None:
        """Change ``logits`` so that the rules are kept. said: each text, its prompt included."""
        logits[:, self._never] = -torch.inf
        for row, text in zip(logits, said, strict=True):
            if self._rules.repetition_penalty != 1.0:
                repeated = torch.tensor(sorted(set(text)), device=row.device)
                found, penalty = row[repeated], self._rules.repetition_penalty
                row[repeated] = torch.where(found < 0, found * penalty, found / penalty)
            if self._rules.no_repeat_ngram_size:
                row[_completing(text, self._rules.no_repeat_ngram_size)] = -torch.inf


def _completing(text: Sequence[int], size: int) -> list[int]:
    """The tokens that would make the last ``size`` tokens of ``text`` what came before."""
    last = tuple(text[len(text) - size + 1 :])
    starts = range(len(text) - size + 1)
    return [text[n + size - 1] for n in starts if tuple(text[n : n + size - 1]) == last]
