"""What somebody reads aloud to enrol: three sentences of 6 to 8 seconds, rich in sounds.

Plain data in ``enrolment_prompts.json``, one entry per language; every sentence can be said by
anybody. Knows no screens and no recordings.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

FALLBACK = "en"
COUNT = 3
OR_ANYTHING = "Or say anything you like in your own language, for about 20 seconds."


@dataclass(frozen=True, slots=True)
class EnrolmentPrompts:
    language: str
    """code of the sentences: another than the one asked for where there are none in it"""
    sentences: tuple[str, ...]
    note: str
    """said beside them, in English; empty where they are in the language asked for"""


@lru_cache(maxsize=1)
def languages() -> frozenset[str]:
    """Codes of the languages that have sentences of their own."""
    return frozenset(_table())


def prompts(language: str) -> EnrolmentPrompts:
    """The sentences for somebody who speaks ``language`` (this program's code); English ones, and
    leave to say anything else, where there are none."""
    table = _table()
    if language in table:
        return EnrolmentPrompts(language, tuple(table[language]), "")
    return EnrolmentPrompts(FALLBACK, tuple(table[FALLBACK]), OR_ANYTHING)


@lru_cache(maxsize=1)
def _table() -> dict[str, list[str]]:
    return json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
