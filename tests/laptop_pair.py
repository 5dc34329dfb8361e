"""Two laptops for a module of tests: import the fixtures ``processes``, ``one`` and ``two``."""

from __future__ import annotations

import pytest

from babblefish.engine import cloning_health
from babblefish.engine.cloning import Cloning
from babblefish.engine.cloning_messages import LaptopState
from bench.laptop_process import LaptopProcess


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    """Two laptops, spawned while others are tested."""
    folder = tmp_path_factory.mktemp("laptops")
    pair = [LaptopProcess(folder, "one"), LaptopProcess(folder, "two", days=-1)]
    for process in pair:
        process.spawn()
    yield pair
    for process in pair:
        process.kill()


@pytest.fixture
async def one(processes, monkeypatch) -> LaptopProcess:
    monkeypatch.setattr(cloning_health, "POLL_S", 0.4)
    process = processes[0]
    await process.start()
    await process.behave(anew=True)
    return process


@pytest.fixture
async def two(processes) -> LaptopProcess:
    process = processes[1]
    await process.start()
    await process.behave(anew=True)
    return process


def state(cloning: Cloning, id: str = "one") -> LaptopState:
    return next(state for state in cloning.laptops() if state.id == id)
