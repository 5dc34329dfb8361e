"""Programs hear people in their own voices, and see when each of their own words was said."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import numpy as np
import pytest

from babblefish.engine.job_queue import Priority
from babblefish.errors import RecognitionError
from babblefish.protocol import Word
from tests import test_own_voices as voices
from tests.patience import until
from tests.phones import Phone, join, tone
from tests.programs import config, loudest, program, serving, silence, sine, sound_of
from tests.scripted_cloning import HERTZ, ScriptedCloning

pytestmark = pytest.mark.asyncio(loop_scope="module")


@asynccontextmanager
async def meeting(engine, folder, cloning, strategy: str, agrees: bool = True, **listening):
    """(Pierre's phone, a program that hears English, whether his own voice is waited for)."""
    async with voices.server(engine, folder, cloning) as hub, serving(hub, engine) as server:
        room = hub.create("Two tiers")
        room.set(voices=strategy, shared_phones=False)
        pierre = join(room, "Pierre", "fr")
        hub.profiles.seat(pierre, await voices.enrol(hub, ("cloning",) if agrees else ()))
        wanted = config(room, language="en", **listening)
        async with Phone(pierre) as phone, program(server, wanted) as kiosk:
            await kiosk.got("welcome")
            yield phone, kiosk, lambda: hub.own_voices.trust.proven(pierre.speaker)


def hertz(message: dict) -> float:
    return loudest(*sound_of(message))


async def test_the_own_voice_follows_the_neutral_one(engine, tmp_path):
    async with meeting(engine, tmp_path, ScriptedCloning(delay=0.7), "replace") as (
        phone,
        kiosk,
        _,
    ):
        phone.say(tone(400, 1.0))
        result = await kiosk.got("result")
        assert result["has_f5_pending"] is True and result["own_voice"] is False
        assert hertz(result) < 1400 and result["tts_voice"].startswith("en-")
        again = await kiosk.got("f5_result")
        assert abs(hertz(again) - HERTZ) < 15 and again["tts_voice"] == "f5_cloned"
        assert again["speaker_name"] == "Pierre" and again["utterance"] == result["utterance"]
        assert again["timestamp"] > 1e9
        seconds = 0.05 * len(result["translation"])
        assert abs(len(sound_of(again)[0]) / 24000 - seconds) < 0.2


async def test_the_own_voice_can_follow_as_a_binary_message(engine, tmp_path):
    cloning = ScriptedCloning(delay=0.7)
    meeting_ = meeting(engine, tmp_path, cloning, "replace", audio="binary")
    async with meeting_ as (phone, kiosk, _):
        phone.say(tone(400, 1.0))
        again = await kiosk.got("f5_result")
        await kiosk.until(lambda: len(kiosk.sounds) == 2)
        assert [kind for kind, *_ in kiosk.sounds] == [1, 2]
        assert kiosk.sounds[1][2] == again["clip"]
        assert abs(loudest(kiosk.sounds[1][3], 24000) - HERTZ) < 15


async def test_an_own_voice_that_never_comes_is_told_too(engine, tmp_path):
    cloning = ScriptedCloning(dies_before=0, delay=0.7)
    async with meeting(engine, tmp_path, cloning, "replace") as (phone, kiosk, _):
        phone.say(tone(400, 1.0))
        result = await kiosk.got("result")
        again = await kiosk.got("f5_result")
        assert result["has_f5_pending"] is True and hertz(result) < 1400
        assert (again["tts_audio"], again["tts_voice"]) == (None, None)


async def test_one_who_did_not_agree_is_not_announced(engine, tmp_path):
    cloning = ScriptedCloning()
    async with meeting(engine, tmp_path, cloning, "replace", agrees=False) as (phone, kiosk, _):
        phone.say(tone(400, 1.0))
        result = await kiosk.got("result")
        assert result["has_f5_pending"] is False and hertz(result) < 1400
        assert not cloning.requests


async def test_in_turn_the_own_voice_is_the_only_one(engine, tmp_path):
    cloning = ScriptedCloning()
    async with meeting(engine, tmp_path, cloning, "sequential") as (phone, kiosk, trusted):
        phone.say(tone(400, 1.0))
        first = await kiosk.got("result")
        assert hertz(first) < 1400 and first["has_f5_pending"] is False
        await until(lambda: cloning.answered and trusted())
        phone.say(tone(400, 1.0))
        second = await kiosk.got("result", 2)
        assert abs(hertz(second) - HERTZ) < 15
        assert (second["tts_voice"], second["own_voice"]) == ("f5_cloned", True)
        assert second["has_f5_pending"] is False and not kiosk.of("f5_result")


# --- words ---------------------------------------------------------------------------------------


async def words_of(samples, text, language, priority=Priority.NOW) -> tuple[Word, ...]:
    """Each takes a quarter of a second, from the first sound on."""
    assert priority is Priority.PROGRAM and language == "fr", "nobody is there but programs"
    first = np.flatnonzero(np.abs(samples) > 0.01)[0] / 16000
    return tuple(
        Word(word, first + 0.25 * number, first + 0.25 * (number + 1), 0.98)
        for number, word in enumerate(text.split())
    )


async def final_with(engine, hub, words, monkeypatch) -> dict:
    monkeypatch.setattr(engine, "words", words)
    async with serving(hub, engine) as server:
        room = hub.create("Words")
        async with program(server, config(room, words=True)) as kiosk:
            await kiosk.got("welcome")
            for hertz in (400, 600):
                await kiosk.say(np.concatenate([silence(0.5), sine(hertz, 1.0), silence(1.5)]))
            final = await kiosk.got("final", 2)
            assert final["after"] == final["seq"]
        await hub.close_room(room.code)
        return final


async def test_words_come_with_their_times_in_the_program_s_own_sound(engine, hub, monkeypatch):
    final = await final_with(engine, hub, words_of, monkeypatch)
    assert [word["word"] for word in final["words"]] == final["text"].split()
    assert abs(final["words"][0]["start"] - 3.5) < 0.05, "0.5 s after the first utterance's 3 s"
    assert abs(final["words"][1]["start"] - final["words"][0]["end"]) < 0.01
    assert final["words"][0]["confidence"] == 0.98


async def test_a_text_does_not_wait_for_words_that_fail(engine, hub, monkeypatch):
    async def fails(*_, **__):
        raise RecognitionError("bad_output", "No words.")

    final = await final_with(engine, hub, fails, monkeypatch)
    assert final["text"].startswith("said 600") and final["words"] == []


async def test_a_text_does_not_wait_for_words_that_do_not_come(engine, hub, monkeypatch):
    async def hangs(*_, **__):
        await asyncio.Event().wait()

    monkeypatch.setattr("babblefish.ui.programs.room_reporter._WORDS_S", 0.05)
    final = await final_with(engine, hub, hangs, monkeypatch)
    assert final["text"].startswith("said 600") and final["words"] == []
