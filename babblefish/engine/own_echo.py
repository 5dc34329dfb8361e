"""Did a phone hear nothing but its own loudspeaker? By what was understood of it.

Sound that a phone played and its echo canceller left over is quiet, cut and garbled; what the
recogniser makes of it is still made of the words that were played. Who says something else while
the phone speaks is never taken for it. Pure functions on text; ``bleed.py`` compares the sounds.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable

_SHORTEST = 4
"""letters and digits in a row that count as played: fewer are in any sentence"""
_REPEATED = 0.7
"""part of what was understood that must have been played"""


def repeats(text: str, played: Iterable[str]) -> bool:
    """Whether ``text``, understood of what a microphone heard, says no more than ``played``."""
    said = _letters(text)
    return bool(said) and any(_share(said, _letters(each)) >= _REPEATED for each in played)


def _share(said: str, played: str) -> float:
    """Part of ``said`` that is in ``played``, in its order."""
    matcher = difflib.SequenceMatcher(None, said, played, autojunk=False)
    shortest = min(_SHORTEST, len(said))
    found = sum(m.size for m in matcher.get_matching_blocks() if m.size >= shortest)
    return found / len(said)


def _letters(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in plain if letter.isalnum())
