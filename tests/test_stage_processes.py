"""Every stage in a worker process: several calls at once, calls given up, nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib

import numpy as np
import psutil
import pytest

from babblefish.audio import rms
from babblefish.engine.pool_part import PoolPart
from babblefish.engine.workers import WorkerPool
from babblefish.errors import WorkerError
from tests.read_aloud import sentence
from tests.stage_conformance import SAMPLE_CALLS, STAGES

_CALLS = 12
_GROWTH = 24e6
"""bytes by which as many calls may make a process grow: its allocator rounds"""


@pytest.mark.asyncio
@pytest.mark.parametrize("name", STAGES)
async def test_a_stage_serves_many_calls_and_keeps_nothing(name, big_weights_dir, weights_dir):
    listed = STAGES[name]
    pool = WorkerPool(name, listed.spec(big_weights_dir), threads=1)
    await pool.start()
    stage = PoolPart(pool, listed.part) if listed.part else pool
    clip = sentence(weights_dir, "en")
    call = SAMPLE_CALLS[listed.kind](stage.capabilities, clip.samples)
    try:
        expected = await stage.call(*call)
        together = await asyncio.gather(*(stage.call(*call) for _ in range(3)))
        assert all(same(answer, expected) for answer in together)
        process = psutil.Process(pool.pids[0])
        memory, files = process.memory_info().rss, process.num_fds()
        for _ in range(_CALLS):
            await stage.call(*call)
        assert process.num_fds() <= files
        assert process.memory_info().rss - memory < _GROWTH
        given_up = asyncio.create_task(stage.call(*call))
        await asyncio.sleep(0.02)
        given_up.cancel()
        with contextlib.suppress(asyncio.CancelledError, WorkerError):
            await given_up
        assert same(await stage.call(*call), expected)
        assert pool.stats.restarts == 0 and pool.pids == [process.pid]
    finally:
        await pool.close()


def same(one, other):
    if isinstance(one, tuple):
        return all(map(same, one, other))
    if isinstance(one, np.ndarray):
        # espeak-ng's voices waver at random, about the same words
        return one.shape == other.shape and (
            np.allclose(one, other, atol=1e-4) or abs(rms(one) / rms(other) - 1) < 0.2
        )
    return one == other
