"""Which language was spoken: what a model heard, weighed with what the speaker declared.

Pure arithmetic on probabilities; it knows neither audio nor models.
"""

from __future__ import annotations

from collections.abc import Collection

_SWITCH_ODDS = 50.0
"""how many times likelier than the declared language another one must sound to replace it"""
_RARE = 0.1
"""weight of languages that the model knows little and hears too often"""
_FULL_EVIDENCE_SECONDS = 3.0
"""language evidence of a shorter clip is weakened in proportion"""
_WELL_KNOWN = frozenset(
    {
        "ar",
        "bg",
        "ca",
        "cs",
        "da",
        "de",
        "el",
        "en",
        "es",
        "fa",
        "fi",
        "fr",
        "he",
        "hi",
        "hr",
        "hu",
        "id",
        "it",
        "ja",
        "ko",
        "ms",
        "nl",
        "no",
        "pl",
        "pt",
        "ro",
        "ru",
        "sk",
        "sv",
        "ta",
        "th",
        "tr",
        "uk",
        "ur",
        "vi",
        "zh",
    }
)
NON_LATIN = frozenset(
    {
        "am",
        "ar",
        "as",
        "ba",
        "be",
        "bg",
        "bn",
        "bo",
        "el",
        "fa",
        "gu",
        "he",
        "hi",
        "hy",
        "ja",
        "ka",
        "kk",
        "km",
        "kn",
        "ko",
        "lo",
        "mk",
        "ml",
        "mn",
        "mr",
        "my",
        "ne",
        "pa",
        "ps",
        "ru",
        "sa",
        "sd",
        "si",
        "sr",
        "ta",
        "te",
        "tg",
        "th",
        "tt",
        "uk",
        "ur",
        "yi",
        "yue",
        "zh",
    }
)
"""languages whose script takes a speech model many tokens per second"""


def weigh_languages(
    heard: dict[str, float], declared: str | None, seconds: float, among: Collection[str] = ()
) -> tuple[str, float]:
    """Bayes: the model's language probabilities weighed with the declared language.

    Evidence from less than ``_FULL_EVIDENCE_SECONDS`` is weakened, so that a short "oui" does not
    turn a French speaker into somebody else. among: no other language is possible, and each of
    these is as likely; empty: any. Returns the language and its probability.
    """
    if among:
        weights = {code: max(heard.get(code, 0.0), 1e-9) for code in among}
        best = max(weights, key=weights.__getitem__)
        return best, weights[best] / sum(weights.values())
    trust = min(1.0, seconds / _FULL_EVIDENCE_SECONDS) if declared else 1.0
    weights = {
        code: max(probability, 1e-9) ** trust * (1.0 if code in _WELL_KNOWN else _RARE)
        for code, probability in heard.items()
    }
    if declared is not None:
        weights[declared] = max(heard.get(declared, 0.0), 1e-9) ** trust * _SWITCH_ODDS
    best = max(weights, key=weights.__getitem__)
    return best, weights[best] / sum(weights.values())
