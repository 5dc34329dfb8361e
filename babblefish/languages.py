"""Language codes, names and script directions.

One code inside the program: the shortest BCP-47 language subtag (``fr``, ``zh``, ``haw``).
``normalise`` accepts what people and programs send: ISO 639-1/-2/-3, BCP-47 tags and FLORES-200
codes (``fra_Latn``). Which languages a profile serves is the engine's business, not this module's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import langcodes

from babblefish.errors import BabbleFishError

Direction = Literal["ltr", "rtl"]
Hearing = Literal["voice", "basic_voice", "captions"]

_RTL_SCRIPTS = frozenset({"Arab", "Hebr", "Thaa", "Syrc", "Nkoo", "Adlm", "Rohg"})
_SAME = {
    "nb": "no", "cmn": "zh", "iw": "he", "in": "id", "fil": "tl", "jv": "jw", "pbt": "ps",
    "quy": "qu", "fuv": "ff",
}  # fmt: skip
"""Different tags for what the models know as one language."""


@dataclass(frozen=True, slots=True)
class LanguageOffer:
    """One line of the join page's language list."""

    code: str
    name: str
    """in the language itself: "français" """
    english_name: str
    direction: Direction
    speak: bool
    """people may speak it"""
    hear: Hearing | None
    """best that listeners of it get; None: it cannot be listened in"""


@lru_cache(maxsize=1024)
def normalise(code: str) -> str:
    """Any usual language code → this program's code.

    Raises BabbleFishError("language") when it is no language.
    """
    try:
        tag = langcodes.standardize_tag(code.strip().replace("_", "-"), macro=True)
        language = langcodes.Language.get(tag)
        if language.language is None or not language.is_valid():
            raise ValueError
    except (ValueError, AttributeError) as error:
        raise BabbleFishError(
            "language",
            "Unknown language code. Use a code such as fr, fr-FR or fra_Latn.",
        ) from error
    return _SAME.get(language.language, language.language)


@lru_cache(maxsize=1024)
def direction(code: str) -> Direction:
    return "rtl" if langcodes.Language.get(code).maximize().script in _RTL_SCRIPTS else "ltr"


@lru_cache(maxsize=1024)
def english_name(code: str) -> str:
    return langcodes.Language.get(code).display_name("en")


@lru_cache(maxsize=1024)
def own_name(code: str) -> str:
    return langcodes.Language.get(code).autonym()
