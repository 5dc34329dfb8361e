"""What makes a transcript doubtful: loops, impossible speed, phrases invented over non-speech.

Pure functions on text and figures. They know no model; the recogniser decides what to do with a
doubtful transcript (look again, shorten it, or say nothing).
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

MAX_COMPRESSION = 2.4
"""text that zips better than this repeats itself"""
_MIN_TEXT_TO_ZIP = 48
"""bytes; shorter texts always zip badly"""

_INVENTED = re.compile(
    r"""
    ^\W*(?:
      (?:thanks?|thank\ you)(?:\ (?:so|very)\ much)?(?:\ for\ (?:watching|listening).*)?
    | (?:bye|goodbye)(?:[\s,.-]*bye)*
    | (?:please\ )?(?:like\ and\ )?subscribe.*
    | (?:i'll\ )?see\ you\ (?:next\ time|in\ the\ next).*
    | sous-?titr.* | merci\ d'avoir\ regardé.* | abonnez-vous.*
    | subt[íi]tulos.* | gracias\ por\ ver.* | ¡?suscr[íi]be.*
    | untertitel.* | vielen\ dank\ fürs\ zuschauen.* | copyright.*
    | legendas?\ .* | obrigad[oa]\ por\ assistir.*
    | sottotitoli.* | grazie\ per\ (?:la\ visione|aver\ guardato).*
    | napisy\ .* | dzięki\ za\ (?:obejrzenie|oglądanie).*
    | субтитры.* | продолжение\ следует.* | спасибо\ за\ просмотр.*
    | ご視聴ありがとう.* | 字幕.* | 謝謝(?:觀看|大家).* | 请不吝点赞.*
    | .*amara\.org.*
    | you | the | so | okay | ok | oh | uh+ | um+ | h+m+ | m+
    | (?:\W*(?:music|musique|música|musik|musica|applause|applaudissements|aplausos|laughter|
       rires|risas|silence|noise|bruit|bell)\W*)+
    )\W*$
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""Phrases that subtitles taught the model to write where nobody speaks. People say many of them
in earnest, so a match is never a reason on its own to discard a transcript."""

_ANNOTATION = re.compile(r"\[[^\[\]]*\]|\([^()]*\)|[♩♪♫♬]+")
"""Subtitle annotations such as [Music] are never what somebody said."""
_SPACES = re.compile(r"\s+")
_SPACE_BEFORE_STOP = re.compile(r"\s+([,.…](?:\s|$))")


@dataclass(frozen=True, slots=True)
class Evidence:
    """One decoding and what speaks for it."""

    text: str
    tokens: int
    seconds: float
    confidence: float
    """mean token probability, 0..1"""
    no_speech: float
    """the model's probability that there is no speech, 0..1"""


def tidy(text: str) -> str:
    """One line without annotations, doubled or leading spaces; empty if no word is left."""
    text = _SPACES.sub(" ", _ANNOTATION.sub(" ", text)).strip()
    text = _SPACE_BEFORE_STOP.sub(r"\1", text)
    return text if any(c.isalnum() for c in text) else ""


def is_often_invented(text: str) -> bool:
    """Whether ``text`` is a phrase that the model is known to write over noise."""
    return _INVENTED.match(text) is not None


def compression(text: str) -> float:
    """How many times smaller ``text`` zips; 1.0 for text too short to tell."""
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if len(data) >= _MIN_TEXT_TO_ZIP else 1.0


def loop_start(text: str) -> int | None:
    """Index of the word where a repetition takes over, None when there is none.

    A loop is one to eight words said again and again until the end: five times for a single
    word, four for two, three for longer phrases.
    """
    words = [re.sub(r"\W", "", word).casefold() for word in text.split()]
    for size in range(1, 9):
        needed = 5 if size == 1 else 4 if size == 2 else 3
        matching = 0
        while matching + size < len(words) and words[-1 - matching] == words[-1 - matching - size]:
            matching += 1
        if matching >= size * (needed - 1):
            return len(words) - matching - size
    return None


def unloop(text: str) -> str:
    """``text`` with a repetition at its end said once."""
    start = loop_start(text)
    if start is None:
        return text
    words = text.split()
    keys = [re.sub(r"\W", "", word).casefold() for word in words]
    for size in range(1, 9):
        if (
            start + 2 * size <= len(keys)
            and keys[start : start + size] == (keys[start + size : start + 2 * size])
        ):
            return " ".join(words[: start + size])
    return " ".join(words[: start + 1])


def is_broken(evidence: Evidence, token_limit: int) -> bool:
    """Whether decoding went wrong: it loops, repeats itself, or ran into the length limit."""
    return (
        evidence.tokens >= token_limit
        or compression(evidence.text) > MAX_COMPRESSION
        or loop_start(evidence.text) is not None
    )


def is_doubtful(evidence: Evidence) -> bool:
    """Whether it is worth checking that there is speech at all behind the transcript."""
    return evidence.confidence < 0.5 or evidence.no_speech > 0.3 or is_often_invented(evidence.text)
