"""Clauses: everything is said, in order, the first one soon, and cut where people would pause."""

from __future__ import annotations

import re
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from babblefish.engine import clauses
from babblefish.engine.clauses import (
    FIRST_SECONDS,
    LONGEST_SECONDS,
    PAUSES,
    opening,
    seconds,
    split,
)

LANGUAGES = ("en", "es", "fr", "it", "pt", "hi", "de", "ru", "zh", "ja", "ar", "xx")
PIECES = (
    "a", "the", "and", "we", "meeting", "Dr.", "e.g.", "J.", "No.", "3.14", "1,234.5", "10:30",
    "50", "%", ",", ".", "...", "…", "!", "?", ";", ":", "—", "-", "(", ")", "«", "»", "\"", "'",
    "’", "¿", "naïve", "parce", "que", "y", "और", "बैठक", "कि", "।", "今天", "会议", "，", "。",
    "「", "」", "اليوم", "،", "؟", "и", "что", "한국어", "🎉", "e\u0301", "\u0301", "\u200b",
    "x" * 80,
)  # fmt: skip
MIXED = st.lists(st.sampled_from((*PIECES, " ", " ", " ", "\n", "\n\n", "\t")), max_size=60)


def texts(text: str, language: str) -> list[str]:
    return [clause.text for clause in split(text, language)]


def left_out(text: str, language: str) -> str:
    """What of ``text`` stands in no clause, but for spaces."""
    position, found_none = 0, ""
    for clause in split(text, language):
        assert clause.text == clause.text.strip() != ""
        found = text.index(clause.text, position)
        found_none += text[position:found].strip()
        position = found + len(clause.text)
        assert clause.pause_after in PAUSES.values()
    return found_none + text[position:].strip()


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200), st.sampled_from(LANGUAGES))
@example("\x1c\x85a\u2028b\u3000", "en")
def test_nothing_is_lost_of_any_text(text, language):
    assert left_out(text, language) == ""


@settings(max_examples=150, deadline=None)
@given(MIXED.map("".join), st.sampled_from(LANGUAGES))
def test_nothing_is_lost_of_text_full_of_punctuation(text, language):
    assert left_out(text, language) == ""


@pytest.mark.parametrize("text", ["", " ", "\n\t \u3000"])
def test_blank_text_has_no_clauses(text):
    assert split(text, "en") == []


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.lists(st.sampled_from([piece for piece in PIECES if len(piece) < 10]), max_size=150),
        st.lists(st.sampled_from(("50", "3.14", "1,234.5", "10:30")), min_size=60, max_size=150),
    ),
    st.sampled_from(LANGUAGES),
)
def test_no_clause_is_far_too_long_where_there_are_gaps(words, language):
    """Not even of numbers, between which nobody would pause."""
    assert all(
        seconds(clause) <= 2 * LONGEST_SECONDS for clause in texts(" ".join(words), language)
    )


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(("people", "report", "before", "number", "Monday", "with")),
        min_size=6,
        max_size=40,
    )
)
def test_the_first_clause_is_short_and_none_too_long(words):
    said = texts(" ".join(words) + ".", "en")
    assert 0.3 < seconds(said[0]) <= 1.5 * FIRST_SECONDS
    assert max(map(seconds, said)) <= 1.5 * LONGEST_SECONDS


def test_later_clauses_are_longer_since_the_earlier_ones_are_playing():
    text = "People read the whole report before we talk about numbers with everybody. " * 6
    lengths = [seconds(clause) for clause in texts(text, "en")]
    assert lengths[0] <= FIRST_SECONDS
    assert max(lengths) > 2 * lengths[0]
    heard = lengths[0]
    for length in lengths[1:]:
        assert length <= max(FIRST_SECONDS, 3 * heard), "silence: not synthesised in time"
        heard += length


def test_a_short_sentence_stays_whole():
    assert texts("Good morning.", "en") == ["Good morning."]


def test_a_short_sentence_later_on_is_said_with_the_next():
    said = texts("Everybody read the report yesterday evening. Yes. We can begin now.", "en")
    assert "Yes." not in said
    assert any(clause.startswith("Yes. We") for clause in said)


