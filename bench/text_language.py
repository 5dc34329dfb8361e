"""How well the language of a short text is told: right, wrong, or said to be unclear.

The texts are what programs of this machine say to their users (GNU gettext's catalogues), which is
short and without context, in a hundred languages. Asked is what the ``compact`` profile would ask.

    python -m bench.text_language
"""

from __future__ import annotations

import gettext
import json
import random
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from babblefish import languages
from babblefish.engine import claims
from babblefish.engine.apertium import ApertiumTranslator
from babblefish.engine.text_language import TextLanguageIdentifier
from babblefish.errors import BabbleFishError

RESULTS = Path(__file__).parent / "results" / "text_language.json"
CATALOGUES = Path("/usr/share/locale")
PROGRAMS = ("coreutils", "glib20", "gtk30", "Linux-PAM", "PackageKit", "grep", "gdk-pixbuf",
            "software-properties", "libapt-pkg6.0", "appstream")  # fmt: skip
PER_LANGUAGE = 600
LENGTHS = ((1, 2), (3, 5), (6, 99))
"""words"""
_TECHNICAL = re.compile(r"[%{}<>\n\\=|/@`\d\x04]|--|[A-Z]{3,}")


def main() -> None:
    texts = catalogues()
    if len(texts) < 20:
        sys.exit(f"There are too few translations in {CATALOGUES} to measure with.")
    pairs = ApertiumTranslator(warm=()).capabilities.pairs
    figures = measure(texts, {source for source, _ in pairs}, claims.whisper().languages)
    RESULTS.write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))


def catalogues() -> dict[str, list[str]]:
    """Language → what programs say in it; those with enough of it."""
    found: dict[str, set[str]] = {}
    for path in sorted(CATALOGUES.glob("*/LC_MESSAGES/*.mo")):
        name = path.parts[-3]
        if path.stem not in PROGRAMS or "@" in name:
            continue
        try:
            code = languages.normalise(name)
            with path.open("rb") as file:
                said = gettext.GNUTranslations(file)
        except (BabbleFishError, OSError, ValueError, IndexError):
            continue
        for original, text in said._catalog.items():  # pyright: ignore[reportAttributeAccessIssue]
            for language, one in ((code, text), ("en", original)):
                one = one.strip().replace("_", "") if isinstance(one, str) else ""
                same = language != "en" and one == original
                if 4 <= len(one) <= 140 and not same and not _TECHNICAL.search(one):
                    found.setdefault(language, set()).add(one)
    some = random.Random(1)
    return {
        code: some.sample(sorted(texts), min(PER_LANGUAGE, len(texts)))
        for code, texts in sorted(found.items()) if len(texts) >= 60
    }  # fmt: skip


def measure(
    texts: dict[str, list[str]], expected: set[str], known: frozenset[str]
) -> dict[str, Any]:
    """Per length, percent of texts in languages that are expected, and in others."""
    identifier = TextLanguageIdentifier()
    ours: dict[str, list[str]] = {}
    others: dict[str, list[bool]] = {}
    for code, said in texts.items():
        if code not in known | expected:
            continue
        for text, found in zip(said, identifier.identify(said, expected, known), strict=True):
            length = _length(text)
            if code in expected:
                right = "right" if found.language == code else "wrong"
                ours.setdefault(length, []).append(right if found.certain else "unclear")
            else:
                taken = found.certain and found.language in expected
                others.setdefault(length, []).append(taken)
    return {
        "expected languages": sorted(expected),
        "words": {
            length: {
                "texts": len(verdicts),
                **{
                    verdict: _percent(verdicts, verdict)
                    for verdict in ("right", "wrong", "unclear")
                },
                "texts in other languages": len(others.get(length, [])),
                "taken for an expected one": _percent(others.get(length, []), True),
            }
            for length, verdicts in sorted(ours.items())
        },
    }


def _length(text: str) -> str:
    words = len(text.split())
    first, last = next(bounds for bounds in LENGTHS if bounds[0] <= words <= bounds[1])
    return f"{first}–{last}" if last < 99 else f"{first} and more"


def _percent(values: Sequence[object], value: object) -> float | None:
    return round(100 * sum(v == value for v in values) / len(values), 1) if values else None


if __name__ == "__main__":
    main()
