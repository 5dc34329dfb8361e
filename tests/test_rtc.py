"""Phones made of aiortc against the real server: sound, events, and everything that goes wrong."""

from __future__ import annotations

import asyncio
import logging
import threading
import time

import numpy as np
import pytest

from tests.patience import PATIENCE, awake
from tests.rtc_peer import Peer, sample_offer
from tests.served import JOIN, served

pytestmark = pytest.mark.asyncio


def bursts(seconds: int) -> np.ndarray:
    """20 ms of tone every half second, int16 at 48 kHz."""
    sound = np.zeros(48000 * seconds, np.int16)
    burst = (12000 * np.sin(2 * np.pi * 800 * np.arange(960) / 48000)).astype(np.int16)
    for start in range(24000, len(sound) - 960, 24000):
        sound[start : start + 960] = burst
    return sound


# --- sound -----------------------------------------------------------------------------------


async def test_sound_comes_back_in_good_time():
    async with served("echo") as server:
        member = await server.join(server.hub.create("A"))
        peer = await server.connect(member, Peer(bursts(50)))

        def delays() -> list[float]:
            """of the last bursts that came back"""
            found = []
            for at, samples in peer.heard[-150:]:
                loud = np.abs(samples) > 4000
                if loud.any():
                    heard = at - (len(samples) - loud.argmax()) / 48000 - peer.microphone._start
                    found.append(heard % 0.5)
            return found

        # 80 ms of these belong to the test client's own buffer; browsers have their own. Where the
        # machine stood still meanwhile, sound is late until the buffers have caught up.
        await server.until(lambda: len(delays()) >= 5 and np.median(delays()) < 0.35)
        await server.until(lambda: member.link.heard > 48000 * 2)
        await peer.close()


async def test_frames_leave_every_20_ms():
    async with served("tone") as server:
        member = await server.join(server.hub.create("A"))
        peer = await server.connect(member, Peer())

        def steady() -> bool:
            """for two seconds, which a machine that stands still now and then allows some time"""
            arrivals = np.array([at for at, _ in peer.heard[-100:]])
            spectrum = np.abs(np.fft.rfft(peer.sound()[-48000:]))
            even = np.diff(arrivals).mean() == pytest.approx(0.02, abs=0.002)
            return even and spectrum.argmax() == 440

        await server.until(lambda: len(peer.heard) > 120)
        async with asyncio.timeout(PATIENCE):
            while not steady():
                await asyncio.sleep(0.2)
        await peer.close()


async def test_a_room_that_fails_leaves_the_call_alive(monkeypatch, caplog):
    async with served("tone") as server:
        member = await server.join(server.hub.create("A"))
        peer = await server.connect(member, Peer())

        def broken(*_):
            raise RuntimeError("Marie said: bonjour")

        def lines() -> list[str]:
            return [r.getMessage() for r in caplog.records if r.name == "babblefish.ui.rtc"]

        monkeypatch.setattr(member.link, "next_frame", broken)
        monkeypatch.setattr(member.link, "hear", broken)
        monkeypatch.setattr(member.link, "event", broken)
        peer.send({"type": "ping", "id": 1})
        assert (await peer.event("warn"))["code"] == "internal"
        await server.until(lambda: len(lines()) >= 2)
        await asyncio.sleep(0.1)
        assert member.connected
        await peer.close()
    lines = lines()
    assert any("RuntimeError" in line for line in lines)
    assert len(lines) == 2
    assert not any("bonjour" in line for line in lines)


# --- events ----------------------------------------------------------------------------------


async def test_events_travel_both_ways():
    async with served() as server:
        member = await server.join(server.hub.create("Standup"))
        peer = await server.connect(member, Peer())
        assert (await peer.event("welcome"))["room_name"] == "Standup"
        peer.send({"type": "ping", "id": 7})
        assert (await peer.event("pong"))["id"] == 7
        assert {event["type"] for event in peer.events} == {"welcome", "pong"}
        await peer.close()


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{", "bad_event"),
        ("[1]", "bad_event"),
        ('{"type":"caption"}', "bad_event"),
        ('{"type":"ping","id":"x"}', "bad_event"),
        ('{"type":"ping","id":1,"more":2}', "bad_event"),
        ('{"type":"ping","id":' + "1" * 5000 + "}", "bad_event"),
        ('{"type":"ping","id":13}', "unlucky"),
    ],
)
async def test_a_bad_event_is_answered_with_a_warning(message, code):
    async with served() as server:
        peer = await server.connect(await server.join(server.hub.create("A")), Peer())
        peer.send(message)
        assert (await peer.event("warn"))["code"] == code
        peer.send({"type": "ping", "id": 2})
        await peer.event("pong")
        await peer.close()


async def test_the_first_event_must_be_resume():
    async with served() as server:
        member = await server.join(server.hub.create("A"))
        peer = await server.connect(member, Peer(), resume=False)
        peer.send({"type": "ping", "id": 1})
        assert (await peer.event("warn"))["code"] == "bad_event"
        peer.send({"type": "resume"})
        await peer.event("welcome")
        await peer.close()


async def test_too_many_events_end_in_a_warning_and_then_the_connection():
    async with served() as server:
        member = await server.join(server.hub.create("A"))
        peer = await server.connect(member, Peer())

        async def ping(how_many: int, until) -> None:
            """So many at a time; a server that is slow to see them would allow for more."""
            async with asyncio.timeout(PATIENCE):
                while not until() and peer.channel.readyState == "open":
                    for i in range(how_many):
                        peer.send({"type": "ping", "id": 1000 + i})
                    await asyncio.sleep(0.01)

        await ping(10, lambda: any(event["type"] == "warn" for event in peer.events))
        assert (await peer.event("warn"))["code"] == "too_many_events"
        assert member.connected
        await ping(100, peer.closed.is_set)
        await peer.until_closed()
        await peer.close()


