"""The names and terms of a room: what the host listed, and the names of those who are there.

They are what the recogniser listens for and what translation leaves as it is. Pure functions on
text; knows no engine.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

from babblefish.errors import RoomError

MOST_TERMS = 100
MAX_TERM = 40
"""characters"""
MOST_EXPECTED = 160
"""terms, names included, that the recogniser is told of; each costs it a little"""
_LEAST_OF_NAME = 3
"""letters of a name, or a part of one, that is worth listening for: shorter ones are words, too"""
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


@lru_cache(maxsize=64)
def terms(text: str) -> tuple[str, ...]:
    """The lines of what the host typed, tidied, each once, in their order.

    Raises RoomError("glossary") that says which line is no term, or that there are too many.
    """
    found: dict[str, None] = {}
    for line in text.splitlines():
        term = _clean(line)
        if not term:
            continue
        if len(term) > MAX_TERM:
            raise RoomError(
                "glossary",
                f"“{term[:MAX_TERM]}…” is too long: a name or term has at most {MAX_TERM} "
                "characters. Put each on a line of its own.",
            )
        if not any(c.isalnum() for c in term):
            raise RoomError("glossary", f"“{term}” is no name or term: it has no letters.")
        found[term] = None
    if len(found) > MOST_TERMS:
        raise RoomError(
            "glossary",
            f"These are {len(found)} names and terms; {MOST_TERMS} are possible. "
            "Keep those that are misheard.",
        )
    return tuple(found)


def expected(listed: Sequence[str], names: Iterable[str]) -> tuple[str, ...]:
    """All that may be said: the names of the people in the room, whole and in parts, and the
    host's terms; if they are too many, the host's last ones win, then the first people's."""
    wanted = dict.fromkeys(reversed(listed))
    for name in names:
        wanted |= dict.fromkeys(_of_name(name))
    return tuple(list(wanted)[:MOST_EXPECTED])


def _of_name(name: str) -> list[str]:
    """ "Hassan al-Rashid" → itself, "Hassan", "Rashid": people are called by any of them."""
    parts = [
        part for part in _WORD.findall(name)
        if len(part) >= _LEAST_OF_NAME and (part[0].isupper() or not part[0].islower())
    ]  # fmt: skip
    whole = [name] if sum(c.isalpha() for c in name) >= _LEAST_OF_NAME else []
    return [*whole, *parts]


def _clean(line: str) -> str:
    text = unicodedata.normalize("NFC", line)
    text = "".join(" " if c.isspace() else c for c in text)
    text = "".join(c for c in text if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co"))
    return " ".join(text.split())
