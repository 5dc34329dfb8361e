"""Rooms come first: work without a listener is stopped for them and done again, and still ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from babblefish.engine import precedence as module
from babblefish.engine import workers
from babblefish.engine.job_queue import Priority
from babblefish.engine.precedence import GRACE, PATIENCE, Precedence
from babblefish.engine.profiles import Profile, StagePlan
from babblefish.engine.stages import StageSpec
from babblefish.engine.workers import WorkerPool
from babblefish.errors import WorkerError

ECHO = StageSpec("tests.fake_stages:Echo")
FOREVER = 600.0
"""seconds that no test waits for"""


async def begun(pool: WorkerPool, count: int = 1) -> None:
    """Until so many processes work."""
    async with asyncio.timeout(60):
        while len(pool._running()) < count:
            await asyncio.sleep(0.005)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.005)


def patient(pool: WorkerPool, *call) -> asyncio.Task:
    return asyncio.create_task(pool.call(*call, priority=Priority.BATCH, timeout=FOREVER))


@pytest.fixture
async def pool():
    pool = WorkerPool("echo", ECHO, max_queue=8)
    await pool.start()
    yield pool
    await pool.close()


@pytest.mark.parametrize("priority", [Priority.NOW, Priority.NEXT, Priority.DRAFT])
async def test_what_has_no_listener_is_stopped_and_done_again(pool, priority):
    batch = patient(pool, "until_interrupted", FOREVER)
    await begun(pool)
    assert pool.idle, "something urgent would be served at once"
    assert await asyncio.wait_for(pool.call("echo", "room", priority=priority), 60) == "room"
    await begun(pool)
    assert not batch.done() and (pool.stats.gave_way, pool.stats.errors) == (1, 0)
    batch.cancel()
    assert await asyncio.wait_for(pool.call("echo", "room"), 60) == "room"


async def test_it_is_done_before_what_came_later(pool):
    done = []
    first = patient(pool, "until_interrupted", 0.3)
    first.add_done_callback(lambda _: done.append("first"))
    await begun(pool)
    second = patient(pool, "echo", 2)
    second.add_done_callback(lambda _: done.append("second"))
    await pool.call("echo", "room")
    await asyncio.gather(first, second)
    assert pool.stats.gave_way == 1 and done == ["first", "second"]


async def test_what_was_stopped_often_is_done_to_its_end(pool, monkeypatch):
    monkeypatch.setitem(workers.MOST_STOPS, Priority.BATCH, 2)
    batch = patient(pool, "until_interrupted", 1.0)
    for _ in range(3):
        await begun(pool)
        assert not batch.done()
        await pool.call("echo", "room")
    assert batch.done(), "the third time it was not stopped"
    assert pool.stats.gave_way == 2


async def test_a_process_is_left_for_what_is_urgent():
    pool = WorkerPool("echo", ECHO, processes=2)
    await pool.start()
    try:
        await until(lambda: len(pool._idle) == 2)
        batch = [patient(pool, "sleep", 1.0) for _ in range(2)]
        await begun(pool)
        assert pool.depth == 1 and await pool.call("echo", "room") == "room"
        assert not any(task.done() for task in batch)
        await asyncio.gather(*batch)
    finally:
        await pool.close()


async def test_programs_fill_half_of_the_queue_and_push_nobody_out(pool):
    running = asyncio.create_task(pool.call("until_interrupted", FOREVER, timeout=FOREVER))
    await begun(pool)
    batch = [patient(pool, "echo", i) for i in range(6)]
    await until(lambda: sum(task.done() for task in batch) == 2)
    for refused in batch[4:]:
        with pytest.raises(WorkerError) as error:
            await refused
        assert error.value.code == "overloaded" and error.value.stage == "worker"
    rooms = [asyncio.create_task(pool.call("echo", i)) for i in range(6)]
    await until(lambda: sum(task.done() for task in batch) == 4)
    assert not any(task.done() for task in rooms), "the rooms' jobs took the place of two"
    running.cancel()
    assert await asyncio.gather(*rooms) == list(range(6))
    answers = await asyncio.gather(*batch, return_exceptions=True)
    assert [a if isinstance(a, int) else a.code for a in answers] == [0, 1, *["overloaded"] * 4]


async def test_work_that_goes_together_is_stopped_together(pool):
    running = asyncio.create_task(pool.call("sleep", 0.2))
    await begun(pool)
    calls = [
        asyncio.create_task(
            pool.call("until_interrupted", 0.5, priority=Priority.BATCH, batch=2, timeout=FOREVER)
        )
        for _ in range(2)
    ]
    await running
    await until(lambda: len(pool._processes[0].current) == 2)
    await pool.call("echo", "room")
    assert await asyncio.gather(*calls) == ["done", "done"] and pool.stats.gave_way == 2


@pytest.fixture
async def two(monkeypatch):
    """Two pools of one machine; both are known to do heavy work."""
    shared = Precedence()
    pools = [WorkerPool(name, ECHO, precedence=shared) for name in ("ears", "voice")]
    await asyncio.gather(*(pool.start() for pool in pools))
    for pool in pools:
        pool._job_seconds = 1.0
    yield pools
    await asyncio.gather(*(pool.close() for pool in pools))


async def test_it_rests_in_all_pools_while_one_works_for_a_room(two):
    ears, voice = two
    batch = patient(ears, "until_interrupted", 0.2)
    await begun(ears)
    room = asyncio.create_task(voice.call("until_interrupted", FOREVER, timeout=FOREVER))
    await until(lambda: ears.stats.gave_way == 1)
    waiting = patient(voice, "echo", 1)
    await until(lambda: voice.depth == 1)
    assert ears.depth == voice.depth == 1 and not ears._running()
    room.cancel()
    assert await asyncio.wait_for(asyncio.gather(batch, waiting), 60) == [None, 1]


async def test_what_takes_no_time_need_not_rest(two):
    ears, voice = two
    ears._job_seconds = 0.003
    room = asyncio.create_task(voice.call("until_interrupted", FOREVER, timeout=FOREVER))
    await begun(voice)
    assert await asyncio.wait_for(patient(ears, "echo", 1), 60) == 1 and not room.done()
    room.cancel()


async def test_now_and_then_one_is_let_through(two, monkeypatch):
    monkeypatch.setitem(module.PATIENCE, Priority.BATCH, 0.3)
    ears, voice = two
    room = asyncio.create_task(voice.call("until_interrupted", FOREVER, timeout=FOREVER))
    await begun(voice)
    batch = [patient(ears, "echo", i) for i in range(2)]
    assert await asyncio.wait_for(asyncio.gather(*batch), 60) == [0, 1] and not room.done()
    room.cancel()


async def test_what_is_let_through_is_stopped_by_its_own_pool_only(two, monkeypatch):
    monkeypatch.setitem(module.PATIENCE, Priority.BATCH, 0.0)
    ears, voice = two
    room = asyncio.create_task(voice.call("until_interrupted", FOREVER, timeout=FOREVER))
    await begun(voice)
    batch = patient(ears, "until_interrupted", FOREVER)
    await begun(ears)
    room.cancel()
    await asyncio.gather(room, return_exceptions=True)
    assert await voice.call("echo", "room") == "room" and ears.stats.gave_way == 0
    assert await ears.call("echo", "room") == "room" and ears.stats.gave_way == 1
    batch.cancel()


async def test_programs_wait_a_moment_after_a_room_and_no_longer_than_they_must():
    now = 100.0
    shared = Precedence(lambda: now)
    assert shared.ask(Priority.BATCH) is True
    with shared.work(Priority.NEXT), shared.work(Priority.NOW):
        assert shared.ask(Priority.BATCH) is False
    assert shared.ask(Priority.BATCH) is False, "more of it usually follows"
    now += GRACE[Priority.BATCH]
    assert shared.ask(Priority.BATCH) is True
    with shared.work(Priority.NOW):
        assert shared.ask(Priority.BATCH) is False
        now += PATIENCE[Priority.BATCH]
        assert shared.ask(Priority.BATCH) is None and shared.ask(Priority.BATCH) is False, (
            "one alone"
        )
        now += PATIENCE[Priority.BATCH]
        assert shared.ask(Priority.BATCH) is None


def test_stages_that_have_cores_of_their_own_do_not_rest_for_one_another():
    stage = StagePlan(ECHO)

    def shares(cores: int) -> bool:
        return Profile("any", stage, stage, None, (), stage, cores=cores).shares_cores

    assert shares(2) and not shares(8)


def of_programs(pool: WorkerPool, *call) -> asyncio.Task:
    return asyncio.create_task(pool.call(*call, priority=Priority.PROGRAM, timeout=FOREVER))


@pytest.mark.parametrize("priority", [Priority.NOW, Priority.NEXT])
async def test_what_programs_say_is_stopped_in_all_pools_for_what_people_hear(two, priority):
    ears, voice = two
    program = of_programs(ears, "until_interrupted", 0.3)
    await begun(ears)
    people = asyncio.create_task(
        voice.call("until_interrupted", FOREVER, priority=priority, timeout=FOREVER)
    )
    await until(lambda: ears.stats.gave_way == 1)
    assert ears.depth == 1 and not ears._running()
    people.cancel()
    assert await asyncio.wait_for(program, 60) is None


async def test_a_partial_caption_keeps_it_from_beginning_and_stops_it_in_the_same_pool_only(two):
    ears, voice = two
    program = of_programs(ears, "until_interrupted", 1.0)
    await begun(ears)
    drafting = asyncio.create_task(
        voice.call("until_interrupted", FOREVER, priority=Priority.DRAFT, timeout=FOREVER)
    )
    await begun(voice)
    assert await asyncio.wait_for(program, 60) is None and ears.stats.gave_way == 0
    program = of_programs(ears, "until_interrupted", 0.2)
    await until(lambda: ears.depth == 1)
    drafting.cancel()
    await begun(ears)
    assert await ears.call("echo", "draft", priority=Priority.DRAFT) == "draft"
    assert await asyncio.wait_for(program, 60) is None and ears.stats.gave_way == 1


async def test_what_is_urgent_stops_it_although_a_partial_caption_is_made_already(two):
    ears, voice = two
    program = of_programs(ears, "until_interrupted", FOREVER)
    await begun(ears)
    others = []
    for priority in (Priority.DRAFT, Priority.NOW):
        others.append(
            asyncio.create_task(
                voice.call("until_interrupted", FOREVER, priority=priority, timeout=FOREVER)
            )
        )
    await until(lambda: ears.stats.gave_way == 1)
    assert ears.depth == 1 and not ears._running() and not program.done()
    for task in (program, *others):
        task.cancel()


async def test_how_much_of_the_time_people_need_is_known_and_forgotten():
    now = 100.0
    shared = Precedence(lambda: now)
    assert shared.share(Priority.NOW) == shared.share(Priority.PROGRAM) == 0.0
    with shared.work(Priority.PROGRAM):
        now += 60.0
    assert shared.share(Priority.PROGRAM) == 0.0 and shared.share(Priority.BATCH) > 0.9
    for _ in range(30):
        with shared.work(Priority.DRAFT), shared.work(Priority.NOW):
            now += 0.5
        now += 0.5
    assert shared.share(Priority.PROGRAM) == pytest.approx(0.4, abs=0.1)
    now += 30.0
    assert shared.share(Priority.PROGRAM) < 0.05


async def test_what_programs_say_is_done_before_files_and_after_people(pool):
    done = []

    def noted(name: str, priority: Priority) -> asyncio.Task:
        task = asyncio.create_task(pool.call("echo", name, priority=priority))
        task.add_done_callback(lambda _: done.append(name))
        return task

    file = patient(pool, "until_interrupted", 0.2)
    await begun(pool)
    program = of_programs(pool, "until_interrupted", 0.2)
    await until(lambda: pool.stats.gave_way == 1 and pool.depth == 1)
    await asyncio.gather(
        noted("program", Priority.PROGRAM), noted("draft", Priority.DRAFT),
        noted("now", Priority.NOW), program, file,
    )  # fmt: skip
    assert done == ["now", "draft", "program"] and pool.stats.gave_way == 2


async def test_strain_tells_people_from_programs(pool):
    await of_programs(pool, "until_interrupted", 0.2)
    assert pool.worked_by(Priority.DRAFT) == 0 < 0.2 <= pool.worked_by(Priority.PROGRAM)
    await pool.call("until_interrupted", 0.2)
    assert pool.worked_by(Priority.DRAFT) >= 0.2
