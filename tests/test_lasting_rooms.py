"""Rooms that outlive the process, on a real storage, with scripted stages."""

from __future__ import annotations

import contextlib
import os
import sqlite3

import pytest

from babblefish.protocol import Closed, TranscriptPolicy
from babblefish.settings import Settings
from babblefish.storage.records import Retention
from babblefish.storage.storage import Storage
from rooms.hub import Hub
from tests.meetings import converse, refused, who
from tests.patience import until
from tests.phones import Phone, tone
from tests.stored import QUICK, contains

pytestmark = pytest.mark.asyncio(loop_scope="module")


# --- rooms ------------------------------------------------------------------------------------


async def test_a_room_comes_back_with_its_link_lock_and_settings(open_hub, tmp_path):
    async with open_hub() as hub:
        room = hub.create("Stand-up")
        room.set(lag_budget=33.0, partial_captions=False)
        room.lock(True)
        hub.keep_transcript(room.code, Retention("days", 7))
        token = room.token
        gone = hub.create("Gone")
        await hub.close_room(gone.code)
    assert contains(tmp_path, token.encode()) == [], "the link itself is stored nowhere"
    async with open_hub() as hub:
        [again] = hub.rooms.values()
        assert (again.code, again.name, again.created_at) == (
            room.code,
            "Stand-up",
            room.created_at,
        )
        assert again.settings == room.settings and again.locked
        assert again.kept.archive.retention == Retention("days", 7)
        assert hub.enter(again.code, token) is again and again.token == token


async def test_promise_18_a_revoked_or_expired_link_stays_dead_after_a_restart(open_hub):
    now = [1_000_000.0]
    async with open_hub(lambda: now[0], token_hours=1.0) as hub:
        room = hub.create("A")
        revoked = room.token
        room.rotate_token()
        current = room.token
    now[0] += 3599
    async with open_hub(lambda: now[0], token_hours=1.0) as hub:
        assert refused(hub.enter, room.code, revoked) == "room_token"
        assert hub.enter(room.code, current)
    now[0] += 2
    async with open_hub(lambda: now[0], token_hours=1.0) as hub:
        assert refused(hub.enter, room.code, current) == "room_token"
        assert hub.enter(room.code, hub.rooms[room.code].token), "the host shows a new one"


async def test_another_secret_makes_new_links_and_the_old_ones_open_nothing(open_hub, tmp_path):
    async with open_hub() as hub:
        room = hub.create("A")
        member = room.join(**who("Dan", "en"))
        old, key = room.token, member.key
    (tmp_path / "secret.key").unlink()
    async with open_hub() as hub:
        assert refused(hub.enter, room.code, old) == "room_token"
        assert refused(hub.readmit, room.code, key, **who("Dan", "en")) == "member_key"
        assert hub.enter(room.code, hub.rooms[room.code].token)


async def test_a_stop_of_the_server_is_no_farewell(open_hub):
    async with open_hub() as hub:
        room = hub.create("A")
        phone = await Phone(room.join(**who("Dan", "en"))).__aenter__()
        await hub.close()
        assert phone.link.closed.is_set() and not phone.of(Closed)
        await phone.__aexit__()
    async with open_hub() as hub:
        assert list(hub.rooms) == [room.code]


# --- people -----------------------------------------------------------------------------------


async def test_promise_5_people_come_back_as_themselves_even_into_a_locked_room(open_hub):
    async with open_hub() as hub:
        room = hub.create("A")
        room.join(**who("Ann", "en"))
        dan = room.join(**who("Dan", "en"))
        room.lock(True)
        room.rotate_token()
    async with open_hub() as hub:
        assert refused(hub.member, room.code, dan.key) == "seat"
        again = hub.readmit(room.code, dan.key, **who("Dan", "fr"))
        assert (again.id, again.color, again.hears) == (dan.id, dan.color, "fr")
        assert hub.member(room.code, again.key) is again
        assert hub.readmit(room.code, dan.key, **who("Dan", "en")) is again, "asked twice"


async def test_promise_17_a_seat_is_of_its_room_its_owner_and_its_time(open_hub):
    now = [1_000_000.0]
    async with open_hub(lambda: now[0], token_hours=1.0) as hub:
        room, other = hub.create("A"), hub.create("B")
        dan, eve, leo = (room.join(**who(name, "en")) for name in ("Dan", "Eve", "Leo"))
        await room.remove(eve.id)
        room.leave(leo, "left")
    async with open_hub(lambda: now[0], token_hours=1.0) as hub:
        forged = "0" * 12 + dan.key[12:]
        for code, key in (
            (other.code, dan.key), (room.code, eve.key), (room.code, leo.key), (room.code, forged),
            (room.code, dan.key[:-1]), (room.code, ""), (room.code, "é"), ("nowhere", dan.key),
        ):  # fmt: skip
            assert refused(hub.readmit, code, key, **who("Eve", "en")) == "member_key"
            assert refused(hub.member, code, key) == "member_key"
        now[0] += 3601
        assert refused(hub.readmit, room.code, dan.key, **who("Dan", "en")) == "member_key"