@pytest.mark.parametrize(
    ("language", "text", "first"),
    [
        ("en", "Well, everybody in the room has read the whole report already.", "Well,"),
        ("es", "Bueno, todos en la sala han leído el informe completo.", "Bueno,"),
        ("fr", "Bonjour, tout le monde a déjà lu le rapport complet.", "Bonjour,"),
        ("hi", "नमस्ते, आज हम बैठक शुरू करेंगे क्योंकि सब लोग यहाँ हैं।", "नमस्ते,"),
        ("ar", "مرحبا بكم، اليوم سنبدأ الاجتماع لأن الجميع هنا الآن.", "مرحبا بكم،"),
        ("zh", "大家好，今天我们开会讨论明年的预算和新的计划。", "大家好，"),
        ("ja", "みなさん、今日は来年の予算について話し合いましょう。", "みなさん、"),
    ],
)
def test_cuts_at_the_first_comma(language, text, first):
    assert texts(text, language)[0] == first


@pytest.mark.parametrize(
    ("language", "text"),
    [
        (
            "en",
            "They paid 1,234.5 dollars and 3.14 euros at 10:30 for 1 000 000 seats in it.",
        ),
        ("en", "Rooms 10, 20 and 30 are open for everybody in the building today."),
        ("es", "El informe dice que pagaron 1.500,50 euros por 2,5 metros de tela en la tienda."),
        ("fr", "Ils ont payé 1 234,5 euros et 3,14 dollars pour 10 000 places dans la salle."),
        ("de", "Sie haben 1.500,50 Euro und 3,14 Dollar für 10 000 Plätze im Saal bezahlt."),
    ],
)
def test_numbers_are_not_torn(language, text):
    for number in re.findall(r"\d[\d.,: ]*\d", text):
        assert any(number in clause for clause in texts(text, language)), number


@pytest.mark.parametrize(
    ("language", "text", "whole"),
    [
        (
            "en",
            "Yesterday evening Dr. Smith told Mrs. Jones all about it.",
            ("Dr. Smith", "Mrs. J"),
        ),
        ("en", "It was J. R. Smith, e.g. the author of the report.", ("J. R. Smith", "e.g. the")),
        ("es", "Ayer por la tarde el Sr. García habló con la Dra. López.", ("Sr. G", "Dra. L")),
        ("fr", "Hier soir M. Dupont a parlé avec Mme. Martin.", ("M. Dupont", "Mme. Martin")),
        ("de", "Gestern Abend hat z. B. Frau Weber mit Dr. Meier geredet.", ("z. B. F", "Dr. M")),
    ],
)
def test_abbreviations_are_not_torn(language, text, whole):
    said = texts(text, language)
    for words in whole:
        assert any(words in clause for clause in said), said


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "They left and he came home very late in the evening"),
        ("es", "Ellas leen y otros escriben informes muy largos"),
        ("fr", "Elles lisent et on écrit des rapports très longs"),
        ("it", "Loro leggono e altri scrivono lunghe relazioni"),
        ("pt", "Elas leem e outros escrevem relatórios muito longos"),
    ],
)
def test_without_punctuation_it_cuts_before_a_connecting_word(language, text):
    second = texts(text, language)[1].split()[0]
    assert second in {"and", "y", "et", "e"}


@pytest.mark.parametrize("language", ["en", "es", "fr", "it", "pt", "de"])
def test_no_clause_ends_in_a_word_that_belongs_to_the_next(language):
    article = {"en": "the", "es": "la", "fr": "la", "it": "la", "pt": "uma", "de": "die"}[language]
    text = f"persona {article} reunion " * 20
    for clause in texts(text, language)[:-1]:
        assert clause.split()[-1] != article


def test_a_script_without_spaces_is_cut_when_far_too_long():
    text = "今天我们开会讨论明年的预算请大家准备好材料" * 8
    said = texts(text, "zh")
    assert max(map(seconds, said)) <= 1.5 * LONGEST_SECONDS
    assert "".join(said) == text


