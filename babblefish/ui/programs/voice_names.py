"""Which voice a program means: one of the engine's own, or one of OpenAI's names for it.

OpenAI's names stand for a sex and a number, so that each is the same voice every time and
different ones differ where a language has enough voices. Knows no sound.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from babblefish import languages
from babblefish.engine import voice_matching
from babblefish.engine.voices import is_sayable
from babblefish.errors import SynthesisError

if TYPE_CHECKING:
    from babblefish.engine.engine import Engine
    from babblefish.engine.workers import WorkerPool

_HIGH = ("coral", "alloy", "nova", "sage", "shimmer", "marin")
_LOW = ("ash", "onyx", "echo", "fable", "verse", "ballad", "cedar")
OPENAI_VOICES: tuple[str, ...] = tuple(sorted((*_HIGH, *_LOW)))
_NAMESAKES = {
    "alloy": "af_alloy", "echo": "am_echo", "fable": "bm_fable", "nova": "af_nova",
    "onyx": "am_onyx",
}  # fmt: skip
"""OpenAI's voices that one of ours is called after, as it was made to resemble them"""
_HIGH_FROM = 165.0
"""Hertz: the pitch between most men's and most women's"""
_BLEND = re.compile(r"[a-z0-9_.*+]+", re.ASCII)
ANY = "any"
"""the best voice of the language"""


@dataclass(frozen=True, slots=True)
class Chosen:
    pool: WorkerPool
    language: str
    voice: str
    """as the pool calls it"""


def language_of(engine: Engine, voice: str) -> str | None:
    """The language that a voice of the engine's own belongs to; None for all other names."""
    found = {
        language
        for pool in engine.synthesisers
        for language, names in pool.capabilities.voices.items()
        if voice in names
    }
    return found.pop() if len(found) == 1 else None


def choose(engine: Engine, voice: str, language: str) -> Chosen:
    """voice: one of the engine's for ``language``, of OPENAI_VOICES, or ANY.
    language: this program's code.

    Raises SynthesisError("language" | "voice"), which name what there is.
    """
    best = engine.synthesiser(language)
    if best is None:
        raise SynthesisError("language", _no_language(engine, language))
    names = best.capabilities.voices[language]
    if voice in (ANY, ""):
        return Chosen(best, language, names[0])
    if voice in OPENAI_VOICES:
        return Chosen(best, language, _namesake(voice, language, names))
    for pool in engine.synthesisers:
        if voice in pool.capabilities.voices.get(language, ()):
            return Chosen(pool, language, voice)
    if _BLEND.fullmatch(voice) and is_sayable(voice, names):
        return Chosen(best, language, voice)
    raise SynthesisError(
        "voice",
        f"There is no such voice for {languages.english_name(language)}. Use {ANY}, one of "
        f"OpenAI's ({', '.join(OPENAI_VOICES)}) or one of ours: {', '.join(names[:8])}. "
        "GET /speak/voices lists them all.",
    )


def _namesake(voice: str, language: str, names: Sequence[str]) -> str:
    if _NAMESAKES.get(voice) in names:
        return _NAMESAKES[voice]
    group = _HIGH if voice in _HIGH else _LOW
    alike = [name for name in names if _is_high(name, language) == (group is _HIGH)] or names
    others = [name for name in alike if name not in _NAMESAKES.values()] or alike
    return others[group.index(voice) % len(others)]


def _is_high(name: str, language: str) -> bool | None:
    """None: nobody knows."""
    pitch = voice_matching.table().pitch(language, name)
    if pitch is not None:
        return pitch >= _HIGH_FROM
    _, mark, variant = name.partition("+")
    return variant.startswith("f") if mark and variant[:1] in "fm" else None


def _no_language(engine: Engine, language: str) -> str:
    spoken = sorted({code for pool in engine.synthesisers for code in pool.capabilities.voices})
    return (
        f"Nothing here speaks {languages.english_name(language)} aloud. "
        f"Languages with a voice: {', '.join(spoken)}."
    )
