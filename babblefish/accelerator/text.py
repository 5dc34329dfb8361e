"""Text as F5 reads it well: numbers and abbreviations as words, signs that it stumbles over
replaced, capitals only where letters are to be spelt.

Pure text work; what is said where is decided by the tables in ``text_tables.py``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Sequence

from babblefish.accelerator.f5_library import convert_char_to_pinyin

_SPACES = re.compile(r"\s+")


def readable(text: str, language: str) -> str:
    """``text`` to be read by F5; ends in punctuation, without white space around it. Empty where
    there is nothing to say."""
    return _SPACES.sub(" ", unicodedata.normalize("NFC", text)).strip()


def symbols(text: str, known: Container[str]) -> list[str]:
    """``text`` cut into what a vocabulary holds: letters, syllables of Chinese."""
    return list(convert_char_to_pinyin([text])[0])


def joined(reference: Sequence[str], spoken: Sequence[str]) -> list[str]:
    """Symbols of a reference's text and of what is to be said after it, with the blank between
    them without which F5 swallows the first letter."""
    between = [] if reference and reference[-1] == " " else [" "]
    return [*reference, *between, *spoken]
