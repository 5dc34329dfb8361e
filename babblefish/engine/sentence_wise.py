"""Translates texts sentence by sentence, as neural translators were trained to.

Cuts texts into sentences and long sentences into parts, hands all of them to the model at once and
puts what comes back together again: lines stay lines, and what has neither letters nor digits stays
as it is. Knows no model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import sentencex

_T = TypeVar("_T")

LONGEST = 96
"""tokens of a sentence; longer ones are cut, since models drop parts of them"""
UNSPACED = frozenset({"ja", "yue", "zh"})
"""languages without white space between sentences"""
_MARK = re.compile(r"[,;:،؛]\s+|[，、；：—…]\s*|\s[–-]\s+")
_SPACE = re.compile(r"\s+")


def translate(
    texts: Sequence[str], source: str, target: str,
    say: Callable[[list[str]], Mapping[str, str]], tokens: Callable[[str], int],
) -> list[str]:  # fmt: skip
    """``texts`` in ``target``, in order.

    say: sentences, or parts of them, to their translations. tokens: how many a sentence has.
    """
    lines = [
        [_sentences(line, source, tokens) for line in _clean(text).split("\n")] for text in texts
    ]
    sentences = {sentence for text in lines for line in text for sentence in line}
    said = say([s for s in sorted(sentences) if says(s)])
    space = "" if target in UNSPACED else " "
    return [
        "\n".join(space.join(said.get(sentence, sentence) for sentence in line) for line in text)
        for text in lines
    ]


def batches(pieces: Iterable[_T], size: Callable[[_T], int], most: int) -> list[list[_T]]:
    """``pieces`` in groups of similar size, each of at most ``most`` or of one piece; padding,
    which makes all of a group as large as its largest, counts."""
    found: list[list[_T]] = []
    for piece in sorted(pieces, key=size):
        if not found or (len(found[-1]) + 1) * size(piece) > most:
            found.append([])
        found[-1].append(piece)
    return found


def _sentences(line: str, language: str, tokens: Callable[[str], int]) -> list[str]:
    """What of ``line`` is translated at once; joined it is the line but for white space."""
    if not says(line):
        return [line]
    sentences = sentencex.segment(language, line)  # pyright: ignore[reportAttributeAccessIssue]
    return [part for sentence in sentences for part in _parts(sentence.strip(), tokens) if part]


def _parts(sentence: str, tokens: Callable[[str], int]) -> list[str]:
    if len(sentence) <= 1 or tokens(sentence) <= LONGEST:
        return [sentence]
    at = _middle(sentence)
    return [*_parts(sentence[:at].strip(), tokens), *_parts(sentence[at:].strip(), tokens)]


def _middle(sentence: str) -> int:
    """Where to cut ``sentence`` in two: at a mark near its middle, between words, anywhere."""
    half = len(sentence) // 2
    for pattern in (_MARK, _SPACE):
        ends = [match.end() for match in pattern.finditer(sentence)]
        near = [end for end in ends if half / 2 <= end <= half * 1.5]
        if near:
            return min(near, key=lambda end: abs(end - half))
    return half


def _clean(text: str) -> str:
    """Without what cannot be text: null bytes and halves of surrogate pairs."""
    return text.replace("\0", "").encode("utf-8", "ignore").decode("utf-8")


def says(text: str) -> bool:
    return any(character.isalnum() for character in text)
