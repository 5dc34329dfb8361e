"""Rooms and transcripts in the storage: round trips, search, how long things are kept, bounds."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace

import pytest

from babblefish.errors import StorageError
from babblefish.storage.outbox import Outbox
from babblefish.storage.records import Retention, TokenHash
from babblefish.storage.worker import Worker
from tests.patience import PATIENCE
from tests.stored import NOW, in_french, kept_for, opened, room, said

DAY = 86400.0


async def test_a_room_and_its_transcript_come_back_as_stored(tmp_path):
    kept = room(
        locked=True, expires=NOW + DAY, retention=kept_for(7), glossary=("Łódź", "Kokoro"),
        settings={"lag_budget": 12.5, "partial_captions": False},
    )  # fmt: skip
    async with opened(tmp_path) as storage:
        storage.record(kept)
        storage.record(said(1, "Good morning"))
        storage.record(in_french(1, "Bonjour", voice="neutral"))
        storage.record(said(2, "And now?", speaker_name="Speaker 2"))
        storage.record(in_french(2, "Et alors ?", quality="basic"))
    async with opened(tmp_path) as storage:
        assert await storage.rooms() == [kept] and await storage.room("other") is None
        first, second = await storage.transcript("r00m")
        assert first.spoken == said(1, "Good morning")
        assert first.translations == (in_french(1, "Bonjour", voice="neutral"),)
        assert first.translations[0].synthetic and not second.translations[0].synthetic
        assert await storage.last_sequence("r00m") == 2
        assert await storage.transcript("r00m", after=1) == [second]
        assert await storage.transcript("r00m", limit=1) == [first]
        assert await storage.transcript("other") == []


async def test_what_is_recorded_again_replaces_what_was_there(tmp_path):
    async with opened(tmp_path) as storage:
        storage.record(room())
        storage.record(said(1, "draft"))
        storage.record(said(1, "final"))
        storage.record(in_french(1, "fini"))
        storage.record(in_french(1, "fini", voice="cloned"))
        renewed = replace(room(), tokens=(TokenHash("cd" * 32, NOW + 120),))
        storage.record(renewed)
        [entry] = await storage.transcript("r00m")
        assert entry.spoken.text == "final"
        assert [line.voice for line in entry.translations] == ["cloned"]
        assert await storage.rooms() == [renewed]


@pytest.mark.parametrize(
    "words, found",
    [("ÉTÉ", [1]), ("dan", [1, 2, 3]), ("100%", [2]), ("%", [2]), ("summer", [1]), ("'; --", [])],
)
async def test_search_finds_words_in_any_case_and_takes_signs_as_they_are(tmp_path, words, found):
    async with opened(tmp_path) as storage:
        storage.record(room())
        storage.record(said(1, "In summer"))
        storage.record(in_french(1, "En été"))
        storage.record(said(2, "100% sure"))
        storage.record(said(3, "100 percent"))
        entries = await storage.transcript("r00m", words=words)
        assert [entry.spoken.sequence for entry in entries] == found


async def test_transcripts_are_kept_as_long_as_the_room_says(tmp_path):
    async with opened(tmp_path) as storage:
        for code, retention in (
            ("never", Retention("off")), ("default", Retention()), ("week", kept_for(7)),
        ):  # fmt: skip
            storage.record(room(code, retention=retention, tokens=()))
            storage.record(said(1, room=code, start=NOW))
            storage.record(said(2, room=code, start=NOW + 3 * DAY))

        async def kept() -> list[int]:
            codes = ("never", "default", "week")
            return [len(await storage.transcript(code)) for code in codes]

        assert await kept() == [0, 2, 2]
        assert await storage.expire(NOW + 7 * DAY) == 0
        assert await storage.expire(NOW + 7 * DAY + 1) == 1 and await kept() == [0, 2, 1]
        for code in ("never", "default", "week"):
            await storage.close_room(code)
        assert await kept() == [0, 0, 1]
        storage.record(said(3, room="default"))
        assert await kept() == [0, 0, 1], "nothing is kept of a room that is closed"
        assert [r.code for r in await storage.rooms(closed=True)] == ["week"]
        assert await storage.rooms() == []
        assert await storage.expire(NOW + 10 * DAY + 1) == 1
        assert await storage.rooms(closed=True) == []


async def test_a_room_whose_time_is_over_is_closed(tmp_path):
    async with opened(tmp_path) as storage:
        storage.record(room(expires=NOW + 10))
        storage.record(said(1))
        assert await storage.expire(NOW + 9) == 0 and await storage.rooms() != []
        assert await storage.expire(NOW + 10) == 1 and await storage.rooms() == []


async def test_a_closed_room_keeps_nothing_more(tmp_path):
    async with opened(tmp_path) as storage:
        storage.record(room(closed=NOW))
        storage.record(said(1))
        assert await storage.transcript("r00m") == [] and storage.health.dropped == 0


async def test_one_bad_line_costs_nobody_else(tmp_path):
    async with opened(tmp_path) as storage:
        storage.record(room())
        storage.record(said(1))
        storage.record(said(2, "lone \ud800 surrogate"))
        storage.record(said(3, start=float("nan")))
        storage.record(said(4, room="unknown"))
        storage.record(in_french(9, "of nothing"))
        storage.record(said(5))
        entries = await storage.transcript("r00m")
        assert [entry.spoken.sequence for entry in entries] == [1, 5]
        assert (storage.health.state, storage.health.dropped) == ("ok", 4)


async def test_a_room_keeps_at_least_a_day_or_is_refused(tmp_path):
    async with opened(tmp_path) as storage:
        with pytest.raises(StorageError) as caught:
            await storage.save_room(room(retention=kept_for(0)))
        assert caught.value.code == "bad_value"
        await storage.save_room(room(retention=kept_for(1)))
        assert [r.retention.days for r in await storage.rooms()] == [1]


def test_lines_that_find_no_room_make_way_for_newer_ones_and_are_counted():
    outbox = Outbox(3)
    outbox.add(room())
    for number in range(1, 6):
        outbox.add(said(number))
    batch = outbox.take(2)
    assert [line.sequence for line in batch.lines] == [3, 4] and outbox.dropped == 2
    outbox.add(room(locked=True))
    outbox.add(said(6))
    outbox.give_back(batch)
    again = outbox.take(10)
    assert [line.sequence for line in again.lines] == [4, 5, 6] and outbox.dropped == 3
    assert [r.locked for r in again.rooms] == [True], "the newest state of a room counts"
    assert outbox.age() is None and len(outbox) == 0


async def test_calls_beyond_the_bound_are_refused_and_the_loop_goes_on(tmp_path):
    go = threading.Event()
    worker = Worker("test", 2, lambda: None, lambda: None, lambda: None)
    worker.start()
    entered = threading.Event()
    first = worker.submit(lambda: (entered.set(), go.wait(PATIENCE)))
    entered.wait(PATIENCE)
    waiting = [worker.submit(lambda: "done") for _ in range(2)]
    with pytest.raises(StorageError) as caught:
        worker.submit(lambda: None)
    assert caught.value.code == "busy"
    waiting[1].cancel()
    go.set()
    assert await asyncio.wrap_future(waiting[0]) == "done" and first.done()
    worker.close()
    await asyncio.wrap_future(worker.ended)
    with pytest.raises(StorageError) as caught:
        worker.submit(lambda: None)
    assert caught.value.code == "closed"


async def test_who_is_cancelled_while_the_answer_arrives_stays_cancelled(tmp_path):
    async with opened(tmp_path) as storage:
        for _ in range(3):
            asking = asyncio.create_task(storage.rooms())
            await asyncio.sleep(0)
            time.sleep(0.2)  # the answer is there, and the event loop has not seen it
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking


async def test_everything_happens_on_one_thread_of_its_own(tmp_path):
    before = set(threading.enumerate())
    async with opened(tmp_path) as storage:
        storage.record(room())
        await asyncio.gather(*(storage.add_speaker(f"Person {n}") for n in range(20)))
        await asyncio.gather(*(storage.speakers() for _ in range(20)))
        assert [t.name for t in set(threading.enumerate()) - before] == ["storage"]
