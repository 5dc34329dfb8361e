"""Names people type: made harmless and one line, or refused with a reason.

Escaping for HTML, subtitles and so on is the business of whoever renders them.
"""

from __future__ import annotations

import unicodedata

from babblefish.errors import RoomError

MAX_NAME = 40


def clean_name(name: str, what: str = "name") -> str:
    """``name`` in NFC, on one line, without control and text-direction characters.

    Raises RoomError("bad_name") when nothing is left or it is too long.
    """
    text = unicodedata.normalize("NFC", name)
    text = "".join(" " if c.isspace() else c for c in text)
    # Cf holds direction overrides, Co and Cs have no meaning outside their font or encoding.
    # The zero-width joiner stays: emoji and several scripts are spelt with it.
    text = "".join(
        c for c in text if c == "\u200d" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co")
    )
    text = " ".join(text.split())
    if not text.strip("\u200d"):
        raise RoomError("bad_name", f"Please enter a {what}.")
    if len(text) > MAX_NAME:
        raise RoomError("bad_name", f"The {what} is too long: at most {MAX_NAME} characters.")
    return text
