"""How a sentence gets from one language into another, and how well.

Two ways exist in a profile without a neural translator: translate the transcript (Apertium), or
let the recogniser translate the speech itself into English and go on from there. Neither wins
everywhere; ``TEXT_FIRST`` holds what ``bench/translation_routes.py`` measured. This module
is data and choice only: it runs no model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from babblefish.engine.stages import RecogniserCapabilities, TranslatorCapabilities
from babblefish.protocol import Quality

PIVOT = "en"
"""the language that recognisers translate speech into"""

TEXT_FIRST = frozenset({("es", "en"), ("ca", "en"), ("gl", "en")})
"""pairs into English, or through it, where the transcript's translation beats the speech's"""


@dataclass(frozen=True, slots=True)
class Route:
    kind: Literal["text", "speech"]
    """``text``: translate the transcript. ``speech``: the recogniser translates"""
    quality: Quality
    through: str | None = None
    """``speech`` only: the language the recogniser translates into when it is not the target;
    from there text translation goes on"""


def plan(
    source: str,
    target: str,
    recogniser: RecogniserCapabilities,
    translator: TranslatorCapabilities | None,
) -> Route | None:
    """The best way from ``source`` speech to ``target`` text; None when there is none."""
    if source == target:
        return Route("text", "good")
    if source not in recogniser.languages:
        return None
    pairs = translator.pairs if translator else {}
    text = Route("text", pairs[source, target]) if (source, target) in pairs else None
    speech = _speech(source, target, recogniser, translator)
    if text and speech:
        return text if text.quality == "good" or (source, target) in TEXT_FIRST else speech
    return text or speech


def _speech(
    source: str,
    target: str,
    recogniser: RecogniserCapabilities,
    translator: TranslatorCapabilities | None,
) -> Route | None:
    if target in recogniser.translates_into:
        return Route("speech", "basic")
    if source == PIVOT or PIVOT not in recogniser.translates_into:
        return None
    if translator and (PIVOT, target) in translator.pairs:
        return Route("speech", "basic", through=PIVOT)
    return None
