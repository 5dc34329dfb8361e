"""Text as F5 reads it well: numbers and abbreviations as words, signs that it stumbles over
replaced, capitals only where letters are to be spelt.

Pure text work; the words of each language are in ``text_tables.py``.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Container, Sequence

from unidecode import unidecode

from babblefish.accelerator.f5_library import convert_char_to_pinyin
from babblefish.accelerator.numbers_as_words import spell
from babblefish.accelerator.pace import units
from babblefish.accelerator.text_tables import ABBREVIATIONS, SIGNS

_UNSAID = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "So", "Sk"})
"""categories of characters: controls, marks of direction, pictures"""
_SPACES = re.compile(r"\s+")
_ENDS = ".!?。！？।؟"
_WIDE = frozenset({"zh", "ja"})
_CAPITALS = re.compile(r"(?<![^\W\d_])[^\W\d_a-z]{2,}(?![^\W\d_])")
_VOWELS = frozenset("AEIOUYÄÖÜÅÁÉÍÓÚÀÈАЕЁИОУЫЭЮЯ")
_CURRENCY = re.compile(r"([€$£¥₹])\s?(-?\d[\d.,\u00a0\u202f']*\d|\d)")
_PERCENT = re.compile(r"(-?\d[\d.,]*)\s?%")
_RANGE = re.compile(r"(?<![\d-])(\d{1,6})([-–])(\d{1,6})(?![\d-])")
_JOINTS = re.compile(r"(?<=\d)-(?=\d)|(?<=[^\W\d_])-(?=\d)")
_PUNCTUATION = (
    (re.compile(r"\.{2,}|…+"), ". "),
    (re.compile(r"\s[-–—]+\s|[–—]"), ", "),
    (re.compile(r"[()\[\]{}]"), ", "),
    (re.compile(r"[«»„“”\"‹›「」『』《》]"), " "),
    (re.compile(r"[;:]"), ","),
    (re.compile(r"[；：]"), "，"),
    (re.compile(r"[/\\*_#|~^<>=`]"), " "),
    (re.compile(r"\s+([,.!?，。！？、])"), r"\1"),
    (re.compile(r"([!?！？])[!?！？]+"), r"\1"),
    (re.compile(r"[,，、]+([.!?。！？])"), r"\1"),
    (re.compile(r"([.!?。！？])[,.，。、]+"), r"\1"),
    (re.compile(r"([,，、])[,，、]+"), r"\1"),
)


def readable(text: str, language: str) -> str:
    """``text`` to be read by F5; ends in punctuation, without white space around it. Empty where
    there is nothing to say."""
    text = unicodedata.normalize("NFC", text).replace("’", "'").replace("‘", "'")
    text = "".join(" " if c.isspace() else c for c in text if c.isspace() or _is_said(c))
    text = _expand(text, language)
    text = _signs(text, language)
    text = spell(_lower(text), language)
    for pattern, instead in _PUNCTUATION:
        text = pattern.sub(instead, text)
    text = _SPACES.sub(" ", text).strip(" ,，、-'")
    text = text.lstrip(".!?。！？ ")
    if not any(map(str.isalnum, text)):
        return ""
    if text[-1] in _ENDS:
        return text
    return text.rstrip(",，、-' ") + ("。" if language in _WIDE else ".")


def _is_said(character: str) -> bool:
    return unicodedata.category(character) not in _UNSAID or character == "°"


def symbols(text: str, known: Container[str]) -> list[str]:
    """``text`` cut into what a vocabulary holds: letters, syllables of Chinese. A letter that it
    does not hold becomes one that sounds alike, since what is not read would be missing beside
    the sound of a reference."""
    found: list[str] = []
    for symbol in convert_char_to_pinyin([text])[0]:
        if symbol in known:
            found.append(symbol)
        else:
            found += [s for s in _alike(symbol) if s in known and (s != " " or found[-1:] != [" "])]
    return found


def pieces(text: str, most: float) -> list[str]:
    """``text`` cut so that no piece has more than ``most`` units (see ``pace.py``), at ends of
    sentences where there are any, else at commas, else between words."""
    if units(text) <= most:
        return [text]
    for cut in (r"(?<=[.!?])\s+|(?<=[。！？])", r"(?<=,)\s+|(?<=[，、])", r"\s+", r"(?<=\S)"):
        parts = [part for part in re.split(cut, text) if part and not part.isspace()]
        if len(parts) > 1:
            break
    joint = "" if units(text) > 0 and " " not in text else " "
    found: list[str] = []
    for part in parts:
        if found and units(found[-1] + joint + part) <= most:
            found[-1] += joint + part
        else:
            found.append(part)
    return [piece for part in found for piece in (pieces(part, most) if part != text else [part])]


def joined(reference: Sequence[str], spoken: Sequence[str]) -> list[str]:
    """Symbols of a reference's text and of what is to be said after it, with the blank between
    them without which F5 swallows the first letter."""
    between = [] if reference and reference[-1] == " " else [" "]
    rest = spoken[1:] if spoken[:1] == [" "] else spoken
    return [*reference, *between, *rest]


def _alike(symbol: str) -> str:
    plain = "".join(c for c in unicodedata.normalize("NFD", symbol) if not unicodedata.combining(c))
    return plain if plain != symbol and plain.isascii() else unidecode(symbol)


def _expand(text: str, language: str) -> str:
    pattern = _abbreviations(language)
    if pattern is None:
        return text
    words = ABBREVIATIONS[language]
    return pattern.sub(lambda match: words[match[0]], text)


@functools.cache
def _abbreviations(language: str) -> re.Pattern[str] | None:
    known = ABBREVIATIONS.get(language)
    if not known:
        return None
    longest_first = sorted(known, key=len, reverse=True)
    return re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, longest_first)) + r")(?!\w)")


def _signs(text: str, language: str) -> str:
    """Currencies, percentages, units and other signs as words."""
    words = SIGNS.get(language, {})
    text = _CURRENCY.sub(lambda match: f"{match[2]} {match[1]}", text)
    if language == "zh":
        text = _PERCENT.sub(lambda match: words["%"] + match[1], text)
    text = _JOINTS.sub(" ", _RANGE.sub(lambda match: _range(match, words.get("–", ",")), text))
    for sign in sorted(words, key=len, reverse=True):
        if sign.isalpha() or "/" in sign:  # a unit, after its number only
            text = re.sub(rf"(?<=\d)\s?{re.escape(sign)}(?!\w)", f" {words[sign]}", text)
        elif sign != "–":
            text = text.replace(sign, f" {words[sign]} ")
    return text


def _range(match: re.Match[str], to: str) -> str:
    """From one number to a greater one; other numbers with a dash between them stay."""
    lengths = {len(match[1]), len(match[3])}
    rising = int(match[1]) < int(match[3]) and (len(lengths) == 1 or max(lengths) <= 3)
    return f"{match[1]} {to} {match[3]}" if rising or match[2] == "–" else match[0]


def _lower(text: str) -> str:
    """Capitals are read letter by letter: kept for abbreviations, apart from each other, and
    written small where a whole word, or a whole text, is in capitals."""
    letters = [c for c in text if c.isalpha()]
    if len(letters) > 8 and " " in text.strip() and all(map(str.isupper, letters)):
        return text.capitalize()
    return _CAPITALS.sub(lambda match: _acronym(match[0]), text)


def _acronym(word: str) -> str:
    if not word.isupper():
        return word
    vowels = sum(letter in _VOWELS for letter in word)
    if len(word) >= 4 and 0.25 <= vowels / len(word) <= 0.7:
        return word.capitalize()
    return " ".join(word)
