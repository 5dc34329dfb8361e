"""Which voice a person wants for their translations, as one line of text that can be stored.

``closest``, ``neutral``, or a voice for each of some languages, ``en:af_heart fr:ff_siwis``: the
others stay closest. Knows no voices.
"""

from __future__ import annotations

from collections.abc import Mapping

CLOSEST, NEUTRAL = "closest", "neutral"


def is_neutral(choice: str) -> bool:
    return choice == NEUTRAL


def by_language(choice: str) -> Mapping[str, str]:
    """language → the voice that was asked for."""
    pairs = (part.partition(":") for part in choice.split())
    return {language: voice for language, colon, voice in pairs if colon and voice}


def choose(choice: str, voice: str, language: str = "") -> str:
    """``choice`` after asking for ``voice``: CLOSEST or NEUTRAL everywhere, CLOSEST in one
    language, or a voice of one language."""
    if voice in (CLOSEST, NEUTRAL) and not language:
        return voice
    chosen = {**by_language(choice), language: voice}
    if voice == CLOSEST:
        del chosen[language]
    return " ".join(f"{code}:{name}" for code, name in sorted(chosen.items())) or CLOSEST
