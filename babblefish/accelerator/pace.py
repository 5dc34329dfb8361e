"""How long a text takes to say at the pace of a reference.

F5 fills exactly the time that it is given: too little, and words are dropped or rushed; too much,
and it repeats what the reference said. So the pace is taken from the reference, by what is spoken
rather than by how many bytes it takes to write, and held within what people do. Pure arithmetic.
"""

from __future__ import annotations

import unicodedata

SLOWEST, FASTEST = 8.0, 21.0
"""units a second that are believed"""
ORDINARY = 14.5
"""units a second of somebody who speaks in a meeting"""
_PAUSES = {",": 0.14, ".": 0.24, "!": 0.24, "?": 0.24, "、": 0.14, "，": 0.14, "。": 0.24,
           "！": 0.24, "？": 0.24, "।": 0.24, "،": 0.14, "؟": 0.24}  # fmt: skip
"""seconds, inside a text"""
_EDGE = 0.12
"""seconds before and after, which are trimmed away again"""
_SHORT = 14.0
"""units below which a text needs more time than its pace says, or F5 swallows it"""
_SHORTEST_SECONDS = 0.7


def units(text: str) -> float:
    """What there is to say, in letters of an alphabet with vowels."""
    return sum(map(_unit, text))


def _unit(character: str) -> float:
    if character.isspace():
        return 0.5
    if not character.isalnum():
        return 0.35 if unicodedata.category(character) in ("Mc", "Mn") else 0.0
    if character.isdigit():
        return 4.0
    point = ord(character)
    if 0x3040 <= point <= 0x30FF:
        return 2.0  # a syllable of kana
    if 0x2E80 <= point <= 0x9FFF or 0xAC00 <= point <= 0xD7AF or 0xF900 <= point <= 0xFAFF:
        return 3.3
    if 0x0590 <= point <= 0x06FF:
        return 1.45  # short vowels are not written
    if 0x0900 <= point <= 0x0DFF:
        return 1.6
    return 1.0


def pauses(text: str) -> float:
    """Seconds of pauses that punctuation asks for, the one at the end left out."""
    return sum(_PAUSES.get(character, 0.0) for character in text.strip()[:-1])


def pace_of(text: str, seconds: float) -> float:
    """Units a second of somebody who said ``text`` in so many seconds of speech."""
    return min(FASTEST, max(SLOWEST, units(text) / max(seconds, 0.1)))


def fits(text: str, seconds: float) -> bool:
    """Whether anybody could have said ``text`` in so many seconds of speech."""
    return 3.0 <= units(text) / max(seconds, 0.1) <= 34.0


def seconds_for(text: str, pace: float) -> float:
    """What F5 should be given to say ``text``; more than its words take."""
    return max(_SHORTEST_SECONDS, spoken_seconds(text, pace) * _slack(text)) + 2 * _EDGE


def spoken_seconds(text: str, pace: float) -> float:
    """How long its words take, from the first sound to the last."""
    return units(text.strip()) / pace + pauses(text)


def _slack(text: str) -> float:
    missing = max(0.0, 1.0 - units(text.strip()) / _SHORT)
    return 1.0 + 1.5 * missing
