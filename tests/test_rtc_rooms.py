"""Phones made of aiortc in real rooms: sound in, captions and translated sound out."""

from __future__ import annotations

import asyncio

import httpx
import numpy as np
import pytest

from babblefish.engine.engine import Engine
from babblefish.settings import Settings
from babblefish.ui.server import create_app
from rooms.hub import Hub
from tests.patience import PATIENCE
from tests.phones import fake_profile, seconds_at, tone
from tests.rtc_peer import Peer
from tests.served import Served, running

pytestmark = pytest.mark.asyncio


def silence(seconds: float) -> np.ndarray:
    return np.zeros(int(48000 * seconds), np.int16)


async def test_speech_reaches_the_others_and_a_new_connection_gets_what_it_missed():
    engine = Engine(fake_profile())
    hub = Hub(Settings(), engine)
    app = create_app(Settings(http=True), hub, engine)
    async with running(app) as base, httpx.AsyncClient(base_url=base, timeout=PATIENCE) as http:
        await app.state.ready.wait()
        assert app.state.failure is None
        server = Served(app, hub, http)
        room = hub.create("Standup")
        body = {"name": "Pierre", "speaks": "fr", "hears": "fr", "microphone": True}
        pierre = await server.join(room, body)
        dan = await server.join(room, body | {"name": "Dan", "speaks": "en", "hears": "en"})
        said = np.concatenate([silence(1.0), tone(400, 1.5), silence(2.5), tone(600, 1.5)])
        listener = await server.connect(dan, Peer())
        speaker = await server.connect(pierre, Peer(said))

        caption = await final(listener, "400")
        assert caption["name"] == "Pierre"
        assert caption["text"].startswith("[en] said 400")
        assert caption["original_language"] == "fr"
        assert (await final(speaker, "400"))["text"].startswith("said 400")
        await listener.event("voicing")

        def heard(hertz: float, level: float = 0.05) -> float:
            return seconds_at(listener.sound(), hertz, level)

        await server.until(lambda: max(heard(1000 + 100 * n) for n in range(4)) > 0.3)
        assert heard(400, level=0.02) > 0.8

        await listener.close()
        await server.until(lambda: not dan.connected)
        await final(speaker, "600")
        again = await server.connect(dan, Peer(), resume=False)
        again.send({"type": "resume", "after": caption["seq"]})
        assert (await final(again, "600"))["text"].startswith("[en] said 600")
        finals = [e for e in again.events if e["type"] == "caption" and e["final"]]
        assert len(finals) == 1, "nothing is sent twice"

        await hub.close_room(room.code)
        assert (await again.event("closed"))["reason"] == "room_closed"
        await again.close()
        await speaker.close()
        await server.until(lambda: not server.calls)


async def final(peer: Peer, words: str, seconds: float = PATIENCE) -> dict:
    """The final caption with these words; TimeoutError shows the events so far."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        for event in peer.events:
            if event["type"] == "caption" and event["final"] and words in event["text"]:
                return event
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(f"not within {seconds} s; events: {peer.events[-6:]}")
        await asyncio.sleep(0.02)
