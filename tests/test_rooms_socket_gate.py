"""Limits of programs in rooms: API keys of their own, how many may be there, wrong guesses."""

from __future__ import annotations

import contextlib

import pytest
import pytest_asyncio

from babblefish.settings import Settings
from rooms.hub import Hub
from tests.programs import config, program, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def server(engine):
    hub = Hub(Settings(), engine)
    await hub.start()
    async with serving(hub, engine, max_connections=2) as served:
        yield served
    await hub.close()


async def refusal(server, first: dict, **options) -> tuple[str, int | None, int | None]:
    """(error code, code of the end, seconds after which to try again)"""
    async with program(server, first, **options) as kiosk:
        await kiosk.ended.wait()
        told = await kiosk.got("error")
        return told["code"], kiosk.code, told.get("retry_after")


def with_key(key: str) -> dict:
    return {"additional_headers": {"Authorization": f"Bearer {key}"}}


async def test_one_too_many_is_turned_away_until_another_goes(server):
    room = server.hub.create("Full")
    async with contextlib.AsyncExitStack() as stack:
        for number in range(2):
            there = await stack.enter_async_context(program(server, config(room, f"P{number}")))
            await there.got("welcome")
        assert await refusal(server, config(room)) == ("too_many_connections", 4503, 5)
    gate = server.app.state.gate
    await server.until(lambda: gate.open == 0)
    async with program(server, config(room)) as again:
        await again.got("welcome")


async def test_a_key_has_limits_of_its_own_and_can_be_revoked(server):
    room, keys = server.hub.create("Keys"), server.app.state.keys
    stored, key = await keys.make("Kiosk", ["rooms"], 600, 1)
    _, other = await keys.make("Text", ["translate"], 600, 1)
    assert await refusal(server, config(room), **with_key("bf_wrong")) == ("api_key", 4401, None)
    assert await refusal(server, config(room), **with_key(other)) == ("scope", 4403, None)
    async with program(server, config(room), **with_key(key)) as kiosk:
        await kiosk.got("welcome")
        error, code, _ = await refusal(server, config(room), **with_key(key))
        assert (error, code) == ("too_many_connections", 4503)
        await keys.revoke(stored.id)
        await kiosk.ended.wait()
        assert ((await kiosk.got("error"))["code"], kiosk.code) == ("api_key", 4401)


async def test_guessing_tokens_ends_soon(server):
    room = server.hub.create("Secret")
    found = set()
    for _ in range(31):
        error, code, retry = await refusal(server, config(room, token="wrong"))
        found.add((error, code))
        assert (retry is not None) == (error == "rate_limited")
    assert found == {("room_token", 4401), ("rate_limited", 4429)}
    right = await refusal(server, config(room))
    assert right[:2] == ("rate_limited", 4429), "not even who guesses right in the end"
