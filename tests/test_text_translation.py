"""Written texts, cut into jobs and put together again, by scripted stages."""

from __future__ import annotations

from dataclasses import replace

import pytest

from babblefish.engine.engine import Engine
from babblefish.engine.profiles import Profile, StagePlan
from babblefish.engine.stages import StageSpec, TranslatorCapabilities
from babblefish.engine.text_translation import JOB, Abandoned, Piece, Texts, layout
from babblefish.errors import BabbleFishError, TranslationError
from tests.phones import fake_profile

pytestmark = pytest.mark.asyncio(loop_scope="module")

SENTENCE = "This is the sentence with number {}. "


@pytest.fixture
def texts(engine) -> Texts:
    return Texts(engine)


def joined(text: str, source: str = "en", target: str = "fr") -> str:
    parts = layout(text, source, target)
    return "".join(part.text if isinstance(part, Piece) else part for part in parts)


async def test_line_breaks_indentation_and_what_says_nothing_stay(texts):
    text = "  One.\r\n\r\n- two  \n\t***\u2028 3 \v\nEnd\n"
    (said,) = await texts.translate([text], "en", "fr")
    assert said == (
        "  [fr] One.\r\n\r\n[fr] - two  \n\t***\u2028 [fr] 3 \v\n[fr] End\n"
    )  # fmt: skip


async def test_long_texts_are_cut_at_sentences_and_nothing_is_lost(texts):
    text = "".join(SENTENCE.format(n) for n in range(200)).strip()
    (said,) = await texts.translate([text], "en", "fr")
    pieces = [part.text for part in layout(text, "en", "fr") if isinstance(part, Piece)]
    assert len(pieces) > 10 and all(len(piece) <= JOB for piece in pieces)
    assert all(piece.startswith("This") and piece.endswith(".") for piece in pieces)
    assert said.replace("[fr] ", "") == text


async def test_a_sentence_without_end_is_cut_between_words():
    words = " ".join(f"word{n}" for n in range(2000))
    assert joined(words) == words
    assert max(len(part) if isinstance(part, str) else len(part.text)
               for part in layout(words, "en", "fr")) <= 1500  # fmt: skip
    assert joined("x" * 5000, target="ja") == "x" * 5000


async def test_there_are_no_spaces_between_sentences_of_languages_without():
    text = "".join(SENTENCE.format(n) for n in range(100))
    between = [part for part in layout(text, "en", "ja") if isinstance(part, str)]
    assert not "".join(between).strip() and set(between[1:-1]) == {""}


async def test_short_texts_travel_together_and_the_same_only_once(engine, texts):
    before = engine.translator.stats.calls
    said = await texts.translate(["Hello"] * 50 + ["You"] + [""], "en", "es")
    assert said == ["[es] Hello"] * 50 + ["[es] You", ""]
    assert engine.translator.stats.calls == before + 1


async def test_names_and_terms_stay_as_they_are(texts):
    said = await texts.translate(
        ["Ask Mrs. White.", "Hello"], "en", "es", glossary=("White", "Ada")
    )
    assert said == ["[es] Ask Mrs. White.", "[es] Hello"]
    assert await texts.translate(["White"], "en", "es") == ["[es] Blanco"]


async def test_the_same_language_is_not_translated(engine, texts):
    before = engine.translator.stats.calls
    assert await texts.translate(["Hello\n"], "de", "de") == ["Hello\n"]
    assert texts.quality("de", "de") == "good" and engine.translator.stats.calls == before


async def test_what_cannot_be_translated_names_what_can(texts):
    assert texts.quality("fr", "es") == "basic"
    with pytest.raises(TranslationError, match="into Polish here, but into English or French"):
        texts.quality("es", "pl")
    with pytest.raises(TranslationError, match="can be in English, French or Spanish"):
        texts.quality("de", "en")  # from speech it could be


async def test_many_languages_are_not_all_named(texts, monkeypatch):
    many = TranslatorCapabilities.among(["en", "fr", "es", "it", "pt", "pl", "de", "nl", "cs",
                                         "da", "sv", "no", "fi", "hu"])  # fmt: skip
    monkeypatch.setattr(texts, "_pairs", {a: {b: "good" for _, b in many.pairs} for a, _ in
                                          many.pairs})  # fmt: skip
    with pytest.raises(TranslationError, match="and 2 more: see /languages"):
        texts.quality("xh", "en")


async def test_one_text_that_fails_costs_no_other():
    engine = Engine(_profile("tests.test_text_translation:Fussy"))
    await engine.start()
    try:
        said = await Texts(engine).translate(["One", "bad", "Two", "many bad\nOne"], "en", "fr")
        assert [s if isinstance(s, str) else s.code for s in said] == [
            "un One", "odd", "un Two", "un many bad\nun One",
        ]  # fmt: skip
        garbage = (await Texts(engine).translate(["nothing"], "en", "fr"))[0]
        assert isinstance(garbage, BabbleFishError) and garbage.code == "bad_output"
    finally:
        await engine.close()


async def test_nothing_more_is_translated_when_nobody_waits(engine, texts):
    asked = []

    async def wanted() -> bool:
        asked.append(1)
        return len(asked) < 3

    before = engine.translator.stats.calls
    with pytest.raises(Abandoned):
        await texts.translate(["".join(SENTENCE.format(n) for n in range(500))], "en", "fr",
                              wanted=wanted)  # fmt: skip
    assert engine.translator.stats.calls == before + 3


async def test_texts_of_unclear_language_ask_for_it(engine, texts):
    clear, unclear, nothing = await texts.identify(
        ["Where is the train station, please?", "OK", "12345"]
    )
    assert clear.language == "en" and clear.certain
    assert isinstance(unclear, TranslationError) and unclear.code == "language_unclear"
    assert "source_lang" in unclear.message
    assert nothing.language == "und"
    assert engine.text_languages.pool in engine.pools, "seen by whoever watches"


async def test_apertium_keeps_a_long_text_s_shape():
    engine = Engine(_profile("babblefish.engine.apertium:ApertiumTranslator", warm=()))
    await engine.start()
    try:
        text = "The meeting starts tomorrow.\n\n  - Please close the door.\n" + SENTENCE * 40
        (said,) = await Texts(engine).translate([text], "en", "es")
    finally:
        await engine.close()
    assert isinstance(said, str)
    first, second, third, last = said.split("\n")
    assert "reunión" in first and not second and third.startswith("  - ") and "puerta" in third
    assert last.count("frase") == 40 and not set("*@#") & set(said)


class Fussy:
    """Refuses the word "bad", alone or among others."""

    capabilities = TranslatorCapabilities({("en", "fr"): "basic"})

    def translate(self, texts, source, target):
        if "bad" in texts:
            raise TranslationError("odd", "This word is not accepted.")
        return [] if texts == ["nothing"] else [f"un {text}" for text in texts]

    def prepare(self, source, target):
        pass


def _profile(factory: str, **options: object) -> Profile:
    return replace(fake_profile(), translator=StagePlan(StageSpec(factory, options), nice=0))
