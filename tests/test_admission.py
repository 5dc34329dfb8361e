"""The door of a room: who waits, who is let in, and that nothing gets out to those who wait."""

from __future__ import annotations

import asyncio

import pytest
import pytest_asyncio

from babblefish.errors import RoomError
from babblefish.protocol import Roster
from babblefish.settings import Settings
from rooms.admission import Place
from rooms.hub import Hub
from tests.patience import PATIENCE
from tests.phones import Phone, tone

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest_asyncio.fixture(loop_scope="module")
async def room(engine):
    clock = Clock()
    hub = Hub(Settings(max_members=4), engine, clock=clock)
    await hub.start()
    room = hub.create("Stand-up")
    room.test_hub, room.test_clock = hub, clock
    yield room
    await hub.close()


def knock(room, name, address="a", hears="en", **more):
    who = {"name": name, "speaks": hears, "hears": hears, "microphone": True}
    return room.admission.enter(address, **who, **more)


async def test_the_door_is_open_unless_the_host_says_otherwise(room):
    assert not isinstance(knock(room, "Dan"), Place)
    room.set(waiting_list=True)
    place = knock(room, "Pierre")
    assert isinstance(place, Place) and place.state == "waiting"
    assert [m.name for m in room.members.values()] == ["Dan"]


async def test_promise_17_who_waits_reads_hears_and_sees_nothing(room):
    room.set(waiting_list=True)
    speaker = room.join(name="Dan", speaks="fr", hears="fr", microphone=True)
    place = knock(room, "Pierre")
    async with Phone(speaker) as dan:
        dan.say(tone(400, 1.0))
        await dan.until(lambda: dan.finals)
        assert [p.name for p in dan.of(Roster)[-1].people] == ["Dan"], "and in no roster"
        with pytest.raises(RoomError) as error:
            room.test_hub.member(room.code, place.key)
        assert error.value.code == "member_key", "the key of a place opens no connection"
        member = room.admission.admit(place.id)
        async with Phone(member) as pierre:
            await asyncio.sleep(0.1)
            assert not pierre.finals, "nor does it come later"


async def test_the_decision_reaches_the_one_who_waits(room):
    room.set(waiting_list=True)
    seated = []
    place = knock(room, "Pierre", seated=seated.append)
    asking = asyncio.create_task(room.admission.wait(place, 30.0))
    await asyncio.sleep(0)
    assert not asking.done()
    member = room.admission.admit(place.id)
    await asyncio.wait_for(asking, PATIENCE)
    assert place.state == "admitted" and place.member is member and seated == [member]
    assert room.admission.place(place.key) is place, "a reload asks again"
    room.leave(member, "left")
    with pytest.raises(RoomError, match="gone"):
        room.admission.place(place.key)
    other = knock(room, "Dan")
    room.admission.refuse(other.id)
    assert other.state == "refused" and not room.members
    for act in (room.admission.admit, room.admission.refuse):
        with pytest.raises(RoomError, match="does not wait"):
            act(other.id)


async def test_switching_it_off_admits_all_who_wait_in_their_order(room):
    room.set(waiting_list=True)
    places = [knock(room, name) for name in ("Dan", "Pierre")]
    room.set(partial_captions=False)
    assert all(place.state == "waiting" for place in places), "other settings do not"
    room.set(waiting_list=False)
    assert [place.state for place in places] == ["admitted", "admitted"]
    assert [m.name for m in room.members.values()] == ["Dan", "Pierre"]


async def test_the_list_is_bounded_and_one_address_cannot_fill_it(room):
    room.set(waiting_list=True)
    for number in range(2):
        knock(room, f"A{number}", "a")
    with pytest.raises(RoomError, match="at your address"):
        knock(room, "A2", "a")
    knock(room, "B", "b")
    room.join(name="Inside", speaks="en", hears="en", microphone=False)
    with pytest.raises(RoomError) as error:
        knock(room, "C", "c")
    assert error.value.code == "room_full", "who waits counts"


async def test_bad_input_is_refused_at_the_door(room):
    room.set(waiting_list=True)
    for change, code in (({"name": " "}, "bad_name"), ({"hears": "tlh"}, "language")):
        who = {"name": "Dan", "speaks": "en", "hears": "en", "microphone": True} | change
        with pytest.raises(RoomError) as error:
            room.admission.enter("a", **who)
        assert error.value.code == code
    room.lock(True)
    with pytest.raises(RoomError) as error:
        knock(room, "Dan")
    assert error.value.code == "room_locked"
    assert not room.admission.waiting


async def test_the_host_lets_somebody_into_a_locked_room(room):
    room.set(waiting_list=True)
    place = knock(room, "Dan")
    room.lock(True)
    assert room.admission.admit(place.id).name == "Dan"


async def test_a_place_is_kept_over_a_reload_and_lost_after_minutes_away(room):
    room.set(waiting_list=True)
    place = knock(room, "Dan")
    room.test_clock.now = 50.0
    await room.admission.wait(place, 0.01)
    room.test_clock.now = 100.0
    room.expire(120.0)
    assert room.admission.waiting == [place], "seen 50 seconds ago"
    asking = asyncio.create_task(room.admission.wait(place, 30.0))
    await asyncio.sleep(0)
    room.test_clock.now = 500.0
    room.expire(120.0)
    assert room.admission.waiting == [place], "it is asking right now"
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    room.test_clock.now = 700.0
    room.expire(120.0)
    assert not room.admission.waiting


async def test_who_gives_up_is_not_waited_for_and_closing_tells_everybody(room):
    room.set(waiting_list=True)
    gone, stays = knock(room, "Dan"), knock(room, "Pierre")
    room.admission.give_up(gone)
    assert room.admission.waiting == [stays]
    await room.test_hub.close_room(room.code)
    assert stays.state == "closed" and stays.decided.is_set()


async def test_who_was_removed_comes_back_only_through_the_host(room):
    dan, zoe = knock(room, "Dan", "a"), knock(room, "Zoe", "z")
    await room.remove(dan.id)
    with pytest.raises(RoomError):
        room.test_hub.member(room.code, dan.key)
    again = knock(room, "Not Dan at all", "a")
    assert isinstance(again, Place) and not room.settings.waiting_list
    assert not isinstance(knock(room, "Pierre", "b"), Place), "others are not held up"
    assert room.admission.admit(again.id).name == "Not Dan at all"
    room.leave(zoe, "left")
    assert not isinstance(knock(room, "Zoe", "z"), Place), "who left by themselves may return"


async def test_a_new_link_forgives(room):
    dan = knock(room, "Dan", "a")
    await room.remove(dan.id)
    room.rotate_token()
    assert not isinstance(knock(room, "Dan", "a"), Place), "the host gave the new link to them"
