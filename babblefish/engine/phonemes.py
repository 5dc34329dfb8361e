"""Text → the phoneme symbols that Kokoro was trained on, by espeak-ng kept loaded in-process.

Knows spelling, not sound: no model, no audio. espeak-ng keeps process-global state, so one process
uses one ``Phonemiser`` at a time; a stage lives in a worker process of its own anyway.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from functools import lru_cache

import espeakng_loader
from phonemizer.backend import EspeakBackend
from phonemizer.backend.espeak.wrapper import EspeakWrapper

ESPEAK_NAMES = {
    "en": "en-us",
    "en-gb": "en-gb",
    "es": "es",
    "fr": "fr-fr",
    "hi": "hi",
    "it": "it",
    "pt": "pt-br",
}
"""dialect → espeak-ng's voice"""

_TIED = {
    "a^ɪ": "I", "a^ʊ": "W", "e^ɪ": "A", "ɔ^ɪ": "Y", "o^ʊ": "O", "ə^ʊ": "Q",
    "d^ʒ": "ʤ", "t^ʃ": "ʧ", "d^z": "ʣ", "t^s": "ʦ",
}  # fmt: skip
"""diphthongs and affricates are one symbol each in Kokoro's alphabet; in all languages"""
_ENGLISH = {
    "ʔˌn̩": "tᵊn", "ʔn̩": "tᵊn", "ʔn": "tᵊn", "ʔ": "t", "ə^l": "ᵊl", "n̩": "ᵊn", "l̩": "ᵊl",
    "ɚ": "əɹ", "r": "ɹ", "x": "k", "ç": "k", "ɐ": "ə", "ɬ": "l", "\u0303": "",
}  # fmt: skip
_AMERICAN = {"ɾ": "T", "ɜːɹ": "ɜɹ", "ɜː": "ɜɹ", "ɪə": "iə", "ː": "", "e": "A"}
_BRITISH = {"e^ə": "ɛː", "iə": "ɪə", "e": "A"}
_QUOTES = str.maketrans({"«": "“", "»": "”", "„": "“", "’": "'", "‘": "'", "\u00a0": " ", "।": "."})
_UNSAID = re.compile(r"[^\w\s.,;:!?…—–\-'\"“”()%€$£&@+=°/#*^<>|~]|[\u200b-\u200f\u202a-\u202e_]")
"""emoji, ornaments and invisible marks: espeak would read some of them out"""


def speakable(text: str) -> str:
    """``text`` without what has no sound; empty when no letter or digit is left.

    Combining marks belong to letters of scripts such as Devanagari, so they are kept.
    """
    text = text.translate(_QUOTES)
    text = "".join(c for c in text if not _UNSAID.match(c) or _is_mark(c))
    return " ".join(text.split()) if any(c.isalnum() for c in text) else ""


def _is_mark(character: str) -> bool:
    return unicodedata.category(character) in ("Mn", "Mc")


class Phonemiser:
    """Keeps one espeak-ng voice per dialect. Raises RuntimeError where espeak-ng is broken."""

    def __init__(self) -> None:
        EspeakWrapper.set_library(espeakng_loader.get_library_path())
        EspeakWrapper.set_data_path(espeakng_loader.get_data_path())
        self._logger = logging.getLogger("babblefish.phonemes")
        self._logger.setLevel(logging.CRITICAL)
        self._backend = lru_cache(maxsize=None)(self._open)

    def _open(self, dialect: str) -> EspeakBackend:
        return EspeakBackend(
            ESPEAK_NAMES[dialect],
            preserve_punctuation=True,
            with_stress=True,
            tie="^",
            language_switch="remove-flags",
            words_mismatch="ignore",
            logger=self._logger,
        )

    def phonemes(self, text: str, dialect: str) -> str:
        """``text`` as Kokoro's symbols. dialect: a key of ``ESPEAK_NAMES``."""
        said = speakable(text)
        if not said:
            return ""
        return in_kokoro_alphabet(self._backend(dialect).phonemize([said])[0], dialect)


def in_kokoro_alphabet(ipa: str, dialect: str) -> str:
    """espeak-ng's IPA with ties → the symbols Kokoro saw in training."""
    rules = [_TIED]
    if dialect == "en":
        rules = [_ENGLISH | _TIED, _AMERICAN]
    elif dialect == "en-gb":
        rules = [_ENGLISH | _TIED, _BRITISH]
    for table in rules:
        for old in sorted(table, key=len, reverse=True):
            ipa = ipa.replace(old, table[old])
    return " ".join(ipa.replace("^", "").replace("-", "").split())
