"""Programs in rooms, over the real WebSocket of a real server with scripted stages."""

from __future__ import annotations

import numpy as np
import pytest
import pytest_asyncio

from tests.programs import (
    config,
    loudest,
    program,
    serving,
    silence,
    sine,
    sound_of,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(engine):
    from babblefish.settings import Settings
    from rooms.hub import Hub

    hub = Hub(Settings(), engine)
    await hub.start()
    async with serving(hub, engine) as served:
        yield served
    await hub.close()


@pytest_asyncio.fixture(loop_scope="module")
async def room(server):
    room = server.hub.create("Standup")
    yield room
    if room.code in server.hub.rooms:
        await server.hub.close_room(room.code)


def utterance(hertz: int) -> np.ndarray:
    return np.concatenate([silence(0.3), sine(hertz, 1.0), silence(1.5)])


async def test_two_programs_talk_and_hear_each_other(server, room):
    async with (
        program(server, config(room, "Pierre")) as pierre,
        program(server, config(room, "Dan", language="en", target="en")) as dan,
    ):
        welcome = await pierre.got("welcome")
        assert (welcome["name"], welcome["room_name"]) == ("Pierre", "Standup")
        assert (welcome["language"], welcome["target"]) == ("fr", "en")
        await dan.got("welcome")
        await pierre.say(utterance(400))
        result = await dan.got("result")
        assert result["speaker_name"] == "Pierre"
        assert result["translation"].startswith("[en] said 400")
        assert result["original"].startswith("said 400") and result["original_language"] == "fr"
        assert result["has_f5_pending"] is False and result["own_voice"] is False
        assert result["tts_voice"].startswith("en-") and result["latency_ms"] > 0
        sound, rate = sound_of(result)
        assert rate == 24000 and loudest(sound, rate) in range(990, 1410)
        assert abs(len(sound) / rate - 0.05 * len(result["translation"])) < 0.2

        final = await pierre.got("final")
        assert final["text"].startswith("said 400") and final["words"] == []
        assert abs(final["end"] - 1.3) < 0.15 and final["start"] < 0.4
        begun, ended = await pierre.got("speech_start"), await pierre.got("speech_end")
        assert begun["timestamp"] < 0.4 and abs(ended["timestamp"] - 1.3) < 0.15
        kinds = [message["type"] for message in pierre.messages]
        assert kinds.index("speech_start") < kinds.index("final")
        assert not pierre.of("result"), "nobody hears themselves"
        assert not dan.of("partial") and not dan.of("final") and not dan.of("roster")
