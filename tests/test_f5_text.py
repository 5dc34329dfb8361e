"""What F5 is given to read, and how much time for it."""

from __future__ import annotations

import pytest

from babblefish.accelerator import pace
from babblefish.accelerator.f5 import Vocabulary
from babblefish.accelerator.f5_library import convert_char_to_pinyin
from babblefish.accelerator.text import joined, pieces, readable, symbols
from tests.tiny_f5 import vocabulary_file


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary(vocabulary_file())


@pytest.mark.parametrize(
    ("language", "text", "said"),
    [
        ("en", "It costs $1,234.50, i.e. 50% more",
         "It costs one thousand two hundred and thirty-four point five dollars, that is fifty "
         "percent more."),
        ("en", "Dr. Who met us at 14:30 on the 21st in 1999.",
         "Doctor Who met us at fourteen thirty on the twenty-first in nineteen ninety-nine."),
        ("en", "Call 0301234567", "Call zero three zero one two three four five six seven."),
        ("en", "From 5-10 km, in 1990-1999, at -5°C",
         "From five to ten kilometres, in nineteen ninety to nineteen ninety-nine, at minus five "
         "degrees."),
        ("fr", "M. Dupont arrive à 14h30, le 1er mai : 3,5 % de 1 500 €…",
         "Monsieur Dupont arrive à quatorze heures trente, le premier mai, trois virgule cinq "
         "pour cent de mille cinq cents euros."),
        ("de", "Das kostet z. B. 1.500 € am 24.12.2026 um 15:00",
         "Das kostet zum Beispiel eintausendfünfhundert Euro am vierundzwanzig zwölf "
         "zweitausendsechsundzwanzig um fünfzehn Uhr."),
        ("es", "El Sr. Pérez tiene 21 años", "El señor Pérez tiene veintiuno años."),
        ("it", "Il 3º giorno, ecc.", "Il terzo giorno, eccetera."),
        ("ru", "25 %, т. е. четверть", "двадцать пять процентов, то есть четверть."),
        ("ja", "14:30に3人", "十四時三十分に三人。"),
        ("zh", "2026年有50%，10005元，电话13800138000",
         "二零二六年有百分之五十，一万零五元，电话一 三 八 零 零 一 三 八 零 零 零。"),
    ],
)  # fmt: skip
def test_numbers_signs_and_abbreviations_are_words(language, text, said):
    assert readable(text, language) == said


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "零"), (10, "十"), (15, "十五"), (110, "一百一十"), (1001, "一千零一"),
     (20_300, "二万零三百"), (100_000, "十万"), (1_000_001, "一百万零一"),
     (123_456, "十二万三千四百五十六")],
)  # fmt: skip
def test_chinese_numbers(number, said):
    assert readable(f"{number}个" if number < 10**6 else f"{number:,}个", "zh") == f"{said}个。"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("The USA and NATO use MP3", "The U S A and Nato use M P three."),
        ("THIS IS A SIMPLE EXAMPLE", "This is a simple example."),
        ("COVID-19", "Covid nineteen."),
        ("I'm OK", "I'm O K."),
    ],
)
def test_capitals_are_spelt_only_where_they_stand_for_letters(text, said):
    assert readable(text, "en") == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Wait... what?! He said: “no”; (never) — ok", "Wait. what? He said, no, never, ok."),
        ("  , well,", "well."),
        ("Bonjour , ça va ?", "Bonjour, ça va?"),
        ("🙂 hello \u202e\u200bthere\n*now*", "hello there now."),
        ("…", ""), ("🙂", ""), ("?!", ""), ("", ""),
    ],
)  # fmt: skip
def test_signs_that_f5_stumbles_over(text, said):
    assert readable(text, "en") == said


def test_what_is_readable_stays_as_it_is():
    for text in ("It's a rock-and-roll song, isn't it?", "Où êtes-vous, l'été?"):
        assert readable(text, "fr") == text == readable(readable(text, "fr"), "fr")


def test_a_vocabulary_reads_every_letter_one_way_or_another(vocabulary):
    text = "Hi! Ça va? 你好 मुझे Ω"
    found = symbols(text, vocabulary)
    assert all(symbol in vocabulary for symbol in found)
    assert "ni2" in found and "hao3" in found, "Chinese is read by its sounds"
    assert "mujhe" in "".join(found), "another script by letters that sound alike"
    assert symbols("Hello.", vocabulary) == convert_char_to_pinyin(["Hello."])[0]


def test_the_text_follows_the_reference_after_a_blank_as_in_one_piece(vocabulary):
    for reference, text in (
        ("How are you.", "Fine, thanks."),
        ("你好。", "谢谢你。"),
        ("Yes.", "好。"),
    ):
        apart = joined(symbols(reference, vocabulary), symbols(text, vocabulary))
        whole = "".join(symbols(f"{reference} {text}", vocabulary)).replace("  ", " ")
        assert "".join(apart).replace("  ", " ") == whole


def test_long_texts_are_cut_where_one_would_breathe():
    text = "This is one. This is two, and it is longer. " + "word " * 40 + "end."
    cut = pieces(text, 60)
    assert cut[0].endswith(".") and all(pace.units(piece) <= 60 for piece in cut)
    assert " ".join(cut).split() == text.split()
    assert pieces("短" * 100, 60) and all(pace.units(p) <= 60 for p in pieces("短" * 100, 60))
    assert pieces("Short.", 60) == ["Short."]


def test_time_grows_with_the_text_and_with_a_slow_reference():
    short, long = "Yes, we can.", "Yes, we can, and we will do it as soon as everybody is here."
    assert pace.seconds_for(short, 15) < pace.seconds_for(long, 15) < pace.seconds_for(long, 10)
    assert pace.seconds_for("No.", 15) >= 0.7, "less, and F5 swallows it"
    for text in (short, long):
        assert pace.seconds_for(text, 15) > pace.spoken_seconds(text, 15)


def test_a_pace_is_what_people_manage():
    text = "Today only platforms one and three are used."
    assert pace.pace_of(text, 2.7) == pytest.approx(14.3, abs=1)
    assert pace.pace_of(text, 0.5) == pace.FASTEST and pace.pace_of(text, 60) == pace.SLOWEST
    assert pace.fits(text, 2.7) and not pace.fits(text, 0.6) and not pace.fits(text, 20)


def test_scripts_say_about_as_much_in_the_same_time():
    """The same sentence in seven languages: units are comparable, so that one's pace in one
    language tells their pace in another."""
    sentences = {
        "en": "The train leaves tomorrow morning at ten.",
        "fr": "Le train part demain matin à dix heures.",
        "de": "Der Zug fährt morgen früh um zehn Uhr ab.",
        "zh": "火车明天早上十点出发。",
        "ja": "電車は明日の朝十時に出発します。",
        "ru": "Поезд отправляется завтра утром в десять.",
        "ar": "يغادر القطار غدا صباحا في الساعة العاشرة.",
    }
    amounts = {language: pace.units(text) for language, text in sentences.items()}
    assert max(amounts.values()) < 1.6 * min(amounts.values()), amounts
