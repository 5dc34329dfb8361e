"""How a sentence gets from one language into another, and how well.

Two ways exist: translate the transcript, or let the recogniser translate the speech itself, into
the target or into English and go on from there. A way that is ``good`` wins. Between those of the
``compact`` profile (Apertium, and Whisper's translation into English), what
``bench/translation_routes.py`` measured (chrF, ``bench/results/translation_routes.md``) decides:

* into English the recogniser wins everywhere: 72 against 65 from Spanish, 73 against 60 from
  French, 63 against 44 from Italian, 76 against 58 from Portuguese;
* between other languages translating the transcript wins everywhere by 3 to 16 points, where
  Apertium has the pair at all; where it has not, English is the bridge.

``good`` is kept for pairs of nearly the same language (Spanish and Portuguese: 73 to 76), where
what comes out needs no second reading. All else is readable, often rough, and marked ``basic``:
out of English Apertium reaches 55 to 63. This module is choice only: it runs no model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from babblefish.engine.stages import RecogniserCapabilities, TranslatorCapabilities
from babblefish.protocol import Quality

PIVOT = "en"
"""the bridge for speech translation that must go on into another language"""


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
    spoken = target in recogniser.translates_into
    written = _by_text(source, target, translator)
    if spoken and not (
        written and written.quality == "good" and recogniser.translation_quality != "good"
    ):
        return Route("speech", recogniser.translation_quality)
    return written or _over_pivot(source, target, recogniser, translator)


def _by_text(source: str, target: str, translator: TranslatorCapabilities | None) -> Route | None:
    if translator is None or (source, target) not in translator.pairs:
        return None
    return Route("text", translator.pairs[source, target])


def _over_pivot(
    source: str,
    target: str,
    recogniser: RecogniserCapabilities,
    translator: TranslatorCapabilities | None,
) -> Route | None:
    if source == PIVOT or PIVOT not in recogniser.translates_into:
        return None
    if translator is None or (PIVOT, target) not in translator.pairs:
        return None
    return Route("speech", "basic", through=PIVOT)
