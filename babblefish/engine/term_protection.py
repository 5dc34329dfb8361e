"""Names and terms stay as they are: found in a text, spelt right, and carried through translation.

A translator is given another name in place of a term, one that it is known to leave alone, and the
term is put back. What came out without the term all the same gets it where a word resembles it.
Pure functions on text; which translator is asked, and how often, is decided elsewhere.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

UNKNOWN_WORDS = ("Xqzab", "Xqzeb", "Xqzob", "Xqzub", "Xqzac", "Xqzec", "Xqzoc", "Xqzuc")
"""in no dictionary, for translators without ``TranslatorCapabilities.stand_ins``"""
_ALSO_WORDS = frozenset(
    {
        "an", "art", "bill", "can", "chance", "do", "drew", "faith", "grace", "grant", "he", "hope",
        "in", "joy", "long", "mark", "may", "my", "no", "pat", "rob", "see", "so", "song", "sue",
        "to", "will", "mai", "sie", "wolf", "sol", "mar", "luz", "paz", "dia",
    }
)  # fmt: skip
"""names that are words too: at the beginning of a sentence, where words have a capital, they are
taken for words unless a comma or another capital follows"""
_RESEMBLES = 0.7
"""likeness of the letters from which a word is a term that was garbled"""
_INFLECTED = 4
"""letters from which a term is recognised with a genitive's or plural's ending"""
_UNDECOMPOSED = {"ł": "l", "đ": "d", "ø": "o", "ı": "i"}
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_PARTS = re.compile(r"[\s\-]+")
_WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")
_SENTENCE_START = re.compile(r"(?:^|[.!?…]['\"»”)]?\s)\W*$")
_WORD_END = r"(?!\w)"
_ENDING = r"(?=(?:e?s)?(?!\w))"


@dataclass(frozen=True, slots=True)
class Match:
    """A term in a text."""

    start: int
    end: int
    term: str


@dataclass(frozen=True, slots=True)
class Masked:
    """A text in which each term is another word."""

    text: str
    terms: dict[str, str]
    """that word → the term"""
    times: dict[str, int]
    """that word → how often it is in ``text``"""

    def restored(self, translation: str) -> str | None:
        """``translation`` with the terms; None where not each came out as often as it went in."""
        for word, term in self.terms.items():
            translation, count = re.subn(
                rf"(?<!\w){word}{_ENDING}", lambda _, term=term: term, translation, flags=re.I
            )
            if count != self.times[word]:
                return None
        return translation


def find(text: str, terms: Iterable[str]) -> list[Match]:
    """Where ``terms`` are in ``text``, longest first where they overlap; in order.

    Upper and lower case, missing accents, and spaces or hyphens inside do not matter; but a plain
    capitalised name needs its capital: "Rose" is not in "a red rose".
    """
    pattern, listed = _pattern(tuple(terms))
    if pattern is None:
        return []
    found = []
    for match in pattern.finditer(text):
        term = listed[int((match.lastgroup or "t0")[1:])]
        if _is_meant(term, text, match.start(), match.end()):
            found.append(Match(match.start(), match.end(), term))
    return found


def spelt(text: str, terms: Iterable[str]) -> str:
    """``text`` with each of ``terms`` in it spelt as it is listed."""
    return _replaced(text, [(m, m.term) for m in find(text, terms)])


def mask(text: str, matches: Sequence[Match], stand_ins: Sequence[str]) -> Masked | None:
    """``text`` with another word in place of each match; None where there are not enough of them.

    A term that begins with a vowel gets one that does, as articles depend on it.
    """
    free = [w for w in stand_ins if not re.search(rf"(?<!\w){w}", text, re.I)]
    chosen: dict[str, str] = {}
    for match in matches:
        if match.term in chosen:
            continue
        alike = [w for w in free if _is_vowel(w[0]) == _is_vowel(match.term[0])] or free
        if not alike:
            return None
        chosen[match.term] = alike[0]
        free.remove(alike[0])
    times = {word: sum(m.term == term for m in matches) for term, word in chosen.items()}
    masked = _replaced(text, [(m, chosen[m.term]) for m in matches])
    return Masked(masked, {word: term for term, word in chosen.items()}, times)


def missing(translation: str, matches: Sequence[Match]) -> list[str]:
    """The terms of the original that are not in ``translation``."""
    there = {match.term for match in find(translation, {m.term for m in matches})}
    return [term for term in dict.fromkeys(m.term for m in matches) if term not in there]


def repaired(translation: str, matches: Sequence[Match]) -> str:
    """``translation`` with terms of the original spelt right, and put in place of words with a
    capital that resemble them."""
    translation = spelt(translation, {match.term for match in matches})
    for term in missing(translation, matches):
        size = len(_PARTS.split(term))
        words = list(_WORD.finditer(translation))
        spans = [
            (words[n].start(), words[n + count - 1].end())
            for count in {size, size + 1, max(1, size - 1)}
            for n in range(len(words) - count + 1)
            if words[n][0][0].isupper() or not term[0].isupper()
        ]
        rated = [(_likeness(translation[a:b], term), a, b) for a, b in spans]
        best = max(rated, default=(0.0, 0, 0))
        if best[0] >= _RESEMBLES:
            translation = translation[: best[1]] + term + translation[best[2] :]
    return translation


def _replaced(text: str, changes: Iterable[tuple[Match, str]]) -> str:
    for match, word in sorted(changes, key=lambda change: -change[0].start):
        text = text[: match.start] + word + text[match.end :]
    return text


@lru_cache(maxsize=256)
def _pattern(terms: tuple[str, ...]) -> tuple[re.Pattern[str] | None, list[str]]:
    listed = sorted({t for t in terms if _WORD.search(t)}, key=lambda t: (-len(t), t))
    forms = [f"(?P<t{n}>{_form(term)})" for n, term in enumerate(listed)]
    return (re.compile("|".join(forms), re.I) if forms else None), listed


def _form(term: str) -> str:
    parts = [part for whole in _PARTS.split(term) for part in _CAMEL.split(whole) if part]
    body = r"[\s\-]?".join("".join(_letter(c) for c in part) for part in parts)
    if _is_unspaced(term):
        return body
    inflected = len(term) >= _INFLECTED and term[-1].isalpha() and term[-1] not in "sS"
    return rf"(?<!\w){body}{_ENDING if inflected else _WORD_END}"


def _letter(character: str) -> str:
    plain = _plain(character)
    if plain == character:
        return re.escape(character)
    return f"(?:{re.escape(character)}|{re.escape(plain)})"


def _plain(text: str) -> str:
    """Without accents."""
    text = "".join(_UNDECOMPOSED.get(c, c) for c in text)
    decomposed = unicodedata.normalize("NFD", text)
    return "".join(c for c in decomposed if not unicodedata.combining(c)) or text


def _is_unspaced(term: str) -> bool:
    return any("\u2e80" <= c <= "\uffdc" or "\u0e00" <= c <= "\u0eff" for c in term)


def _is_meant(term: str, text: str, start: int, end: int) -> bool:
    """Whether what is spelt like ``term`` is the term."""
    if not (term.isalpha() and term[0].isupper() and not any(c.isupper() for c in term[1:])):
        return True
    if not text[start].isupper():
        return False
    if term.casefold() not in _ALSO_WORDS or not _SENTENCE_START.search(text[:start]):
        return True
    after = text[end:].lstrip()
    return not after or not after[0].isalnum() or after[0].isupper()


def _is_vowel(character: str) -> bool:
    return _plain(character).casefold() in "aeiou"


def _likeness(one: str, other: str) -> float:
    one, other = _plain(one).casefold(), _plain(other).casefold()
    return difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()
