"""What rooms are made for: each preset changes what happens in the room, at once."""

from __future__ import annotations

import asyncio

import pytest
import pytest_asyncio

from babblefish.errors import RoomError
from babblefish.protocol import Roster
from babblefish.settings import Settings
from rooms import presets
from rooms.hub import Hub
from rooms.presets import PRESETS
from tests.phones import Phone, seconds_at, tone

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def hub(engine):
    hub = Hub(Settings(original_level=0.3, lag_budget=9.0), engine)
    await hub.start()
    yield hub
    await hub.close()


def join(room, name, hears, speaks=None):
    return room.join(name=name, speaks=speaks or hears, hears=hears, microphone=True)


async def test_a_meeting_begins_as_the_server_was_told(hub):
    settings = hub.create("Stand-up").settings
    assert (settings.original_level, settings.lag_budget) == (0.3, 9.0)
    assert settings.preset == "meeting" and set(PRESETS) == {"meeting", "lecture", "interview"}
    with pytest.raises(RoomError, match="lecture"):
        hub.create("X", "party")


async def test_in_a_lecture_only_presenters_are_heard(hub):
    room = hub.create("Lecture", "lecture")
    async with Phone(join(room, "Eva", "fr")) as eva, Phone(join(room, "Dan", "en")) as dan:
        assert not any(p.may_speak or p.microphone for p in dan.of(Roster)[-1].people)
        dan.say(tone(700, 1.0))
        room.present(eva.member.id, True)
        assert [p.may_speak for p in dan.of(Roster)[-1].people] == [True, False]
        eva.say(tone(400, 1.0))
        await dan.until(lambda: dan.finals)
        await asyncio.sleep(0.3)
        assert {c.name for c in dan.finals} == {c.name for c in eva.finals} == {"Eva"}
        assert seconds_at(eva.heard, 700, level=0.005) == 0.0, "nor live"
        assert seconds_at(dan.heard, 400, level=0.002) > 0.0
        assert seconds_at(dan.heard, 400, level=0.03) == 0.0, "originals are very quiet"
        room.present(eva.member.id, False)
        assert not any(p.may_speak for p in dan.of(Roster)[-1].people)
    with pytest.raises(RoomError, match="left"):
        room.present("nobody", True)


async def test_who_stops_presenting_in_the_middle_of_a_sentence_is_not_lost(hub):
    room = hub.create("Lecture", "lecture")
    async with Phone(join(room, "Eva", "fr")) as eva, Phone(join(room, "Dan", "en")) as dan:
        room.present(eva.member.id, True)
        eva.say(tone(400, 8.0))
        await dan.until(lambda: any(e.type == "caption" for e in dan.events))
        room.present(eva.member.id, False)
        await dan.until(lambda: dan.finals)
        assert len(dan.finals) == 1


async def test_a_room_becomes_another_kind_while_it_is_open(hub):
    room = hub.create("Stand-up")
    room.set(glossary="Zyrianova", waiting_list=True)
    member = join(room, "Dan", "en")
    room.set(**presets.changes("lecture", hub.usual))
    assert not room.may_speak(member) and member.playout.originals.level == 0.05
    assert (room.settings.glossary, room.settings.waiting_list) == ("Zyrianova", True)
    room.set(**presets.changes("meeting", hub.usual))
    assert room.may_speak(member)
    assert room.settings.original_level == member.playout.originals.level == 0.3


async def test_in_an_interview_two_voices_at_one_phone_are_two_people(hub):
    for preset, names in (("interview", {"Desk", "Desk · 2"}), ("lecture", {"Desk"})):
        room = hub.create("Interview", preset)
        async with Phone(join(room, "Desk", "fr")) as desk, Phone(join(room, "Dan", "en")) as dan:
            room.present(desk.member.id, True)
            desk.say(tone(400, 2.0), tone(3000, 2.0))
            await dan.until(lambda d=dan: len(d.finals) == 2)
            assert {c.name for c in dan.finals} == names


async def test_in_an_interview_the_language_of_each_sentence_is_open(hub):
    room = hub.create("Interview", "interview")
    member = join(room, "Desk", "fr")
    assert room.conversation.spoken_language(member.id) is None
    room.configure(member, None, "es", None)
    assert room.conversation.spoken_language(member.id) is None
    room.set(detect_language=False)
    assert room.conversation.spoken_language(member.id) == "es"
