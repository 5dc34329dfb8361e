"""Programs that may not come into a room, or whose connection is ended, and why."""

from __future__ import annotations

import asyncio
import json
import socket

import numpy as np
import pytest
import websockets
from websockets.asyncio.client import connect

from babblefish.network import bind
from babblefish.protocol import Warn
from tests.programs import (
    config,
    program,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def left(room) -> None:
    """Until nobody is connected."""
    async with asyncio.timeout(60):
        while any(member.connected for member in room.members.values()):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "first, code, error",
    [
        ({"type": "config"}, 4422, "config"),
        ({"type": "hello"}, 4422, "config"),
        (np.zeros(160, np.int16), 4422, "config"),
        ({"language": "xx"}, 4422, "language"),
        ({"target": "tlh"}, 4422, "language"),
        ({"name": "\u202e"}, 4422, "bad_name"),
        ({"surprise": 1}, 4422, "config"),
        ({"sample_rate": 11025}, 4422, "config"),
        ({"token": "wrong"}, 4401, "room_token"),
        ({"token": ""}, 4401, "room_token"),
        ({"room": "NOSUCH"}, 4401, "room_token"),
        ({"key": "wrong"}, 4401, "member_key"),
    ],
)
async def test_who_may_not_come_in_is_told_why(server, room, first, code, error):
    if isinstance(first, dict) and "type" not in first:
        first = config(room) | first
    async with program(server, None) as kiosk:
        await kiosk.say(first)
        await kiosk.ended.wait()
        told = await kiosk.got("error")
        assert (told["code"], kiosk.code) == (error, code)
        assert len(told["message"]) > 10 and not room.members


async def test_a_locked_room_stays_locked(server, room):
    room.lock(True)
    async with program(server, config(room)) as kiosk:
        await kiosk.ended.wait()
        assert ((await kiosk.got("error"))["code"], kiosk.code) == ("room_locked", 4403)


async def test_pages_of_other_sites_are_refused(server, room):
    with pytest.raises(websockets.InvalidStatus) as refusal:
        async with program(server, config(room), origin="https://elsewhere.example"):
            pass
    assert refusal.value.response.status_code == 403


@pytest.mark.parametrize(
    "data, error, code",
    [(b"abc", "bad_audio", 4422), (bytes(2 * 16000 * 61), "too_fast", 4429)],
)
async def test_sound_that_cannot_be_used_ends_it(server, room, data, error, code):
    async with program(server, config(room)) as kiosk:
        await kiosk.got("welcome")
        await kiosk.socket.send(data)
        await kiosk.ended.wait()
        assert ((await kiosk.got("error"))["code"], kiosk.code) == (error, code)


async def test_the_host_lets_in_who_waits(server, room):
    room.set(waiting_list=True)
    async with program(server, config(room)) as kiosk:
        await kiosk.got("waiting")
        assert not room.members and not kiosk.of("welcome")
        room.admission.admit(room.admission.waiting[0].id)
        await kiosk.got("welcome")
    async with program(server, config(room, "Other")) as refused:
        await refused.got("waiting")
        room.admission.refuse(room.admission.waiting[0].id)
        await refused.ended.wait()
        assert ((await refused.got("error"))["code"], refused.code) == ("refused", 4403)
    async with program(server, config(room, "Third")) as third:
        await third.got("waiting")
    async with asyncio.timeout(60):
        while room.admission.waiting:
            await asyncio.sleep(0.01)


async def test_who_reads_nothing_is_cut_off_and_harms_nobody(server, room, monkeypatch):
    monkeypatch.setattr("babblefish.ui.programs.room_outbox.STUCK_S", 0.2)
    monkeypatch.setattr("babblefish.ui.programs.room_connection._CLOSE_S", 0.2)
    url = str(server.http.base_url).replace("http", "ws", 1) + "/ws/client"
    async with program(server, config(room, "Dan")) as dan:
        await dan.got("welcome")
        stalled = await connect(url, compression=None, proxy=None, max_queue=1, close_timeout=0.2)
        await stalled.send(json.dumps(config(room, "Stalled")))
        await server.until(lambda: len(room.members) == 2)
        (member,) = [m for m in room.members.values() if m.name == "Stalled"]
        await server.until(lambda: member.connected)
        for number in range(200):
            room.send(Warn("large", "x" * 100_000, str(number)))
            await asyncio.sleep(0)
        async with asyncio.timeout(60):
            while member.connected or server.app.state.gate.open > 1:
                await asyncio.sleep(0.01)
        await dan.got("warn", 200)
        assert [warn["utterance"] for warn in dan.of("warn")] == [str(n) for n in range(200)]
        stalled.transport.abort()


async def test_a_connection_that_takes_nothing_ends_even_if_nobody_closes_it():
    listener = bind("127.0.0.1", 0)
    listener.listen()
    with listener, socket.create_connection(listener.getsockname()), listener.accept()[0] as there:
        option = getattr(socket, "TCP_USER_TIMEOUT", None)
        if option is not None:
            assert there.getsockopt(socket.IPPROTO_TCP, option) == 180_000


async def test_nothing_is_left_of_programs_that_went(server, room):
    for output in ("clips", "stream", "text"):
        async with program(server, config(room, output=output)) as kiosk:
            await kiosk.got("welcome")
    await left(room)

    def tasks() -> list[str]:
        names = (task.get_name() for task in asyncio.all_tasks())
        return [name for name in names if name.startswith("program")]

    until = asyncio.get_running_loop().time() + 60
    while tasks() and asyncio.get_running_loop().time() < until:
        await asyncio.sleep(0.01)
    assert tasks() == []