async def test_who_was_away_for_long_is_the_same_person_too(open_hub):
    async with open_hub() as hub:
        room = hub.create("A")
        dan = room.join(**who("Dan", "en"))
        room.expire(-1.0)
        assert not room.members
        assert hub.readmit(room.code, dan.key, **who("Dan", "en")).id == dan.id


async def test_what_was_missed_is_read_after_the_restart_and_numbers_go_on(open_hub):
    async with open_hub() as hub:
        room = hub.create("A")
        own, read = await converse(room, 400, 500)
        pierre, dan = list(room.members.values())
        late = room.join(**who("Late", "en"))
    async with open_hub() as hub:
        room = hub.rooms[room.code]
        assert room.conversation.last_seq > max(c.seq for c in own + read)
        pierre = hub.readmit(room.code, pierre.key, **who("Pierre", "fr"))
        dan = hub.readmit(room.code, dan.key, **who("Dan", "en"))
        late = hub.readmit(room.code, late.key, **who("Late", "en"))
        async with Phone(dan, after=read[0].seq) as phone, Phone(late) as newcomer:
            again = {c.utterance: c for c in phone.finals}[read[1].utterance]
            assert (again.text, again.language, again.name) == (read[1].text, "en", "Pierre")
            assert (again.original_text, again.synthetic) == (read[1].original_text, True)
            assert (again.member, again.color) == (pierre.id, pierre.color)
            assert again.at == pytest.approx(read[1].at, abs=0.01)
            assert newcomer.finals == [], "said before they came"
            async with Phone(pierre, after=own[1].seq) as speaker:
                before = {c.utterance for c in speaker.finals}
                assert before <= {c.utterance for c in own}, "the page knows these already"
                speaker.say(tone(700, 1.0))
                await newcomer.until(lambda: newcomer.finals)
            assert newcomer.finals[0].seq > max(c.seq for c in phone.finals[:-1])


# --- trouble ----------------------------------------------------------------------------------


def garbage(folder) -> None:
    (folder / "babblefish.db").write_bytes(b"no database " * 1000)


def a_file_in_its_place(folder) -> None:
    folder.rmdir()
    folder.write_text("not a folder")


def read_only(folder) -> None:
    (folder / "babblefish.db").mkdir()


@pytest.mark.parametrize("broken", [garbage, a_file_in_its_place, read_only])
async def test_promise_10_a_broken_data_folder_stops_no_meeting(engine, tmp_path, broken):
    folder = tmp_path / "data"
    folder.mkdir()
    broken(folder)
    hub = Hub(Settings(data_dir=folder), engine, Storage(folder, **QUICK))
    await hub.start()
    assert broken is garbage or hub.storage.health.state == "degraded"
    room = hub.create("A")
    _, read = await converse(room, 400, 500)
    assert [c.text.split()[2] for c in read] == ["400", "500"]
    hub.enter(room.code, room.token)
    room.rotate_token()
    room.lock(True)
    hub.keep_transcript(room.code, Retention("off"))
    await hub.close_room(room.code)
    await hub.close()


async def test_promise_10_rooms_come_back_when_a_locked_database_is_free_again(
    open_hub, engine, tmp_path
):
    async with open_hub() as hub:
        room = hub.create("A")
    with contextlib.closing(sqlite3.connect(tmp_path / "babblefish.db")) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        other.execute("UPDATE rooms SET name = name")
        async with open_hub() as hub:
            meeting = hub.create("Meeting")
            await converse(meeting, 400)
            assert room.code not in hub.rooms
            other.close()
            hub._keeper.tidy()
            await until(lambda: room.code in hub.rooms)
            await hub.storage.flush()
            assert len(await hub.storage.transcript(meeting.code)) == 1, "nothing was lost"


async def test_nothing_is_kept_where_there_is_no_storage(engine):
    hub = Hub(Settings(), engine)
    await hub.start()
    room = hub.create("A")
    async with Phone(room.join(**who("Dan", "en"))) as phone:
        assert phone.of(TranscriptPolicy) == [TranscriptPolicy("off")]
        assert refused(hub.keep_transcript, room.code, Retention()) == "setting"
        await hub.close()
        assert phone.of(Closed) == [Closed("room_closed")], "nobody could come back"
    assert not os.path.exists("babblefish.db")
