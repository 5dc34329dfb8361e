"""A laptop that dialled in, and one that the server calls as soon as it can."""

# ruff: noqa: F401, F811  (fixtures are imported by name)
from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from babblefish.accelerator_protocol import Health
from babblefish.engine import cloning_health
from bench.laptop_process import LaptopProcess
from tests.laptop_pair import one, processes, state, two
from tests.laptops import PIERRE, DialIn, client, listen, reference, request, seen
from tests.patience import until

NONE = Health(ready=False)


# --- a laptop that dialled in ----------------------------------------------------------------


@pytest.fixture
async def dialled(one, tmp_path):
    """A laptop that the server cannot call, and its process."""
    async with DialIn(tmp_path).running() as server:
        process = LaptopProcess(
            tmp_path, "three", dial=server.url, server_certificate=str(server.certificate)
        )
        server.laptop = laptop = process.laptop(urls=["https://127.0.0.1:9"])
        await process.start()
        try:
            async with client(laptop) as cloning:
                yield cloning, process
        finally:
            process.kill()


async def test_the_same_messages_travel_over_the_socket_of_a_laptop_that_dialled_in(dialled):
    cloning, process = dialled
    assert state(cloning, "three").transport == "websocket"
    heard = await asyncio.gather(
        *(listen(cloning, request(f"Clause {n},", "two", of=reference(f"s{n}"))) for n in range(3))
    )
    assert [len(each.clauses) for each in heard] == [2, 2, 2]
    await process.behave(anew=True, each_s=1.0)
    async with aclosing(cloning.speak(request(), 3)) as spoken:  # it has lost the voice, too
        await anext(spoken)
    await seen(process, lambda seen: seen["cancelled"] == 1)
    cloning.forget(PIERRE.speaker)
    await seen(process, lambda seen: PIERRE.speaker not in seen["voices"])
    await process.behave(anew=True, fault="failed")
    assert (await listen(cloning)).code == "synthesis_failed"
    await process.behave(anew=True, fault="html")
    heard = await listen(cloning, deadline=1)
    assert heard.code == "bad_answer" and heard.ended < 1.1


async def test_a_laptop_that_dialled_in_is_called_once_that_works(one, tmp_path, monkeypatch):
    monkeypatch.setattr(cloning_health, "CALL_AGAIN_S", 1.0)
    async with DialIn(tmp_path).running() as server:
        process = LaptopProcess(
            tmp_path, "three", dial=server.url, server_certificate=str(server.certificate)
        )
        server.laptop = laptop = process.laptop()
        laptop.urls, before = ("https://127.0.0.1:9",), laptop.urls
        await process.start()
        try:
            async with client(laptop) as cloning:
                assert state(cloning, "three").transport == "websocket"
                cloning._links["three"].health._https[0].url = before[0]  # the firewall has opened
                await until(lambda: state(cloning, "three").transport == "https")
                assert len((await listen(cloning)).clauses) == 3
        finally:
            process.kill()


async def test_a_laptop_that_learns_its_secret_after_it_was_added_is_soon_asked(one, monkeypatch):
    monkeypatch.setattr(cloning_health, "POLL_S", 30.0)
    await one.behave(refuse=True)
    async with client(one.laptop(), ready=False) as cloning:
        await until(lambda: state(cloning).condition == "refused")
        await one.behave(refuse=False)
        await until(lambda: cloning.speaks("en"), 5)
        assert state(cloning).condition == "ready"


async def test_a_laptop_that_dialled_in_and_dies_is_missed_at_once_and_found_again(dialled):
    cloning, process = dialled
    await listen(cloning)
    await process.behave(fault="die", fault_at=1)
    heard = await listen(cloning)
    assert (heard.numbers, heard.code) == ([0], "unreachable") and heard.ended < 2
    process.kill()
    process.spawn()
    await until(lambda: cloning.speaks("en"))
    assert len((await listen(cloning)).clauses) == 3
