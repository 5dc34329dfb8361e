"""A room's names and terms: what the host may list, and how they reach what people read."""

from __future__ import annotations

import asyncio

import pytest
import pytest_asyncio

from babblefish.engine.engine import Engine
from babblefish.errors import RoomError
from babblefish.protocol import Audio, Utterance
from babblefish.settings import Settings
from rooms import glossary
from rooms.glossary import MAX_TERM, MOST_EXPECTED, MOST_TERMS
from rooms.hub import Hub
from tests.phones import Phone, tone

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def room(engine):
    hub = Hub(Settings(), engine)
    await hub.start()
    yield hub.create("Stand-up")
    await hub.close()


def join(room, name, hears):
    return room.join(name=name, speaks=hears, hears=hears, microphone=True)


async def test_lines_are_tidied_and_each_counts_once():
    assert glossary.terms(" Zyrianova \n\nBabble\u202eFish\nZyrianova\nISO\t27001\n") == (
        "Zyrianova", "BabbleFish", "ISO 27001",
    )  # fmt: skip
    assert glossary.terms("") == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x" * (MAX_TERM + 1), "too long"),
        ("Marek\n---", "no letters"),
        ("\n".join(f"term {n}" for n in range(MOST_TERMS + 1)), str(MOST_TERMS)),
    ],
)
async def test_what_is_no_list_of_terms_is_refused_in_words(room, text, says):
    room.set(glossary="Marek")
    with pytest.raises(RoomError, match=says) as error:
        room.set(glossary=text)
    assert error.value.code == "glossary"
    assert room.settings.glossary == "Marek", "what was there stays"


async def test_names_of_the_people_are_in_it_whole_and_in_parts(room):
    room.set(glossary="BabbleFish\nISO 27001")
    join(room, "Hassan al-Rashid", "en")
    join(room, "A", "en")
    expected = room.conversation.glossary("anybody")
    assert {"BabbleFish", "ISO 27001", "Hassan al-Rashid", "Hassan", "Rashid"} == set(expected)
    for member in list(room.members.values()):
        room.leave(member, "left")
    assert set(room.conversation.glossary("anybody")) == {"BabbleFish", "ISO 27001"}


async def test_the_list_is_bounded_and_the_newest_terms_win():
    listed = tuple(f"term{n}" for n in range(MOST_TERMS))
    names = [f"Person{'abcdefghij'[n // 10]}{'abcdefghij'[n % 10]} Surname{n}" for n in range(100)]
    expected = glossary.expected(listed, names)
    assert len(expected) == MOST_EXPECTED
    assert listed[-1] in expected and listed[0] in expected and names[0] in expected
    assert names[-1] not in expected


async def test_terms_reach_the_recogniser_and_survive_translation(room):
    room.set(glossary="White")
    async with Phone(join(room, "Pierre", "fr")) as pierre, Phone(join(room, "Dan", "en")) as dan:
        pierre.say(tone(5600, 1.5))
        await dan.until(lambda: dan.finals)
        (caption,) = dan.finals
        assert caption.original_text == "this is Dan, Pierre, White"
        assert caption.text == "[en] this is Dan, Pierre, White", "not taken for a colour"


async def test_what_the_host_lists_while_people_talk_holds_from_the_next_sentence_on(room):
    async with Phone(join(room, "Pierre", "fr")) as pierre, Phone(join(room, "Dan", "en")) as dan:
        pierre.say(tone(5600, 1.0))
        await dan.until(lambda: len(dan.finals) == 1)
        room.set(glossary="Zyrianova\nWhite")
        pierre.say(tone(5600, 1.0))
        await dan.until(lambda: len(dan.finals) == 2)
        assert [c.original_text for c in dan.finals] == [
            "this is Dan, Pierre", "this is Dan, Pierre, White, Zyrianova",
        ]  # fmt: skip


async def test_partial_captions_use_the_terms_too(engine: Engine):
    audio = Audio((tone(5600, 1.0)[::3] / 32768).astype("float32"), 16_000)
    utterance = Utterance("u", "m", audio, 0.0, 1.0, "fr", glossary=("White", "Rosa"))
    transcript, translations = await engine.draft(utterance, ["es"])
    assert transcript.text == "this is Rosa, White"
    assert [t.text for t in translations] == ["[es] this is Rosa, White"]


async def test_a_translator_that_loses_a_term_is_asked_differently(engine: Engine, monkeypatch):
    """Without names that it is known to leave alone, and where those do not come out either."""
    asked = []

    async def translate(text, source, target, priority=None):
        asked.append(text)
        return text.replace("White", "Blanco").replace("Daniel", "Danielo")

    monkeypatch.setattr(engine, "translate", translate)
    audio = Audio((tone(5600, 1.0)[::3] / 32768).astype("float32"), 16_000)
    utterance = Utterance("u", "m", audio, 0.0, 1.0, "fr", glossary=("White",))
    (translation,) = (await engine.draft(utterance, ["es"]))[1]
    assert asked == ["this is Daniel", "this is Xqzab"]
    assert translation.text == "this is White"
    await asyncio.sleep(0)
