"""Programs in rooms, over the real WebSocket of a real server with scripted stages."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from babblefish.engine import hush
from babblefish.engine.job_queue import Priority
from babblefish.protocol import Roster
from tests.phones import Phone, join, seconds_at, tone
from tests.programs import (
    config,
    loudest,
    program,
    silence,
    sine,
    sound_of,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


def utterance(hertz: int) -> np.ndarray:
    return np.concatenate([silence(0.3), sine(hertz, 1.0), silence(1.5)])


async def left(room) -> None:
    """Until nobody is connected."""
    async with asyncio.timeout(60):
        while any(member.connected for member in room.members.values()):
            await asyncio.sleep(0.01)


async def test_two_programs_talk_and_hear_each_other(server, room):
    async with (
        program(server, config(room, "Pierre")) as pierre,
        program(server, config(room, "Dan", language="en", target="en")) as dan,
    ):
        welcome = await pierre.got("welcome")
        assert (welcome["name"], welcome["room_name"]) == ("Pierre", "Standup")
        assert (welcome["language"], welcome["target"]) == ("fr", "en")
        await dan.got("welcome")
        assert room.priority is Priority.PROGRAM
        await pierre.say(utterance(400))
        result = await dan.got("result")
        assert result["speaker_name"] == "Pierre"
        assert result["translation"].startswith("[en] said 400")
        assert result["original"].startswith("said 400") and result["original_language"] == "fr"
        assert result["has_f5_pending"] is False and result["own_voice"] is False
        assert result["tts_voice"].startswith("en-") and result["latency_ms"] > 0
        sound, rate = sound_of(result)
        assert rate == result["sample_rate"] == 24000
        assert min(abs(loudest(sound, rate) - 1000 - 100 * voice) for voice in range(4)) < 15
        assert abs(len(sound) / rate - 0.05 * len(result["translation"])) < 0.2

        final = await pierre.got("final")
        assert final["text"].startswith("said 400") and final["words"] == []
        assert abs(final["end"] - 1.3) < 0.15 and final["start"] < 0.4
        begun, ended = await pierre.got("speech_start"), await pierre.got("speech_end")
        assert begun["timestamp"] < 0.4 and abs(ended["timestamp"] - 1.3) < 0.15
        kinds = [message["type"] for message in pierre.messages]
        assert kinds.index("speech_start") < kinds.index("partial") < kinds.index("final")
        assert pierre.of("partial")[-1]["text"].startswith("said 400")
        assert pierre.of("partial")[-1]["confidence"] == 1.0
        assert not pierre.of("result"), "nobody hears themselves"
        assert not dan.of("partial") and not dan.of("final") and not dan.of("roster")


async def test_while_a_person_waits_for_a_voice_programs_wait_and_nothing_is_lost(
    server, room, engine, monkeypatch
):
    monkeypatch.setattr(hush, "MOST_S", 600.0)
    async with (
        program(server, config(room, "Pierre")) as pierre,
        program(server, config(room, "Dan", language="en", target="en")) as dan,
    ):
        welcome = await pierre.got("welcome")
        await dan.got("welcome")
        session = room.members[welcome["member"]].session
        with engine.hush(Priority.NOW):
            await pierre.say(utterance(400))
            await asyncio.sleep(0.5)
            assert not session.received
        assert (await dan.got("result"))["translation"].startswith("[en] said 400")
        async with asyncio.timeout(60):
            while session.received < len(utterance(400)):
                await asyncio.sleep(0.01)
        phone = Phone(join(room, "Marie", "fr"))
        async with phone:
            with engine.hush(Priority.NOW):
                await pierre.say(utterance(500))
                await phone.until(lambda: phone.finals, 60)  # that is a person, who is not let wait
            assert room.priority is Priority.NOW
            room.leave(phone.member, "left")
            assert room.priority is Priority.PROGRAM
            with engine.hush(Priority.NOW):
                received = session.received
                await pierre.say(np.concatenate([utterance(600)] * 2))  # what is early waits, too
                await asyncio.sleep(0.6)
                assert session.received == received
            async with asyncio.timeout(60):
                while session.received < received + 2 * len(utterance(600)):
                    await asyncio.sleep(0.01)


async def test_phones_and_programs_hear_each_other(server, room):
    phone = Phone(join(room, "Marie", "fr"))
    async with phone, program(server, config(room, language="en", target="en")) as kiosk:
        await kiosk.got("welcome")
        assert room.priority is Priority.NOW, "somebody at a phone waits for it"
        phone.say(tone(500, 1.0))
        assert (await kiosk.got("result"))["speaker_name"] == "Marie"
        await kiosk.say(utterance(700))
        await phone.until(lambda: phone.finals[1:], 60)
        caption = phone.finals[1]
        assert caption.name == "Kiosk" and caption.text.startswith("[fr] said 700")
        assert seconds_at(phone.heard, 700, level=0.02) > 0.7, "its original voice is heard, too"
        people = phone.of(Roster)[-1].people
        assert [(p.name, p.speaks, p.hears, p.microphone) for p in people if p.name == "Kiosk"] == [
            ("Kiosk", "en", "en", True)
        ]


async def test_a_stream_is_what_a_phone_hears(server, room):
    phone = Phone(join(room, "Marie", "fr"), speed=1)
    listening = config(room, language="en", target="en", output="stream", original_level=0.5)
    async with phone, program(server, listening) as bridge:
        await bridge.got("welcome")
        phone.say(tone(500, 1.0))
        result = await bridge.got("result")
        assert result["tts_audio"] is None and result["translation"].startswith("[en] said 500")
        await bridge.until(lambda: any(v["state"] == "played" for v in bridge.of("voicing")))
        sounds = list(bridge.sounds)
    assert {(kind, rate, len(frame)) for kind, rate, _, frame in sounds} == {(3, 48000, 960)}
    assert [number for _, _, number, _ in sounds] == list(range(len(sounds)))
    heard = np.concatenate([frame for *_, frame in sounds])
    assert seconds_at(heard, 500, level=0.02) > 0.7
    spoken = max(seconds_at(heard, 1000 + 100 * voice) for voice in range(4))
    assert abs(spoken - 0.05 * len(result["translation"])) < 0.3


async def test_a_stream_can_have_the_rate_of_a_telephone(server, room):
    async with (
        program(server, config(room, output="stream", sample_rate=8000)) as bridge,
        program(server, config(room, "Dan", language="en")) as dan,
    ):
        await dan.got("welcome")
        await dan.say(utterance(500))
        loud = 0

        def came() -> bool:
            nonlocal loud
            loud = sum(np.abs(frame).max(initial=0) > 1000 for *_, frame in bridge.sounds)
            return loud > 40

        await bridge.until(came)
        heard = np.concatenate([frame for *_, frame in bridge.sounds])
        assert {rate for _, rate, _, _ in bridge.sounds} == {8000}
        assert abs(loudest(heard, 8000) - 500) < 15


async def test_clips_can_come_as_binary_messages(server, room):
    async with (
        program(server, config(room, "Pierre")) as pierre,
        program(server, config(room, "Dan", audio="binary", sample_rate=16000)) as dan,
    ):
        await dan.got("welcome")
        await pierre.say(utterance(400))
        result = await dan.got("result")
        await dan.until(lambda: dan.sounds)
        kind, rate, number, sound = dan.sounds[0]
        assert (kind, rate, number) == (1, 16000, result["clip"]) and result["tts_audio"] is None
        assert abs(len(sound) / rate - result["seconds"]) < 0.02 and result["seconds"] > 0.5


async def test_nothing_is_spoken_for_who_only_reads(server, room):
    async with (
        program(server, config(room, "Pierre")) as pierre,
        program(server, config(room, "Dan", language="en", output="text")) as dan,
    ):
        await dan.got("welcome")
        await pierre.say(utterance(400))
        result = await dan.got("result")
        assert result["translation"].startswith("[en]") and result["tts_audio"] is None
        assert result["translated"] is True and result["tts_voice"] is None
        async with asyncio.timeout(60):
            while not room.conversation.traces:
                await asyncio.sleep(0.01)
        assert room.conversation.traces[0].outcome == "captioned"


async def test_who_speaks_the_same_language_reads_the_original(server, room):
    async with (
        program(server, config(room, "Pierre")) as pierre,
        program(server, config(room, "Luc", target="fr")) as luc,
    ):
        await luc.got("welcome")
        await pierre.say(utterance(400))
        result = await luc.got("result")
        assert result["translation"].startswith("said 400") and result["translated"] is False
        assert result["tts_audio"] is None


async def test_a_minute_sent_at_once_is_heard_whole(server, room):
    """Faster than it is spoken; nothing of it is lost."""
    async with program(server, config(room, "Pierre", target="fr")) as pierre:
        await pierre.got("welcome")
        said = [400, 600, 800]
        await pierre.say(np.concatenate([utterance(hertz) for hertz in said]))
        await pierre.got("final", 3)
        assert [final["text"].split()[1] for final in pierre.of("final")] == ["400", "600", "800"]
        ends = [final["end"] for final in pierre.of("final")]
        assert np.allclose(ends, [1.3, 4.1, 6.9], atol=0.15)


async def test_what_was_missed_is_told_again(server, room):
    wanted = config(room, "Dan", language="en")
    async with program(server, config(room, "Pierre")) as pierre:
        async with program(server, wanted) as dan:
            welcome = await dan.got("welcome")
            await pierre.say(utterance(400))
            heard = await dan.got("result")
        await pierre.say(np.concatenate([utterance(600), utterance(800)]))
        await pierre.got("final", 3)
        async with program(server, wanted | {"key": welcome["key"], "token": "",
                                             "after": heard["after"]}) as again:  # fmt: skip
            assert (await again.got("welcome"))["member"] == welcome["member"]
            await again.got("result", 2)
            missed = again.of("result")
            assert [result["original"].split()[1] for result in missed] == ["600", "800"]
            assert all(result["missed"] and result["tts_audio"] is None for result in missed)
            assert missed[1]["after"] == missed[1]["seq"]
        people = [member.name for member in room.members.values()]
        assert sorted(people) == ["Dan", "Pierre"], "one seat each"


async def test_a_seat_is_taken_again_after_the_server_forgot_it(server, room):
    async with program(server, config(room, "Dan")) as dan:
        welcome = await dan.got("welcome")
    await left(room)
    room._let_go(room.members[welcome["member"]], "left")
    async with program(server, config(room, "Dan", key=welcome["key"])) as again:
        assert (await again.got("welcome"))["member"] == welcome["member"]


async def test_a_newer_connection_replaces_the_older(server, room):
    async with program(server, config(room)) as older:
        key = (await older.got("welcome"))["key"]
        async with program(server, config(room, "Newer", key=key, target="fr")) as newer:
            welcome = await newer.got("welcome")
            assert (welcome["name"], welcome["target"]) == ("Newer", "fr")
            await older.ended.wait()
            assert (await older.got("closed"))["reason"] == "replaced" and older.code == 4409


@pytest.mark.parametrize("how, code", [("removed", 4403), ("room_closed", 4410), ("left", 1000)])
async def test_the_end_says_why(server, room, how, code):
    async with program(server, config(room)) as kiosk:
        member = (await kiosk.got("welcome"))["member"]
        if how == "removed":
            await room.remove(member)
        elif how == "room_closed":
            await server.hub.close_room(room.code)
        else:
            await kiosk.say({"type": "leave"})
        await kiosk.ended.wait()
        assert (await kiosk.got("closed"))["reason"] == how and kiosk.code == code


async def test_a_server_that_stops_asks_to_come_back(server, room):
    async with program(server, config(room)) as kiosk:
        await kiosk.got("welcome")
        await room.suspend()
        await kiosk.ended.wait()
        assert kiosk.code == 1001 and not kiosk.of("closed")


async def test_room_events_are_told_to_who_wants_them(server, room):
    async with (
        program(server, config(room, "Pierre")) as pierre,
        program(server, config(room, "Dan", language="en", room_events=True)) as dan,
    ):
        await dan.got("welcome")
        assert {p["name"] for p in (await dan.got("roster"))["people"]} == {"Pierre", "Dan"}
        await pierre.say(utterance(400))
        await dan.got("result")
        speaking = await dan.got("speaking", 2)
        assert (speaking["active"], speaking["member"]) == (False, pierre.messages[0]["member"])
        assert [c["final"] for c in dan.of("caption")][-1] is True
        await dan.say({"type": "ping", "id": 7})
        assert (await dan.got("pong"))["id"] == 7


async def test_a_microphone_can_be_turned_off(server, room):
    async with (
        program(server, config(room, "Pierre")) as pierre,
        program(server, config(room, "Dan", language="en", microphone=False)) as dan,
    ):
        await dan.got("welcome")
        await dan.say(utterance(600))
        await pierre.got("welcome")
        await dan.say({"type": "microphone", "on": True})
        await dan.say({"type": "configure", "name": "Daniel"})
        await dan.say(utterance(800))
        result = await pierre.got("result")
        assert result["translation"].startswith("said 800")
        assert result["speaker_name"] == "Daniel"
        await dan.say({"type": "configure", "hears": "xx"})
        assert (await dan.got("warn"))["code"] == "language"
        await dan.say({"type": "resume", "after": 0})
        assert (await dan.got("warn", 2))["code"] == "bad_event"
