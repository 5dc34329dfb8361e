"""What the stages of each profile can do, known without their weights: for the table of languages.

Whisper, NLLB-200, SeamlessM4T and MMS publish which languages they know; those of the others come
with their code. A test compares these claims with the stages themselves.
"""

from __future__ import annotations

from collections.abc import Callable

from babblefish.engine.catalogue import VOICE_LANGUAGES
from babblefish.engine.offers import Abilities
from babblefish.engine.seamless_codes import WRITTEN, WRITTEN_ONLY, standard_codes
from babblefish.engine.stages import (
    RecogniserCapabilities,
    SynthesiserCapabilities,
    TranslatorCapabilities,
)
from babblefish.engine.voices import KOKORO_VOICES

KOKORO = SynthesiserCapabilities(KOKORO_VOICES, "good")
MMS = SynthesiserCapabilities(dict.fromkeys(VOICE_LANGUAGES, ("any",)), "good")


def whisper() -> RecogniserCapabilities:
    from faster_whisper.tokenizer import _LANGUAGE_CODES

    # The hundredth came with large-v3 alone.
    known = frozenset(_LANGUAGE_CODES) - {"yue"}
    return RecogniserCapabilities(known, frozenset({"en"}), 30.0)


def seamless() -> tuple[RecogniserCapabilities, TranslatorCapabilities]:
    written = frozenset(standard_codes(WRITTEN.split()))
    recogniser = RecogniserCapabilities(written - WRITTEN_ONLY, written, 30.0, "good")
    return recogniser, TranslatorCapabilities.among(written)


def nllb() -> TranslatorCapabilities:
    from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES

    from babblefish.engine.nllb import find_languages

    return TranslatorCapabilities.among(find_languages(FAIRSEQ_LANGUAGE_CODES))


def espeak() -> SynthesiserCapabilities:
    from babblefish.engine.espeak import EspeakSynthesiser

    return EspeakSynthesiser().capabilities


def _compact() -> Abilities:
    from babblefish.engine.apertium import ApertiumTranslator

    return Abilities(whisper(), ApertiumTranslator(warm=()).capabilities, (KOKORO, espeak()))


def _whisper_nllb() -> Abilities:
    return Abilities(whisper(), nllb(), (KOKORO, MMS, espeak()))


def _seamless() -> Abilities:
    return Abilities(*seamless(), (KOKORO, MMS, espeak()))


PROFILES: dict[str, Callable[[], Abilities]] = {
    "compact": _compact, "whisper-nllb": _whisper_nllb, "seamless": _seamless,
}  # fmt: skip
"""with all voices installed; compact with the dictionaries that this machine has"""
