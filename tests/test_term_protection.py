"""Names and terms come through translation as they are: found, masked, restored; with Apertium."""

from __future__ import annotations

import pytest

from babblefish.engine import term_protection as protection
from babblefish.engine.apertium import ApertiumTranslator

TERMS = (
    "White", "Rosa", "Marek", "BabbleFish", "Hassan al-Rashid", "Wiśniewski", "Okonkwo", "Will",
    "ISO 27001", "C++", "田中",
)  # fmt: skip


def found(text: str) -> list[str]:
    return [match.term for match in protection.find(text, TERMS)]


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("Marek's car and Mr White", ["Marek", "White"]),
        ("a white rose", []),
        ("WHITE is here", ["White"]),
        ("Whiteboard", []),
        ("we use babble fish and Babble-Fish", ["BabbleFish", "BabbleFish"]),
        ("das ist Mareks Auto", ["Marek"]),
        ("hassan Al Rashid", ["Hassan al-Rashid"]),
        ("Wisniewski", ["Wiśniewski"]),
        ("Will you come, Will?", ["Will"]),
        ("Will, are you there?", ["Will"]),
        ("Yes. Will you?", []),
        ("l'Okonkwo et d'Okonkwo", ["Okonkwo", "Okonkwo"]),
        ("ISO 27001, and C++.", ["ISO 27001", "C++"]),
        ("これは田中さんです", ["田中"]),
        ("", []),
    ],
)
def test_terms_are_found_as_people_write_them(text, terms):
    assert found(text) == terms


def test_a_transcript_is_spelt_as_the_list_says():
    assert (
        protection.spelt("babble fish knows Wisniewski's", TERMS) == "BabbleFish knows Wiśniewski's"
    )
    assert protection.spelt("a white rose", TERMS) == "a white rose"
    assert protection.spelt("anything", ()) == "anything"


def test_longer_terms_win():
    matches = protection.find("New York Times in New York", ("New York", "New York Times"))
    assert [m.term for m in matches] == ["New York Times", "New York"]


def test_masking_chooses_free_words_and_vowels_for_vowels():
    text = "White met Okonkwo. Daniel saw White."
    masked = protection.mask(text, protection.find(text, TERMS), ("Daniel", "Robert", "Albert"))
    assert masked is not None
    assert masked.text == "Robert met Albert. Daniel saw Robert."
    assert (
        masked.restored("ROBERT, Albert y Daniel: roberts.") == "White, Okonkwo y Daniel: Whites."
    )


def test_a_term_that_was_lost_or_doubled_is_not_restored_but_said_so():
    matches = protection.find("White is here", TERMS)
    masked = protection.mask("White is here", matches, ("Daniel",))
    assert masked is not None
    assert masked.restored("está aquí") is None
    assert masked.restored("Daniel y Daniel") is None
    assert (
        protection.mask("White and Rosa", protection.find("White and Rosa", TERMS), ("A",)) is None
    )


def test_a_garbled_term_is_put_right_where_a_word_resembles_it():
    matches = protection.find("Okonkwo und Wiśniewski", TERMS)
    assert protection.missing("Okonko and Vishniewski", matches) == ["Okonkwo", "Wiśniewski"]
    assert protection.repaired("Okonko and Wisnievski", matches) == "Okonkwo and Wiśniewski"
    assert protection.repaired("nothing like it", matches) == "nothing like it"


@pytest.fixture(scope="module")
def apertium():
    translator = ApertiumTranslator()
    if ("en", "es") not in translator.capabilities.pairs:
        pytest.skip("Apertium's pairs are not installed")
    yield translator
    translator.close()


SENTENCES = [
    ("en", "es", "Good morning, I am {} and this is {}."),
    ("en", "es", "{}'s car is red, said Mr {}."),
    ("en", "es", "Did {} talk to {} yesterday?"),
    ("es", "en", "Buenos días, soy {} y esta es {}."),
    ("fr", "es", "Le rapport d'{} est prêt, {} aussi."),
    ("fr", "en", "Hier {} a parlé avec {}."),
    ("en", "fr", "{} and {} work with us."),
    ("pt", "en", "O carro da {} é vermelho, disse {}."),
    ("it", "en", "Sono {} e questa è {}."),
    ("en", "it", "{}'s house is bigger than {}."),
]
PAIRS = [("White", "Rosa"), ("Okonkwo", "BabbleFish"), ("Hassan al-Rashid", "ISO 27001")]


@pytest.mark.parametrize("names", PAIRS)
@pytest.mark.parametrize(("source", "target", "sentence"), SENTENCES)
def test_apertium_leaves_terms_alone(apertium, source, target, sentence, names):
    text = sentence.format(*names)
    matches = protection.find(text, TERMS)
    masked = protection.mask(text, matches, apertium.capabilities.stand_ins)
    assert masked is not None
    (translated,) = apertium.translate([masked.text], source, target)
    restored = masked.restored(translated)
    assert restored is not None and all(name in restored for name in names), translated


def test_a_stand_in_makes_a_better_sentence_than_an_unknown_word(apertium):
    text = "Marek's car is red."
    masked = protection.mask(text, protection.find(text, TERMS), apertium.capabilities.stand_ins)
    assert masked is not None
    (translated,) = apertium.translate([masked.text], "en", "es")
    assert masked.restored(translated) == "El coche de Marek es rojo."


def test_every_stand_in_of_apertium_comes_out_of_every_pair(apertium):
    for name in apertium.capabilities.stand_ins:
        for source, target, sentence in SENTENCES[::3]:
            (translated,) = apertium.translate([sentence.format(name, "Toledo")], source, target)
            assert translated.count(name) == 1, (name, translated)
