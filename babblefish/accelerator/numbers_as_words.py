"""Numbers as words: F5 reads digits in English whatever the language, or not at all.

Thousands, fractions, years, ordinals, times of day and long strings of digits, in the languages
that num2words knows, and Chinese.
"""

from __future__ import annotations

import re
from decimal import Decimal

from num2words import num2words

from babblefish.accelerator.text_tables import DECIMAL_COMMA, TIMES

_LONGEST = 7
"""digits; more are read one by one, as those of telephone numbers are"""
_NUMBER = re.compile(r"(?<![A-Za-z0-9.,])-?\d+(?:[.,\u00a0\u202f' ]\d{3}(?!\d))*(?:[.,]\d+)?|\d+")
_TIME = re.compile(
    r"(?<!\d)([01]?\d|2[0-3])(?::([0-5]\d)(?::[0-5]\d)?|\s?h\s?([0-5]\d)?)(?![A-Za-z0-9])"
)
_DATE = re.compile(r"(?<![\d.])(\d{1,2})\.\s?(\d{1,2})\.\s?(\d{4}|\d{2})(?!\d)")
_ORDINALS = {
    "en": re.compile(r"(?<!\d)(\d{1,4})(?:st|nd|rd|th)\b"),
    "fr": re.compile(r"(?<!\d)(\d{1,4})(?:ère|ere|er|re|ème|eme|e)\b"),
    "es": re.compile(r"(?<!\d)(\d{1,4})\.?[ºª]"),
    "it": re.compile(r"(?<!\d)(\d{1,4})\.?[ºª]"),
}
_YEARS = {"en": range(1100, 2100), "de": range(1100, 2000)}
_HAN_DIGITS = "零一二三四五六七八九"
_HAN_UNITS = (("", "十", "百", "千"), ("", "万", "亿", "万亿"))


def spell(text: str, language: str) -> str:
    """``text`` with its numbers as words. Digits stay where nobody knows the words."""
    text = _DATE.sub(r"\1 \2 \3", text)
    text = _TIME.sub(lambda match: _time(match, language), text)
    if pattern := _ORDINALS.get(language):
        text = pattern.sub(lambda match: _ordinal(match, language), text)
    return _NUMBER.sub(lambda match: _number(match, language), text)


def _time(match: re.Match[str], language: str) -> str:
    minutes = match[2] or match[3]
    if match[2] is None and language != "fr":
        return match[0]  # 5 h is no time of day elsewhere
    with_minutes, on_the_hour = TIMES.get(language, ("{h} {m}", "{h}"))
    pattern = with_minutes if minutes and int(minutes) else on_the_hour
    said = pattern.format(h=int(match[1]), m=int(minutes or 0))
    return said if language in ("zh", "ja") else f" {said} "


def _ordinal(match: re.Match[str], language: str) -> str:
    if language == "fr" and match[1] == "1":
        return "première" if match[0].endswith(("re", "ère")) else "premier"
    return _words(int(match[1]), language, match[0], "ordinal")


def _number(match: re.Match[str], language: str) -> str:
    found = match[0]
    digits = re.sub(r"\D", "", found)
    if len(digits) == len(found) and (len(digits) >= _LONGEST or digits[:1] == "0" != digits):
        return " ".join(_words(int(digit), language, digit) for digit in digits)
    value = _value(found, language)
    if language == "zh":
        after = match.string[match.end() : match.end() + 1]
        if after == "年" and len(found) == 4:
            return "".join(_HAN_DIGITS[int(digit)] for digit in found)
        return _han(value)
    years = _YEARS.get(language, range(0))
    if found.isdigit() and len(found) == 4 and int(found) in years and int(found) % 1000:
        return _words(int(found), language, found, "year")
    return _words(value, language, found)


def _value(found: str, language: str) -> int | Decimal:
    decimal, group = (",", ".") if language in DECIMAL_COMMA else (".", ",")
    found = re.sub(r"[\u00a0\u202f' ]", "", found)
    whole, _, fraction = found.partition(decimal)
    if re.fullmatch(rf"-?\d{{1,3}}(?:{re.escape(group)}\d{{3}})+", whole):
        whole = whole.replace(group, "")
    elif group in whole:  # a fraction written as elsewhere
        whole, _, fraction = whole.replace(group, ".", 1).partition(".")
    fraction = fraction.replace(decimal, "").replace(group, "")
    return Decimal(f"{whole}.{fraction}") if fraction else int(whole)


def _words(value: int | Decimal, language: str, found: str, kind: str = "cardinal") -> str:
    if language == "zh":
        return _han(value)
    try:
        said = num2words(value, lang=language, to=kind)
    except (NotImplementedError, ArithmeticError, ValueError, LookupError, TypeError):
        return found
    said = re.sub(r"\s*,\s*", " ", said)
    return said if language == "ja" else f" {said} "


def _han(value: int | Decimal) -> str:
    if value < 0:
        return "负" + _han(-value)
    whole, _, fraction = str(value).partition(".")
    said = _han_whole(whole)
    if fraction:
        said += "点" + "".join(_HAN_DIGITS[int(digit)] for digit in fraction)
    return said


def _han_whole(digits: str) -> str:
    digits = digits.lstrip("0") or "0"
    if digits == "0":
        return _HAN_DIGITS[0]
    if len(digits) > 16:
        return "".join(_HAN_DIGITS[int(digit)] for digit in digits)
    padded = digits.zfill(-(-len(digits) // 4) * 4)
    groups = [padded[i : i + 4] for i in range(0, len(padded), 4)]
    said = ""
    for power, group in zip(reversed(range(len(groups))), groups, strict=True):
        if group == "0000":
            continue
        if said and (group[0] == "0" or said.endswith(_HAN_DIGITS[0])):
            said += _HAN_DIGITS[0]
        said += _han_group(group) + _HAN_UNITS[1][power]
    return said.removeprefix("一") if said.startswith("一十") else said


def _han_group(group: str) -> str:
    said, gap = "", False
    for power, digit in zip((3, 2, 1, 0), map(int, group), strict=True):
        if digit == 0:
            gap = bool(said)
            continue
        said += (_HAN_DIGITS[0] if gap else "") + _HAN_DIGITS[digit] + _HAN_UNITS[0][power]
        gap = False
    return said
