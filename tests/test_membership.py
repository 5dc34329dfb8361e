"""Who is in a room: its link, its door and its bounds; coming, going and coming back."""

from __future__ import annotations

import asyncio

import pytest

from babblefish.errors import RoomError
from babblefish.protocol import (
    Closed,
    Microphone,
    Roster,
    Speaking,
    Welcome,
)
from babblefish.settings import Settings
from rooms.hub import Hub
from tests.phones import Phone, join, tone

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_promise_6_who_comes_back_is_the_same_person_and_gets_what_they_missed(hub):
    room = hub.create("Stand-up")
    dan = join(room, "Dan", "en")
    async with Phone(join(room, "Pierre", "fr")) as pierre:
        async with Phone(dan) as first:
            pierre.say(tone(400, 1.0))
            await first.until(lambda: first.finals)
            seq = first.finals[-1].seq
        assert not dan.connected and dan.id in room.members
        pierre.say(tone(500, 1.0), tone(600, 1.0))
        await pierre.until(lambda: len(pierre.finals) == 3)
        await asyncio.sleep(0.3)
        async with Phone(dan, after=seq) as second:
            await second.until(lambda: len(second.finals) == 2)
            assert [c.text.split()[2] for c in second.finals] == ["500", "600"]
            assert isinstance(second.events[0], Welcome) and second.events[0].member == dan.id
            assert hub.member(room.code, dan.key) is dan


async def test_a_speaker_who_drops_mid_sentence_is_still_heard(hub):
    room = hub.create("Stand-up")
    pierre = join(room, "Pierre", "fr")
    async with Phone(join(room, "Dan", "en")) as dan:
        async with Phone(pierre) as phone:
            phone.say(tone(400, 3.0))
            await phone.until(lambda: phone.of(Speaking))
            await asyncio.sleep(0.3)
        await dan.until(lambda: dan.finals)
        async with Phone(pierre) as phone:
            phone.say(tone(500, 1.0))
            await dan.until(lambda: len(dan.finals) == 2)
            assert dan.finals[1].text.startswith("[en] said 500")


async def test_a_newer_connection_replaces_the_older(hub):
    room = hub.create("Stand-up")
    dan = join(room, "Dan", "en")
    async with Phone(dan) as old, Phone(dan) as new:
        assert old.of(Closed) == [Closed("replaced")] and old.link.closed.is_set()
        assert dan.connected and not new.of(Closed)
    assert not dan.connected


async def test_muting_ends_the_sentence_and_stops_listening(hub):
    room = hub.create("Stand-up")
    async with Phone(join(room, "Pierre", "fr")) as pierre, Phone(join(room, "Dan", "en")) as dan:
        pierre.say(tone(400, 6.0))
        await pierre.until(lambda: pierre.of(Speaking))
        await asyncio.sleep(0.3)
        pierre.link.event(Microphone(False))
        await dan.until(lambda: dan.finals)
        assert not dan.of(Roster)[-1].people[0].microphone
        await asyncio.sleep(0.5)
        assert len(dan.finals) == 1


async def test_promise_17_tokens_and_keys_open_their_own_room_only(hub):
    a, b = hub.create("A"), hub.create("B")
    assert hub.enter(a.code, a.token) is a
    member = join(a, "Dan", "en")
    for attempt in (
        lambda: hub.enter(b.code, a.token),
        lambda: hub.enter(a.code, ""),
        lambda: hub.enter("nope", a.token),
        lambda: hub.member(b.code, member.key),
        lambda: hub.member(a.code, a.token),
        lambda: hub.member(a.code, "é"),
    ):
        with pytest.raises(RoomError) as error:
            attempt()
        assert error.value.code in ("room_token", "member_key")


async def test_promise_18_links_expire_and_can_be_renewed(engine):
    now = [0.0]
    hub = Hub(Settings(token_hours=1.0), engine, wall=lambda: now[0])
    room = hub.create("A")
    old = room.token
    room.rotate_token()
    with pytest.raises(RoomError):
        hub.enter(room.code, old)
    assert hub.enter(room.code, room.token) is room
    now[0] = 3601.0
    with pytest.raises(RoomError):
        hub.enter(room.code, room.token)
    await hub.close()


async def test_members_without_a_connection_are_let_go_after_the_grace_period(engine):
    now = [0.0]
    hub = Hub(Settings(grace_seconds=60), engine, clock=lambda: now[0])
    room = hub.create("A")
    member = join(room, "Dan", "en")
    now[0] = 59.0
    room.expire(60)
    assert member.id in room.members
    now[0] = 61.0
    room.expire(60)
    assert not room.members
    await hub.close()


async def test_lock_remove_close_and_limits(hub):
    room = hub.create("A")
    dan = join(room, "Dan", "en")
    room.lock(True)
    with pytest.raises(RoomError, match="locked"):
        join(room, "Eve", "en")
    room.lock(False)
    async with Phone(dan) as phone, Phone(join(room, "Ann", "en")) as ann:
        await room.remove(dan.id)
        assert phone.of(Closed) == [Closed("removed")] and phone.link.closed.is_set()
        await hub.close_room(room.code)
        assert ann.of(Closed) == [Closed("room_closed")]
    with pytest.raises(RoomError):
        hub.enter(room.code, room.token)
    small = Hub(Settings(max_members=1, max_rooms=1), room.engine)
    only = small.create("A")
    join(only, "Dan", "en")
    with pytest.raises(RoomError, match="full"):
        join(only, "Eve", "en")
    with pytest.raises(RoomError, match="1 rooms"):
        small.create("B")
    await small.close()


@pytest.mark.parametrize("name", ["", "   ", "\u202e\u200b", "x" * 41])
async def test_promise_22_names_that_are_none_are_refused(hub, name):
    with pytest.raises(RoomError) as error:
        join(hub.create("A"), name, "en")
    assert error.value.code == "bad_name"


async def test_promise_22_names_lose_control_and_direction_characters(hub):
    member = join(hub.create("A"), " <script>\u202eevil\n\x00 ", "en")
    assert member.name == "<script>evil"


async def test_settings_hold_at_once_and_are_checked(hub):
    room = hub.create("A")
    member = join(room, "Dan", "en")
    room.set(original_level=0.5, lag_budget=5.0)
    assert member.playout.originals.level == 0.5 and member.playout.lag_budget == 5.0
    for bad in ({"original_level": 2.0}, {"lag_budget": 0.0}, {"nonsense": 1}):
        with pytest.raises(RoomError):
            room.set(**bad)


async def test_what_cannot_be_served_is_refused_at_the_door(hub):
    room = hub.create("A")
    for speaks, hears in (("xx-nonsense", "en"), ("pl", "en"), ("en", "de")):
        with pytest.raises(RoomError) as error:
            join(room, "Dan", hears, speaks=speaks)
        assert error.value.code == "language"
