"""text → its words, also of languages that put no spaces between them.

Pure: knows no model and no sound. Where nothing marks the end of a word (Chinese, Japanese, Thai),
a word is a character as readers see it, with what belongs to it; Latin letters, digits and Katakana
stay together.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from dataclasses import dataclass

_SPACELESS = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff]"
)
"""Thai, Lao, Burmese, Khmer, Kana, ideographs"""
_KATAKANA = re.compile("[\u30a0-\u30ff\u31f0-\u31ff]")
_BEFORE_ITS_CONSONANT = re.compile("[\u0e40-\u0e44\u0ec0-\u0ec4]")
"""vowels of Thai and Lao that are written first and spoken after"""
_JOINER = "\u1039\u17d2"
"""Burmese and Khmer: the next consonant is written below"""
_OPENING = re.compile(r"[\"'«„“‘¿¡(\[{「『《〈【（]")


@dataclass(frozen=True, slots=True)
class Span:
    """One word of a text; all numbers are indices of characters."""

    start: int
    end: int
    """with the marks that belong to it"""
    spoken_start: int
    spoken_end: int
    """without them"""


def words(text: str) -> list[Span]:
    """Every word of ``text`` in order. Marks that stand alone belong to the word before them, those
    that open something and those at the beginning to the one after; without a word there is none.
    """
    pieces = [piece for chunk in re.finditer(r"\S+", text) for piece in _pieces(chunk)]
    found: list[Span] = []
    begun: int | None = None
    """where marks began that belong to the next word"""
    for start, end in pieces:
        spoken = [i for i in range(start, end) if _is_spoken(text[i])]
        if spoken:
            found.append(Span(start if begun is None else begun, end, spoken[0], spoken[-1] + 1))
            begun = None
        elif found and begun is None and not _OPENING.match(text[start]):
            last = found[-1]
            found[-1] = Span(last.start, end, last.spoken_start, last.spoken_end)
        elif begun is None:
            begun = start
    if found and begun is not None:
        last = found[-1]
        found[-1] = Span(last.start, len(text.rstrip()), last.spoken_start, last.spoken_end)
    return found


def _pieces(chunk: re.Match[str]) -> list[tuple[int, int]]:
    """A stretch without spaces, cut where a word may begin."""
    text, offset = chunk.group(), chunk.start()
    if not _SPACELESS.search(text):
        return [(offset, chunk.end())]
    cuts = [i for i in range(1, len(text)) if _may_part(text[i - 1], text[i])]
    edges = [0, *cuts, len(text)]
    return [(offset + a, offset + b) for a, b in itertools.pairwise(edges)]


def _may_part(before: str, after: str) -> bool:
    """Whether a word may end between two characters that follow one another."""
    if unicodedata.category(after)[0] == "M" or before in _JOINER:
        return False
    if _KATAKANA.match(before) and _KATAKANA.match(after):
        return False
    if _BEFORE_ITS_CONSONANT.match(before):
        return False
    if not _is_spoken(after):
        return bool(_OPENING.match(after))
    if not _is_spoken(before):
        return not _OPENING.match(before)
    return bool(_SPACELESS.match(before) or _SPACELESS.match(after))


def _is_spoken(character: str) -> bool:
    return unicodedata.category(character)[0] in "LNM"
