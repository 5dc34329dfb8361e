"""Programs and their keys, against the real server: who comes in, how often, how many at once."""

from __future__ import annotations

import pytest

from tests.program_routes import code, programs
from tests.stored import contains

pytestmark = pytest.mark.asyncio


async def test_a_key_lets_a_program_in_and_is_stored_as_a_hash_only(tmp_path):
    async with programs(tmp_path) as server:
        stored, key = await server.keys.make("Lobby kiosk", ["translate"], 600, 30)
        assert key.startswith(f"bf_{stored.id}_") and len(key) == 55
        answer = await server.post("/translate", key, json={})
        assert answer.json() == {"key": stored.id, "name": "Lobby kiosk", "bytes": 2}
        assert await server.post("/translate", key, headers={"Authorization": f"bearer  {key}"})
        assert server.keys.all[0].used is not None
        assert code(await server.post("/speak", key)) == (403, "scope")
    assert contains(tmp_path, key.encode(), key.rpartition("_")[2].encode()) == []


WRONG = ["x", "bf_00000000_" + "a" * 43, "Basic eDp5", "é", "a" * 300]


@pytest.mark.parametrize(
    "told", [*(f"Bearer {wrong}" for wrong in WRONG), "Basic eDp5", "Bearer", "bf"]
)
async def test_without_a_right_key_nobody_comes_in(tmp_path, told):
    async with programs(tmp_path) as server:
        right = await server.key()
        sent = {"Authorization": told.encode()}
        answer = await server.http.post("/translate", json={}, headers=sent)
        assert code(answer) == (401, "api_key")
        assert answer.headers["www-authenticate"] == "Bearer"
        other = right[:-1] + ("a" if right[-1] != "a" else "b")
        assert code(await server.post("/translate", other)) == (401, "api_key")
        assert code(await server.post("/translate")) == (401, "api_key")
