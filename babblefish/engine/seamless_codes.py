"""Seamless's codes of languages as this program's."""

from __future__ import annotations

from collections.abc import Iterable

from babblefish import languages


def standard_codes(codes: Iterable[str]) -> dict[str, str]:
    """Our code → Seamless's. Of several that are one of ours, such as cmn and cmn_Hant, the
    plainest."""
    found: dict[str, str] = {}
    for code in sorted(codes, key=len):
        found.setdefault(languages.normalise(code), code)
    return found
