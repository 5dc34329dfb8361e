"""Which languages can be spoken, read and heard, as it follows from what the stages can do.

Pure arithmetic on capabilities: the join page asks it about the stages that run, the table of
languages about those of profiles that are not even installed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from babblefish import languages
from babblefish.engine import routes
from babblefish.engine.stages import (
    RecogniserCapabilities,
    SynthesiserCapabilities,
    TranslatorCapabilities,
)
from babblefish.languages import Hearing, LanguageOffer
from babblefish.protocol import Quality

_RANK: Mapping[Hearing | None, int] = {"voice": 0, "basic_voice": 1, "captions": 2, None: 3}


@dataclass(frozen=True, slots=True)
class Abilities:
    """Of all stages of one engine."""

    recogniser: RecogniserCapabilities
    translator: TranslatorCapabilities | None
    synthesisers: Sequence[SynthesiserCapabilities]
    """best first"""

    def hearing(self, language: str) -> Hearing | None:
        """What a listener of ``language`` gets at best; None: nothing is translated into it."""
        spoken = self.recogniser.languages - {language}
        if not any(self._route(source, language) for source in spoken):
            return None
        voice = next((able for able in self.synthesisers if language in able.voices), None)
        if voice is None:
            return "captions"
        return "voice" if voice.quality == "good" else "basic_voice"

    @property
    def known(self) -> frozenset[str]:
        """Every language that may be spoken, written, read or heard."""
        pairs = self.translator.pairs if self.translator else {}
        return self.recogniser.languages.union(*pairs)

    def written(self) -> dict[str, dict[str, Quality]]:
        """What a *text* in each language is translated into, and how well; best first."""
        found: dict[str, dict[str, Quality]] = {}
        pairs = self.translator.pairs if self.translator else {}
        for (source, target), quality in sorted(pairs.items(), key=lambda p: (p[1] != "good", p)):
            found.setdefault(source, {})[target] = quality
        return found

    def languages(self) -> list[LanguageOffer]:
        """Every language that may be spoken or heard, best served first."""
        known = set(self.recogniser.languages)
        if self.translator:
            known |= {target for _, target in self.translator.pairs}
        offers = [
            LanguageOffer(
                code,
                languages.own_name(code),
                languages.english_name(code),
                languages.direction(code),
                code in self.recogniser.languages,
                self.hearing(code),
            )
            for code in known
        ]
        return sorted(offers, key=lambda o: (_RANK[o.hear], o.name.casefold()))

    def _route(self, source: str, target: str) -> routes.Route | None:
        return routes.plan(source, target, self.recogniser, self.translator)
