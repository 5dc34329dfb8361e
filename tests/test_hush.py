"""While a person waits for a translation to begin, nobody listens to programs, but not for long."""

from __future__ import annotations

import asyncio

import pytest

from babblefish.engine import hush as module
from babblefish.engine.hush import Hush

LONG = 600.0
"""seconds that no test waits for"""


@pytest.fixture
def unlimited(monkeypatch):
    monkeypatch.setattr(module, "MOST_S", LONG)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_nobody_waits_where_nobody_keeps_it(unlimited):
    hush = Hush()
    await asyncio.wait_for(hush.over(), 60)
    assert not hush.goes_on


async def test_it_is_over_once_nobody_keeps_it(unlimited):
    hush = Hush()
    with hush.keep():
        with hush.keep():
            waiting = asyncio.create_task(hush.over())
            await settle()
        await asyncio.sleep(2 * module.GRACE_S)
        assert not waiting.done(), "one keeps it still"
    await asyncio.wait_for(waiting, 60)


async def test_it_goes_on_where_the_next_to_keep_it_follows_at_once(unlimited):
    hush = Hush()
    with hush.keep():
        waiting = asyncio.create_task(hush.over())
        await settle()
    with hush.keep():
        await asyncio.sleep(2 * module.GRACE_S)
        assert not waiting.done()
    await asyncio.wait_for(waiting, 60)


async def test_it_ends_by_itself_and_is_not_kept_again_at_once(monkeypatch):
    monkeypatch.setattr(module, "MOST_S", 0.05)
    hush = Hush()
    with hush.keep():
        assert hush.goes_on
        await asyncio.wait_for(hush.over(), 60)
        monkeypatch.setattr(module, "MOST_S", LONG)  # what it may last longer comes with time only
        with hush.keep():
            assert not hush.goes_on, "it has lasted as long as it may"
    with hush.keep():
        await asyncio.wait_for(hush.over(), 60)
        assert not hush.goes_on, "although somebody keeps it"


async def test_those_who_wait_go_on_in_their_order_and_not_all_at_once(unlimited, monkeypatch):
    monkeypatch.setattr(module, "APART_S", 0.1)
    hush, loop = Hush(), asyncio.get_running_loop()
    went: list[tuple[int, float]] = []

    async def wait(number: int) -> None:
        await hush.over()
        went.append((number, loop.time()))

    with hush.keep():
        waiting = [asyncio.create_task(wait(number)) for number in range(5)]
        await settle()
        waiting[2].cancel()
    await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 60)
    assert [number for number, _ in went] == [0, 1, 3, 4]
    assert went[-1][1] - went[0][1] > 0.15, "0.3, were it always on time"


async def test_who_waits_while_it_begins_again_waits_on(unlimited, monkeypatch):
    monkeypatch.setattr(module, "APART_S", LONG)
    hush = Hush()
    with hush.keep():
        first, second = (asyncio.create_task(hush.over()) for _ in range(2))
        await settle()
    await asyncio.wait_for(first, 60)
    with hush.keep():
        await asyncio.sleep(2 * module.GRACE_S)
        assert not second.done()
    await asyncio.wait_for(second, 60)
