"""Promise 12, the short way: everybody came, talked, broke off and left, and nothing is left.

The long way, with the real models and a slope of memory, is ``make soak``.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from babblefish.settings import Settings
from babblefish.ui.programs.room_connection import Connection
from babblefish.ui.rtc import Call
from bench.soak import Standing, grown, slope
from rooms.attempt import Attempt
from rooms.hub import Hub
from rooms.member import Link, Member
from rooms.playout import Playout
from rooms.publication import Publication
from rooms.session import Session
from tests.phones import tone
from tests.programs import config, program, serving, silence, sine
from tests.rtc_peer import Peer

pytestmark = pytest.mark.asyncio(loop_scope="module")

OF_A_VISITOR = (
    Member, Session, Link, Playout, Call, Connection, Publication, Attempt,
)  # fmt: skip
ROUNDS = 2


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(engine, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    hub = Hub(Settings(grace_seconds=0.0), engine)
    await hub.start()
    async with serving(hub, engine, data_dir=folder) as served:
        served.folder = folder
        _, served.key = await served.app.state.keys.make("Kiosk", ["translate"], 100_000, 30)
        yield served
    await hub.close()


async def phone(server, room, breaks_off: bool) -> None:
    """Talks in the room over WebRTC until somebody's words were captioned."""
    member = await server.join(room)
    peer = await server.connect(member, Peer())
    peer.microphone.say(tone(800, 0.8))
    await finals(lambda: [e for e in peer.events if e["type"] == "caption" and e["final"]])
    if not breaks_off:
        peer.send({"type": "leave"})
        await asyncio.wait_for(peer.closed.wait(), 60)
    await peer.close()


async def kiosk(server, room, breaks_off: bool) -> None:
    async with program(server, config(room, "Kiosk", language="en", target="fr")) as one:
        await one.say(sine(400, 0.8))
        await one.say(silence(1.5))
        await one.got("final")
        if breaks_off:
            one.socket.transport.abort()


async def translation(server, room, breaks_off: bool) -> None:
    body = {"text": "One. Two.", "source_lang": "en", "target_lang": "es"}
    answer = await server.post("/translate", server.key, body)
    assert answer.status_code == 200, answer.text


async def finals(found: Callable[[], list]) -> None:
    async with asyncio.timeout(60):
        while not found():
            await asyncio.sleep(0.01)


async def visit(server, breaks_off: bool) -> None:
    """A meeting from its first to its last minute."""
    room = server.hub.create("Standup")
    visitors: tuple[Callable[..., Awaitable[None]], ...] = (phone, kiosk, translation)
    for visitor in visitors:
        await visitor(server, room, breaks_off)
    async with asyncio.timeout(60):
        while any(member.connected for member in room.members.values()) or server.calls:
            await asyncio.sleep(0.01)
    await server.hub.close_room(room.code)


def holdings(folder: Path) -> dict[str, Counter]:
    gc.collect()
    return {
        "tasks": Counter(task.get_name().split("-")[0] for task in asyncio.all_tasks()),
        "objects": Counter(
            type(o).__name__ for o in gc.get_objects() if isinstance(o, OF_A_VISITOR)
        ),
        "open files": Counter({"all": len(os.listdir("/proc/self/fd"))}),
        "temporary files": Counter(str(path) for path in folder.rglob("*") if path.is_file()),
    }


async def test_promise_12_nothing_is_left_of_those_who_have_gone(server):
    await visit(server, breaks_off=False)  # what is made once, and kept
    before = holdings(server.folder)
    for number in range(ROUNDS):
        await visit(server, breaks_off=bool(number % 2))
    until = asyncio.get_running_loop().time() + 60
    left: dict[str, Counter] = {"not": Counter("looked")}
    while left and asyncio.get_running_loop().time() < until:  # closing takes a moment
        await asyncio.sleep(0.05)
        now = holdings(server.folder)
        left = {what: now[what] - before[what] for what in now if now[what] - before[what]}
    assert left == {}


# --- how the long way judges -----------------------------------------------------------------


def standing(**changes) -> Standing:
    usual = {
        "at": 0.0, "server_mb": 300.0, "models_mb": 2000.0, "tasks": 20, "threads": 30,
        "open_files": 60, "connections": 1, "processes": 8, "people": 0,
    }  # fmt: skip
    return Standing(**(usual | changes))


async def test_what_grew_is_named():
    assert grown(standing(), standing(server_mb=900.0, tasks=19)) == {}
    assert grown(standing(), standing(tasks=21, open_files=64)) == {
        "tasks": (20, 21), "open_files": (60, 64),
    }  # fmt: skip


async def test_the_slope_is_that_of_most_of_the_time():
    steady = [(5.0 * n, 300.0 + 0.2 * (n % 3)) for n in range(80)]
    assert abs(slope(steady)) < 0.05
    assert abs(slope([*steady, (401.0, 900.0)])) < 0.05, "one moment does not count"
    assert slope([(5.0 * n, 300.0 + n) for n in range(80)]) == pytest.approx(12.0)
    assert slope([]) == slope([(0.0, 1.0)]) == 0.0
