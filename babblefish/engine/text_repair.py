"""Small repairs around rule-based translation: marks, spaces, apostrophes, Spanish punctuation.

Pure functions on one line of text. They change no words.
"""

from __future__ import annotations

import re

_QUOTES = str.maketrans({"\u2019": "'", "\u02bc": "'", "\u00a0": " ", "\u202f": " "})
_TILDE, _TILDE_STANDIN = "~", "\u223c"
"""a bare tilde wakes up Apertium's post-generator and is swallowed"""
_MARK = re.compile(r"(?<![\w*#@])[*#@]+(?=[\w<])")
_TAGS = re.compile(r"(?:<[a-z0-9]+>)+")
_SPACES = re.compile(r"[ \t]+")
_SPACE_BEFORE = re.compile(r" +([,.;:!?…)\]])")
_SPACE_BEFORE_COMMA = re.compile(r" +([,.…)\]])")
_ELISION = re.compile(
    r"\b(qu|lorsqu|puisqu|jusqu|[cdjlmnst]|dell|nell|all|un|quest|sull|dall)' +(?=\w)",
    re.IGNORECASE,
)
_ELIDING = frozenset({"fr", "it", "ca", "oc"})
_OPENING = frozenset({"es", "ast", "an"})
"""languages that open a question with an inverted mark"""
_SENTENCE = re.compile(r"[^.!?…]*[.!?…]+[\"'»)\]]*\s*|[^.!?…]+$")
_ASKING = re.compile(
    r"(?<=, )(?=(?:por qué|qué|cómo|quién(?:es)?|dónde|cuándo|cuál(?:es)?|cuánt[oa]s?)\b)",
    re.IGNORECASE,
)
_WRAPPING = " \"'«([—-"


def before(text: str, source: str) -> str:
    """``text`` as Apertium's dictionaries expect it."""
    text = text.translate(_QUOTES).replace(_TILDE, _TILDE_STANDIN)
    if source in _OPENING:
        return text
    return text.replace("¿", "").replace("¡", "")


def after(text: str, original: str, target: str) -> str:
    """Apertium's output ``text`` for the input ``original`` without the marks of the trade."""
    text = text.replace(_TILDE_STANDIN, _TILDE)
    if not _MARK.search(original):
        text = _MARK.sub("", text)
    if not _TAGS.search(original):
        text = _TAGS.sub("", text)
    text = _SPACES.sub(" ", text).strip()
    text = (_SPACE_BEFORE_COMMA if target == "fr" else _SPACE_BEFORE).sub(r"\1", text)
    if target in _ELIDING:
        text = _ELISION.sub(r"\1'", text)
    text = _open_questions(text) if target in _OPENING else text.replace("¿", "").replace("¡", "")
    return _keep_capital(text, original)


def _open_questions(text: str) -> str:
    return "".join(_opened(match[0]) for match in _SENTENCE.finditer(text))


def _opened(sentence: str) -> str:
    bare = sentence.rstrip(" \"'»)]")
    for closing, opening in (("?", "¿"), ("!", "¡")):
        if bare.endswith(closing) and opening not in sentence:
            asking = _ASKING.search(sentence) if closing == "?" else None
            lead = asking.start() if asking else len(sentence) - len(sentence.lstrip(_WRAPPING))
            return sentence[:lead] + opening + sentence[lead:]
    return sentence


def _keep_capital(text: str, original: str) -> str:
    """Start with a capital where the original did: reordering may have moved it away."""
    first = next((c for c in original if c.isalpha()), "")
    if not first.isupper():
        return text
    for at, char in enumerate(text):
        if char.isalpha():
            return text[:at] + char.upper() + text[at + 1 :]
        if char.isdigit():
            break
    return text
