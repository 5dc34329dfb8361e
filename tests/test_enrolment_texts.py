"""Prompts to read aloud and the consent text, in every language that has them."""

from __future__ import annotations

import hashlib
import itertools
import unicodedata
from dataclasses import fields

import langcodes
import pytest

from babblefish import languages
from babblefish.engine import consent_texts, enrolment_prompts
from babblefish.engine.voices import KOKORO_VOICES

SCRIPTS = {
    "Latn": ("LATIN",), "Cyrl": ("CYRILLIC",), "Grek": ("GREEK",), "Arab": ("ARABIC",),
    "Hebr": ("HEBREW",), "Deva": ("DEVANAGARI",), "Thai": ("THAI",), "Hans": ("CJK",),
    "Jpan": ("CJK", "HIRAGANA", "KATAKANA"), "Kore": ("HANGUL",),
}  # fmt: skip
LENGTHS = {"Latn": (60, 140), "Cyrl": (60, 140), "Grek": (60, 140), "Hans": (25, 60),
           "Jpan": (30, 70), "Kore": (35, 80)}  # fmt: skip
WORDING = {
    1: "862bc03925a5b6500d1ba4868d3b5f1be251130a16560e0698dc1bd1cae2b077",
    2: "6ab81c1e9d9f77813b280fb5ec7debc98b030f0b41def99dc4c68fcf94c0ad4b",
}
"""version → sha256 of all texts. Words changed? Raise the version and add a line."""


def script(code: str) -> str:
    return langcodes.Language.get(code).maximize().script


def foreign(text: str, code: str) -> set[str]:
    """Letters that the language's script does not have."""
    known = SCRIPTS[script(code)]
    return {
        letter for letter in text
        if letter.isalpha() and letter != "ー" and not unicodedata.name(letter).startswith(known)
    }  # fmt: skip


@pytest.mark.parametrize("code", sorted(enrolment_prompts.languages()))
def test_prompts_are_three_plain_sentences_of_their_language(code):
    found = enrolment_prompts.prompts(code)
    assert languages.normalise(code) == code
    assert (found.language, found.note) == (code, "")
    assert len(set(found.sentences)) == enrolment_prompts.COUNT
    shortest, longest = LENGTHS.get(script(code), (50, 140))
    for text in found.sentences:
        assert shortest <= len(text) <= longest, text
        assert foreign(text, code) == set(), text
        assert text == unicodedata.normalize("NFC", text).strip()
        assert not any(c.isdigit() or (unicodedata.category(c) in ("Cc", "Cf") and c != "\u200c")
                       for c in text)  # fmt: skip
        assert code == "th" or text.endswith((".", "?", "。", "।", "؟")), text


def test_no_sentence_is_in_two_languages():
    every = [
        s for c in enrolment_prompts.languages() for s in enrolment_prompts.prompts(c).sentences
    ]
    assert len(set(every)) == len(every)


def test_an_english_reader_meets_many_different_sounds():
    for code in ("en", "fr", "de", "es", "it", "pt", "pl"):
        text = "".join(enrolment_prompts.prompts(code).sentences).casefold()
        assert len({letter for letter in text if letter.isalpha()}) >= 20, code


def test_languages_that_are_heard_have_their_own_texts():
    wanted = {"en", "fr", "de", "es", "it", "pt", "pl", *KOKORO_VOICES}
    assert wanted <= enrolment_prompts.languages()
    assert wanted <= consent_texts.languages()


def test_other_languages_get_english_and_may_read_anything():
    found = enrolment_prompts.prompts("haw")
    assert found.language == "en" and found.note
    assert found.sentences == enrolment_prompts.prompts("en").sentences
    assert consent_texts.consent_text("haw") == consent_texts.consent_text("en")
    assert consent_texts.consent_text("haw").language == "en"


@pytest.mark.parametrize("code", sorted(consent_texts.languages()))
def test_the_consent_text_makes_every_statement(code):
    text = consent_texts.consent_text(code)
    assert text.language == code and text.version == consent_texts.version()
    for field in fields(text):
        if field.name not in ("version", "language"):
            value = getattr(text, field.name)
            assert value and value == value.strip()
            assert foreign(value.replace("BabbleFish", ""), code) == set(), (field.name, value)
    assert len(set(text.statements)) == 8
    assert all(statement in text.wording for statement in text.statements)
    assert all(len(s) >= (12 if script(code) in ("Hans", "Jpan", "Kore") else 30)
               for s in text.statements)  # fmt: skip


def test_no_two_languages_have_a_statement_in_common():
    texts = [consent_texts.consent_text(code) for code in sorted(consent_texts.languages())]
    for one, two in itertools.combinations(texts, 2):
        assert not set(one.statements) & set(two.statements), (one.language, two.language)


def test_the_english_text_says_what_is_kept_what_for_and_how_to_end_it():
    text = consent_texts.consent_text("en")
    assert "voiceprint" in text.voiceprint and "recordings" in text.clips
    assert "name" in text.label and "opens nothing" in text.label
    assert "Only if you agree" in text.meetings and "in meetings" in text.meetings
    about = [statement for about in text.purposes.values() for statement in about]
    assert set(about) < set(text.statements) and len(about) == len(set(about))
    assert "synthetic" in text.own_voice and "delete" in text.deletion
    assert "server" in text.storage and "internet" in text.storage
    assert "free to say no" in text.voluntary


def test_other_words_have_another_version():
    texts = [consent_texts.consent_text(code).wording for code in sorted(consent_texts.languages())]
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()
    assert WORDING[consent_texts.version()] == digest
