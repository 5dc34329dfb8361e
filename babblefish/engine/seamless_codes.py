"""Seamless's codes of languages as this program's."""

from __future__ import annotations

from collections.abc import Iterable

from babblefish import languages

WRITTEN = (
    "afr amh arb ary arz asm azj bel ben bos bul cat ceb ces ckb cmn cmn_Hant cym dan deu ell "
    "eng est eus fin fra fuv gaz gle glg guj heb hin hrv hun hye ibo ind isl ita jav jpn kan "
    "kat kaz khk khm kir kor lao lit lug luo lvs mai mal mar mkd mlt mni mya nld nno nob npi "
    "nya ory pan pbt pes pol por ron rus slk slv sna snd som spa srp swe swh tam tel tgk tgl "
    "tha tur ukr urd uzn vie yor yue zsm zul"
)
"""the languages that the published model writes, by its card, with blanks between"""
WRITTEN_ONLY = frozenset({"ms"})
"""our codes of those that it does not hear"""


def standard_codes(codes: Iterable[str]) -> dict[str, str]:
    """Our code → Seamless's. Of several that are one of ours, such as cmn and cmn_Hant, the
    plainest."""
    found: dict[str, str] = {}
    for code in sorted(codes, key=len):
        found.setdefault(languages.normalise(code), code)
    return found
