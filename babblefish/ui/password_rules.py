"""Which passwords are too easy to guess, and what to say about it. Pure; knows no hashes."""

from __future__ import annotations

import re
import unicodedata

from babblefish.errors import SignInError

SHORTEST, LONGEST = 10, 200
"""characters"""
_REAL = 6
"""characters that must be left when everything easy in a password counts as one"""
_WORDS = (
    "administrator", "babblefish", "babelfish", "passphrase", "passwort", "password", "changeme",
    "iloveyou", "welcome", "willkommen", "meeting", "dragon", "monkey", "letmein", "superman",
    "sunshine", "princess", "football", "baseball", "master", "shadow", "secret", "geheim",
    "hallo", "hello", "admin", "login", "server", "hitchhiker", "motdepasse", "contrasena",
    "bonjour", "azerty", "test", "host", "root", "user", "pass", "room", "qwertz", "qwerty",
)  # fmt: skip
_ROWS = (
    "abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop", "qwertzuiop", "azertyuiop",
    "asdfghjkl", "qsdfghjklm", "zxcvbnm", "yxcvbnm", "1q2w3e4r5t6z7u8i9o0p", "1q2w3e4r5t6y7u8i9o0p",
    "1qaz2wsx3edc4rfv5tgb6yhn",
)  # fmt: skip
_LOOKALIKES = str.maketrans("0134578@$!€|", "oieastbasiel")
_YEAR = re.compile(r"(?:19|20)\d\d")
_REPEATED = re.compile(r"(.+?)\1+")
_EASY = "This password is easy to guess. Take one that is less usual, such as four unrelated words."


def normalised(password: str) -> str:
    """The same for every keyboard: accents may be typed in two ways."""
    return unicodedata.normalize("NFC", password)


def check(password: str) -> None:
    """Raises SignInError("weak") with a sentence that says what to change."""
    length = len(normalised(password))
    if length < SHORTEST:
        raise SignInError(
            "weak", f"Take at least {SHORTEST} characters, such as four unrelated words."
        )
    if length > LONGEST:
        raise SignInError("weak", f"Take at most {LONGEST} characters.")
    folded = _YEAR.sub("\0", normalised(password).casefold())
    letters = "".join(c for c in folded if c.isalnum())
    looks = [folded, letters if len(letters) > length / 2 else folded]
    if any(_left(text) < _REAL for look in looks for text in (look, look.translate(_LOOKALIKES))):
        raise SignInError("weak", _EASY)


def _left(text: str) -> int:
    """How many characters remain when each easy piece counts as one."""
    for word in _WORDS:
        text = text.replace(word, "\0")
    text = _without_rows(text)
    text = _REPEATED.sub(lambda found: found[1], text)
    return len(text.replace("\0\0", "\0"))


def _without_rows(text: str) -> str:
    """Four neighbours of the alphabet or a keyboard in a row, either way, count as one."""
    rows = [*_ROWS, *(row[::-1] for row in _ROWS)]
    out, at = [], 0
    while at < len(text):
        end = at + 1
        while end < len(text) and any(text[at : end + 1] in row for row in rows):
            end += 1
        out.append("\0" if end - at >= 4 else text[at:end])
        at = end
    return "".join(out)