@pytest.mark.parametrize("shift", range(9))
def test_latin_words_and_combining_marks_are_not_torn_by_it(shift):
    for clause in texts("会" * shift + "会议BabbleFish2026" * 30, "zh")[:-1]:
        assert not re.search("B[ableFish]*[0-9]{0,3}$", clause)
    for clause in texts("b" * shift + "ae\u0301" * 200, "fr"):
        assert clause[0] != "\u0301"


@pytest.mark.parametrize(
    ("piece", "language"),
    [
        ("people report before number Monday with ", "en"), ("the ", "en"), ("1 ", "en"),
        ("Dr. ", "en"), ("a, ", "en"), ("—_", "en"), ("会", "zh"),
    ],
)  # fmt: skip
def test_twice_the_text_is_twice_the_work(piece, language):
    single = piece * (2000 // len(piece))
    assert lines_run(split, single * 2, language) < 3 * lines_run(split, single, language)


def lines_run(function, *arguments) -> int:
    """How many lines of ``clauses.py`` the call runs through."""
    count = 0

    def each(frame, event, argument):
        nonlocal count
        if frame.f_code.co_filename != clauses.__file__:
            return None
        count += event == "line"
        return each

    before = sys.gettrace()
    sys.settrace(each)
    try:
        function(*arguments)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("mark", ["%", ";", "!", "»", "…"])
def test_no_clause_begins_with_a_mark_that_belongs_to_the_word_before(mark):
    for length in range(4, 30):
        for clause in texts(f"{'m' * length} {mark} beaucoup de choses restent", "fr"):
            assert clause[0] != mark


def test_no_clause_is_punctuation_alone():
    for mark in ("…", "—", "«", ","):
        for clause in texts(f"{mark} everybody has read the whole report already.", "en"):
            assert any(c.isalnum() for c in clause)


def test_an_opening_is_cut_off_a_sentence_that_is_just_too_long():
    opening = "Well,"
    rest = "a" * round((1.1 * FIRST_SECONDS - seconds("Well, ")) / seconds("a"))
    assert texts(f"{opening} {rest}", "en") == [opening, rest]
    assert texts(f"{opening} {rest[: len(rest) // 2]}", "en") == [
        f"{opening} {rest[: len(rest) // 2]}"
    ]


def test_a_paragraph_ends_with_a_long_pause():
    first, second = split("Agenda\n\nnumbers of the year", "en")
    assert (first.text, first.pause_after) == ("Agenda", PAUSES["paragraph"])
    assert second.text == "numbers of the year"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Yes.", "sentence"), ("Yes!”", "sentence"), ("好。", "sentence"), ("हाँ।", "sentence"),
        ("نعم؟", "sentence"), ("Yes:", "clause"), ("Yes …", "clause"), ("Yes,", "comma"),
        ("好，", "comma"), ("نعم،", "comma"), ("Yes", "none"),
    ],
)  # fmt: skip
def test_the_pause_follows_from_what_ends_the_clause(text, kind):
    assert [c.pause_after for c in split(text, "en")] == [PAUSES[kind]]


def test_pauses_are_ordered():
    assert PAUSES["paragraph"] > PAUSES["sentence"] > PAUSES["clause"] > PAUSES["comma"] > 0


def test_seconds_counts_what_is_heard():
    assert seconds("") == seconds("…!?") == 0
    assert seconds("1984") > seconds("year")
    assert seconds("会议") > seconds("ab")
    assert 1.5 < seconds("People read the report on Monday morning.") < 3


@pytest.mark.parametrize(
    "text, language, expected",
    [
        ("El fondo egipcio.", "es", "El fondo"),
        ("Hoy programa únicas", "es", "Hoy programa"),
        ("My favourite number is", "en", "My favourite"),  # no clause ends in "is"
        ("Langosta", "es", None),
        ("On a day", "en", None),  # "On a" cannot stand alone
        ("It costs 1,200 5", "en", "It costs"),
        ("", "en", None),
    ],
)
def test_an_opening_leaves_out_what_may_still_change(text, language, expected):
    assert opening(text, language, 1) == expected
