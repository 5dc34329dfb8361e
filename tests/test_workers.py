"""Worker pools with real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import numpy as np
import psutil
import pytest
import pytest_asyncio

from babblefish.engine.job_queue import Priority
from babblefish.engine.pool_part import PoolPart
from babblefish.engine.stages import StageSpec
from babblefish.engine.workers import WorkerPool
from babblefish.errors import BabbleFishError, WeightsError, WorkerError
from tests.patience import PATIENCE, until

ECHO = StageSpec("tests.fake_stages:Echo")


@pytest_asyncio.fixture
async def pool():
    pool = WorkerPool("echo", ECHO, nice=3, max_queue=4)
    await pool.start()
    yield pool
    await pool.close()


async def test_calls_go_to_a_niced_process_and_arrays_come_back_unchanged(pool):
    assert pool.capabilities == "echo"
    assert await pool.call("pid") not in (0, os.getpid())
    assert await pool.call("nice") >= 3
    samples = np.random.default_rng(0).standard_normal(500_000).astype(np.float32)
    back = await pool.call("echo", {"audio": samples, "rate": 16000})
    assert np.array_equal(back["audio"], samples) and back["audio"].flags.writeable


@pytest.fixture
def gate(tmp_path):
    """What the first job waits for: until it is opened, the others wait in the queue."""
    return tmp_path / "gate"


async def test_urgent_jobs_overtake_waiting_ones(pool, gate):
    order = []

    async def call(name, priority):
        await pool.call("hold", str(gate), priority=priority)
        order.append(name)

    names = [("first", Priority.BATCH), ("file", Priority.BATCH), ("draft", Priority.DRAFT),
             ("now", Priority.NOW)]  # fmt: skip
    async with asyncio.TaskGroup() as group:
        for name, priority in names:
            group.create_task(call(name, priority))
            await asyncio.sleep(0)
        gate.touch()
    assert order == ["first", "now", "draft", "file"]


async def test_within_a_priority_what_is_needed_first_comes_first(pool, gate):
    order = []
    now = time.monotonic()

    async def call(name, deadline):
        await pool.call("hold", str(gate), deadline=deadline)
        order.append(name)

    async with asyncio.TaskGroup() as group:
        group.create_task(call("running", None))
        await asyncio.sleep(0)
        for name, deadline in (("later", now + 9), ("soon", now + 1), ("at once", None)):
            group.create_task(call(name, deadline))
        await asyncio.sleep(0)
        gate.touch()
    assert order == ["running", "at once", "soon", "later"]


async def test_a_draft_is_given_up_for_something_urgent_and_for_nothing_else(pool):
    def begin(priority, seconds=0.6):
        return asyncio.create_task(pool.call("until_interrupted", seconds, priority=priority))

    draft = begin(Priority.DRAFT, 25.0)
    await asyncio.sleep(0.05)
    later = asyncio.create_task(pool.call("echo", 1, priority=Priority.BATCH))
    await asyncio.sleep(0.05)
    assert not draft.done(), "what is not urgent waits"
    assert await pool.call("echo", "now") == "now"
    with pytest.raises(WorkerError) as error:
        await draft
    assert error.value.code == "superseded" and await later == 1
    for priority in (Priority.NOW, Priority.NEXT):
        running = begin(priority)
        await asyncio.sleep(0.02)
        await pool.call("echo", "now")
        assert await running is None
    assert pool.stats.restarts == 0


async def test_a_running_job_that_is_cancelled_is_given_up(pool):
    running = asyncio.create_task(pool.call("until_interrupted", 25.0))
    await asyncio.sleep(0.05)
    running.cancel()
    assert await asyncio.wait_for(pool.call("echo", "now"), PATIENCE) == "now"
    assert running.cancelled() and pool.stats.restarts == 0


async def test_promise_8_a_full_queue_drops_the_least_valuable(pool, gate):
    running = asyncio.create_task(pool.call("hold", str(gate)))
    await asyncio.sleep(0.05)
    drafts = [asyncio.create_task(pool.call("echo", i, priority=Priority.DRAFT)) for i in range(4)]
    await asyncio.sleep(0)
    kept = asyncio.create_task(pool.call("echo", "kept"))
    with pytest.raises(WorkerError) as error:
        await drafts[-1]
    gate.touch()
    assert await kept == "kept"
    assert error.value.code == "overloaded"
    assert await asyncio.gather(*drafts[:3]) == [0, 1, 2] and pool.stats.dropped == 1
    await running


async def test_cancelling_takes_a_job_out_of_the_queue(pool, gate):
    running = asyncio.create_task(pool.call("hold", str(gate)))
    waiting = asyncio.create_task(pool.call("die"))
    await asyncio.sleep(0.05)
    waiting.cancel()
    await asyncio.sleep(0)
    gate.touch()
    await running
    assert pool.depth == 0 and await pool.call("echo", 1) == 1 and pool.stats.restarts == 0


async def test_promise_9_a_process_that_dies_is_replaced_and_its_job_reported(pool):
    with pytest.raises(WorkerError) as error:
        await pool.call("die")
    assert error.value.code == "worker_died"
    assert await pool.call("echo", "alive") == "alive"
    os.kill(pool.pids[0], signal.SIGKILL)
    await until(lambda: pool.stats.restarts == 2)
    assert await pool.call("echo", "again") == "again"


async def test_promise_9_a_process_that_hangs_is_replaced(pool):
    with pytest.raises(WorkerError) as error:
        await pool.call("sleep", 60, timeout=0.2)
    assert error.value.code == "worker_hung"
    assert await pool.call("echo", "alive") == "alive"


async def test_a_crash_in_a_stage_does_not_repeat_what_was_said(pool):
    with pytest.raises(WorkerError) as error:
        await pool.call("crash")
    assert error.value.code == "stage_crashed" and "secret" not in str(error.value)


async def test_a_stage_that_cannot_be_built_says_why():
    pool = WorkerPool("echo", StageSpec("tests.fake_stages:Echo", {"fail": "weights"}))
    with pytest.raises(WeightsError, match="make setup"):
        await pool.start()
    with pytest.raises(WeightsError):
        await pool.call("echo", 1)
    await pool.close()


async def test_closing_leaves_no_process_and_fails_what_waits():
    pool = WorkerPool("echo", ECHO, processes=2)
    await pool.start()
    jobs = [asyncio.create_task(pool.call("sleep", 30)) for _ in range(4)]
    await asyncio.sleep(0.1)
    pids = pool.pids
    await pool.close()
    results = await asyncio.gather(*jobs, return_exceptions=True)
    assert [r.code for r in results] == ["closed"] * 4
    assert not any(psutil.pid_exists(pid) for pid in pids)


async def test_workers_end_with_the_server():
    """A killed server leaves nothing behind: the worker's socket closes with it."""
    code = (
        "import asyncio\n"
        "from babblefish.engine.stages import StageSpec\n"
        "from babblefish.engine.workers import WorkerPool\n"
        "async def main():\n"
        "    pool = WorkerPool('echo', StageSpec('tests.fake_stages:Echo'))\n"
        "    await pool.start()\n"
        "    print(pool.pids[0], flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    import sys

    server = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
    )
    worker = int(await server.stdout.readline())
    server.kill()
    await server.wait()
    await until(lambda: has_ended(worker))  # else it outlived the server


