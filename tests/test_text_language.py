"""Which language a text is in: right, or honestly unclear."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from babblefish.engine import claims
from babblefish.engine.stages import StageSpec
from babblefish.engine.text_language import (
    LONGEST,
    UNDETERMINED,
    TextLanguage,
    TextLanguageIdentifier,
    TextLanguages,
)
from babblefish.errors import TranslationError

ROOT = Path(__file__).resolve().parents[1]
EXPECTED = frozenset({"ca", "en", "es", "fr", "gl", "it", "oc", "pt", "ro"})
"""what Apertium's dictionaries translate from"""


@pytest.fixture(scope="module")
def identifier():
    return TextLanguageIdentifier()


@pytest.fixture(scope="module")
def known():
    return claims.whisper().languages


def sentences() -> list[tuple[str, str]]:
    """(language, text)"""
    rows = json.loads((ROOT / "bench/translation_references.json").read_text(encoding="utf-8"))
    prompts = ROOT / "babblefish/engine/enrolment_prompts.json"
    read_aloud = json.loads(prompts.read_text(encoding="utf-8"))
    found = {(code, text) for row in rows for code, text in row.items() if code != "clip"}
    return sorted(found | {(code, text) for code, texts in read_aloud.items() for text in texts})


def test_sentences_are_told_and_unclear_ones_said_to_be_unclear(identifier, known):
    said = sentences()
    found = identifier.identify([text for _, text in said], EXPECTED, known)
    ours = [(code, one) for (code, _), one in zip(said, found, strict=True) if code in EXPECTED]
    right = [one.language == code for code, one in ours if one.certain]
    assert len(right) > 200 and sum(right) / len(right) >= 0.995
    assert len(right) / len(ours) >= 0.9, "most sentences are certain"


def test_other_languages_are_not_taken_for_their_next_of_kin(identifier, known):
    others = [(code, text) for code, text in sentences() if code not in EXPECTED]
    found = identifier.identify([text for _, text in others], EXPECTED, known)
    taken = [one for one in found if one.certain and one.language in EXPECTED]
    assert len(others) > 100 and not taken
    right = [one.language == code for (code, _), one in zip(others, found, strict=True)]
    assert sum(right) / len(right) >= 0.95


def test_a_word_that_many_languages_have_is_unclear_and_says_what_it_may_be(identifier, known):
    for word in ("OK", "Taxi", "Radio?"):
        (found,) = identifier.identify([word], EXPECTED, known)
        assert not found.certain and 1 < len(found.candidates) <= 3


def test_what_has_no_letters_has_no_language(identifier, known):
    found = identifier.identify(["", "12345", "\0\n", "🙂 – 7/8", "٣٤"], EXPECTED, known)
    assert {one.language for one in found} == {UNDETERMINED}
    assert not any(one.certain for one in found)


def test_only_what_somebody_can_do_something_with_is_answered(identifier):
    (found,) = identifier.identify(["Wie geht es Ihnen heute Morgen?"], {"es", "en"}, ())
    assert found.language in {"es", "en"}
    (found,) = identifier.identify(["Anything at all"], (), ())
    assert found.language == UNDETERMINED


def test_codes_are_the_program_s_own(identifier):
    assert {"no", "jw", "zh", "yue", "ff"} <= identifier.capabilities.languages
    assert not {"zxx", "nb", "fuv"} & identifier.capabilities.languages
    (found,) = identifier.identify(["今天天气很好，我们去公园吧。"], {"zh"}, {"ja", "ko"})
    assert found.language == "zh" and found.certain


class Counting:
    """Says how long the texts are that it gets; nothing else of it is asked."""

    capabilities = "counting"

    def identify(self, texts, expected, known):
        if texts == ["garbage"]:
            return ["en"]
        return [TextLanguage("en", 1.0, (str(len(text)),)) for text in texts]


async def test_a_process_is_started_when_first_asked_and_looks_at_the_beginning_only():
    found = TextLanguages(StageSpec("tests.test_text_language:Counting"))
    try:
        assert not found.pool.pids
        one, other = await found.identify(["x" * 100_000, "abc"], {"en"}, ())
        assert (one.candidates, other.candidates) == ((str(LONGEST),), ("3",))
        assert len(found.pool.pids) == 1
        with pytest.raises(TranslationError, match="could not be told"):
            await found.identify(["garbage"], {"en"}, ())
    finally:
        await found.close()


async def test_what_was_never_asked_closes():
    await TextLanguages().close()