async def test_other_channels_are_closed():
    async with served() as server:
        member = await server.join(server.hub.create("A"))
        peer = await server.connect(member, Peer())
        second = peer.pc.createDataChannel("more")
        await server.until(lambda: second.readyState == "closed")
        peer.send({"type": "ping", "id": 1})
        await peer.event("pong")
        await peer.close()


# --- the life of a connection ----------------------------------------------------------------


async def test_leaving_says_goodbye_and_hangs_up():
    async with served() as server:
        room = server.hub.create("A")
        member = await server.join(room)
        peer = await server.connect(member, Peer())
        peer.send({"type": "leave"})
        assert (await peer.event("closed"))["reason"] == "left"
        await peer.until_closed()
        assert not server.calls
        await peer.close()


async def test_a_closed_room_says_so_to_every_phone():
    async with served() as server:
        room = server.hub.create("A")
        peers = [await server.connect(await server.join(room), Peer()) for _ in range(2)]
        await server.hub.close_room(room.code)
        for peer in peers:
            assert (await peer.event("closed"))["reason"] == "room_closed"
            await peer.until_closed()
            await peer.close()
        assert not server.calls


async def test_a_newer_connection_replaces_the_older():
    async with served("tone") as server:
        member = await server.join(server.hub.create("A"))
        first = await server.connect(member, Peer())
        second = await server.connect(member, Peer())
        assert (await first.event("closed"))["reason"] == "replaced"
        await first.until_closed()
        assert member.connected
        assert member.links == 2
        await server.until(lambda: np.abs(second.sound()).max(initial=0) > 4000)
        assert len(server.calls) == 1
        await first.close()
        await second.close()


async def test_a_phone_that_falls_silent_is_let_go():
    async with served(connection_timeout=1.0) as server:
        member = await server.join(server.hub.create("A"))
        peer = await server.connect(member, Peer())
        start = awake()
        for sender in peer.pc.getSenders():
            sender.replaceTrack(None)
        await server.until(lambda: not member.connected)
        assert awake() - start < 3.5
        await server.until(lambda: not server.calls)
        await peer.close()


async def test_when_the_server_stood_still_nobody_is_let_go_for_it():
    async with served(connection_timeout=1.0) as server:
        member = await server.join(server.hub.create("A"))
        peer = await server.connect(member, Peer())
        link, heard = member.link, member.link.heard
        time.sleep(2.5)
        await server.until(lambda: link.heard > heard + 2 * 48000)
        assert member.link is link and member.links == 1
        await peer.close()


async def test_a_connection_that_never_opens_is_let_go(monkeypatch):
    monkeypatch.setattr("babblefish.ui.rtc.CONNECT_SECONDS", 0.5)
    async with served() as server:
        member = await server.join(server.hub.create("A"))
        assert (await server.offer(member, await sample_offer())).status_code == 200
        assert len(server.calls) == 1
        await server.until(lambda: not server.calls)
        assert member.links == 0


async def test_who_is_removed_while_connecting_does_not_get_in():
    async with served() as server:
        room = server.hub.create("A")
        member = await server.join(room)
        peer = Peer()
        answer = await server.offer(member, await peer.offer())
        await room.remove(member.id)
        await peer.accept(answer.json()["sdp"])
        assert (await peer.event("warn"))["code"] == "member_key"
        await peer.until_closed()
        assert member.links == 0
        await peer.close()


async def test_nothing_is_left_behind():
    async with served() as server:
        member = await server.join(server.hub.create("A"))
        before = len(asyncio.all_tasks())
        await (await server.connect(member, Peer())).close()
        await server.until(lambda: not server.calls)
        await server.until(lambda: len(asyncio.all_tasks()) <= before)
        tasks, threads = len(asyncio.all_tasks()), threading.active_count()
        for _ in range(4):
            peer = await server.connect(member, Peer())
            await peer.close()
        await server.until(lambda: not server.calls)
        offers = server.app.state.offers
        await server.until(lambda: len(asyncio.all_tasks()) <= tasks)
        await server.until(lambda: threading.active_count() <= threads)
        assert not (offers.pcs or offers.connections or offers.handlers or offers._tasks)
        assert not (offers.data_channels or offers.connection_timeouts)
        assert not offers.additional_outputs


async def test_promise_18_a_session_leaves_no_secret_in_the_log(caplog):
    caplog.set_level(logging.INFO)
    async with served() as server:
        room = server.hub.create("Board of Directors")
        member = await server.join(room, JOIN | {"name": "Marie Curie"})
        peer = await server.connect(member, Peer())
        peer.send({"type": "configure", "name": "Maria"})
        peer.send("{")
        await peer.event("warn")
        await server.http.get(f"/r/{room.code}?t={room.token}")
        await server.http.get(f"/api/rooms/{room.code}?t={room.token}")
        await server.http.get("/nothing/" + room.token)
        await peer.close()
        await server.post(f"/api/rooms/{room.code}/leave", member.key)
    lines = [r.getMessage() for r in caplog.records if not r.name.startswith("httpx")]
    assert any("/api/rooms/{code}/join" in line for line in lines)
    for secret in (room.code, room.token, member.key, "Marie", "Maria", "Board"):
        assert not [line for line in lines if secret in line]