def has_ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def test_calls_that_wait_at_the_same_time_go_together(pool, gate):
    first = asyncio.create_task(pool.call("hold", str(gate)))
    await asyncio.sleep(0)
    calls = [pool.call("echo", value, batch=2) for value in (1, 2, 3)]
    draft = pool.call("echo", 4, batch=2, priority=Priority.DRAFT)
    together = asyncio.gather(*calls, draft, first)
    await asyncio.sleep(0)
    gate.touch()
    answers = await together
    assert answers == [(1, 2), (2, 2), 3, 4, None], "two at once, and none of another kind"
    assert pool.stats.calls == 5


async def test_what_fails_in_a_batch_fails_alone(pool, gate):
    first = asyncio.create_task(pool.call("hold", str(gate)))
    await asyncio.sleep(0)
    calls = [pool.call("echo", value, batch=4) for value in (1, "two", 3)]
    together = asyncio.gather(*calls, first, return_exceptions=True)
    await asyncio.sleep(0)
    gate.touch()
    one, two, three, _ = await together
    assert (one, three) == ((1, 3), (3, 3))
    assert isinstance(two, BabbleFishError) and two.code == "word"
    assert pool.stats.errors == 1


async def test_giving_up_one_of_a_batch_does_not_disturb_the_others(pool):
    first = asyncio.create_task(pool.call("sleep", 0.1))
    await asyncio.sleep(0)
    kept, left = (asyncio.create_task(pool.call("until_interrupted", 0.2)) for _ in range(2))
    await first
    left.cancel()
    assert await kept is None


async def test_a_process_may_hold_several_stages():
    pool = WorkerPool("twins", StageSpec("tests.fake_stages:Twins"))
    await pool.start()
    first, second = PoolPart(pool, "first"), PoolPart(pool, "second")
    assert (first.capabilities, second.capabilities) == ("one", "two")
    assert await first.call("echo", 7) == 7
    assert await first.call("pid") == await second.call("pid")
    assert first.stats.calls == 3
    await pool.close()
