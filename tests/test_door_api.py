"""The door of a room over HTTP: waiting, being let in, being refused, going away."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import httpx
import pytest

from babblefish.settings import Settings
from babblefish.ui import api
from babblefish.ui.server import create_app
from tests import fakes_hub
from tests.fakes_rooms import FakeEngine
from tests.patience import PATIENCE
from tests.served import JOIN, Served, running

pytestmark = pytest.mark.asyncio


@asynccontextmanager
async def door(**settings):
    """A server, and a room in which people wait."""
    hub = fakes_hub.hub(**settings)
    app = create_app(Settings(http=True, **settings), hub, FakeEngine())
    async with running(app) as base, httpx.AsyncClient(base_url=base, timeout=PATIENCE) as http:
        await app.state.ready.wait()
        room = hub.create("Stand-up")
        room.set(waiting_list=True)
        yield Served(app, hub, http), room


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def knock(server, room):
    answer = await server.post(f"/api/rooms/{room.code}/join", room.token, JOIN)
    assert answer.status_code == 200
    return answer.json()


async def test_who_is_admitted_gets_a_seat_at_once():
    async with door() as (server, room):
        mine = await knock(server, room)
        assert mine["waiting"] is True and mine["member"] == "" and not room.members
        path = f"/api/rooms/{room.code}/place"
        asking = asyncio.create_task(server.http.get(path, headers=bearer(mine["key"])))
        await server.until(lambda: room.admission.waiting[0].asking)
        room.admission.admit_all()
        answer = (await asyncio.wait_for(asking, PATIENCE)).json()
        (member,) = room.members.values()
        assert answer["state"] == "admitted"
        assert answer["seat"] == {
            "member": member.id, "key": member.key, "color": member.color, "name": "Marie",
            "waiting": False,
        }  # fmt: skip
        again = await server.http.get(path, headers=bearer(mine["key"]))
        assert again.json() == answer, "a reload at this moment loses nothing"


async def test_nothing_else_opens_with_the_key_of_a_place(monkeypatch):
    monkeypatch.setattr(api, "PLACE_SECONDS", 0.05)
    async with door() as (server, room):
        mine = await knock(server, room)
        path = f"/api/rooms/{room.code}"
        answer = await server.http.get(f"{path}/place", headers=bearer(mine["key"]))
        assert answer.json() == {"state": "waiting", "seat": None}
        offer = {"sdp": "v=0", "type": "offer"}
        assert (await server.post(f"{path}/offer", mine["key"], offer)).status_code == 401
        assert (await server.http.get(path, headers=bearer(mine["key"]))).status_code == 401
        for key in (room.token, "x"):
            refused = await server.http.get(f"{path}/place", headers=bearer(key))
            assert (refused.status_code, refused.json()["error"]["code"]) == (401, "member_key")
        other = server.hub.create("Other")
        refused = await server.http.get(
            f"/api/rooms/{other.code}/place", headers=bearer(mine["key"])
        )
        assert refused.status_code == 401


async def test_refused_giving_up_and_a_room_that_closes():
    async with door() as (server, room):
        path = f"/api/rooms/{room.code}/place"
        first, second, third = [await knock(server, room) for _ in range(3)]
        room.admission.refuse(room.admission.waiting[0].id)
        answer = await server.http.get(path, headers=bearer(first["key"]))
        assert answer.json() == {"state": "refused", "seat": None}
        gone = await server.http.delete(path, headers=bearer(second["key"]))
        assert gone.status_code == 204 and len(room.admission.waiting) == 1
        asking = asyncio.create_task(server.http.get(path, headers=bearer(third["key"])))
        await server.until(lambda: room.admission.waiting[0].asking)
        await server.hub.close_room(room.code)
        assert (await asking).json() == {"state": "closed", "seat": None}


async def test_one_address_cannot_fill_the_list():
    async with door(max_members=4) as (server, room):
        for _ in range(2):
            await knock(server, room)
        answer = await server.post(f"/api/rooms/{room.code}/join", room.token, JOIN)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "room_full")


async def test_a_removed_phone_waits_at_the_door_when_it_comes_back():
    async with door() as (server, room):
        room.set(waiting_list=False)
        mine = await knock(server, room)
        assert mine["waiting"] is False
        await room.remove(mine["member"])
        again = await knock(server, room)
        assert again["waiting"] is True and not room.members
