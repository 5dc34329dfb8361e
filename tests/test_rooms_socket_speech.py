"""Two programs in a room with the real engine: one speaks French as recorded, the other hears
English, which is listened to again."""

from __future__ import annotations

import numpy as np
import pytest

from babblefish.audio import resample, to_int16
from babblefish.engine.engine import Engine
from babblefish.engine.profiles import installed_profile
from babblefish.engine.stages import RecognitionRequest
from babblefish.settings import load_settings
from rooms.hub import Hub
from tests.programs import config, program, serving, silence, sound_of

pytestmark = pytest.mark.asyncio


def words(text: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in text.lower()).split()


async def test_french_speech_is_heard_in_english(weights_dir, whisper, speech):
    clip = next(c for c in speech if c.language == "fr" and c.transcript)
    settings = load_settings(profile="compact")
    engine = Engine(installed_profile(settings))
    await engine.start()
    hub = Hub(settings, engine)
    await hub.start()
    try:
        async with serving(hub, engine) as server:
            room = hub.create("Speech")
            async with (
                program(server, config(room, "Pierre", words=True)) as pierre,
                program(server, config(room, "Dan", language="en")) as dan,
            ):
                await dan.got("welcome")
                said = np.concatenate([silence(0.5), to_int16(clip.samples), silence(2.0)])
                await pierre.say(said)
                # a recording may be heard as several sentences
                until = clip.seconds - 1.0
                await pierre.until(lambda: any(f["end"] > until for f in pierre.of("final")))
                await dan.until(lambda: len(dan.of("result")) >= len(pierre.of("final")))
                finals, results = pierre.of("final"), dan.of("result")
    finally:
        await hub.close()
        await engine.close()

    heard_french = words(" ".join(f["text"] for f in finals))
    spoken_french = words(clip.transcript)
    assert len(set(heard_french) & set(spoken_french)) >= 0.6 * len(set(spoken_french))
    times = [word["start"] for f in finals for word in f["words"]]
    assert len(times) >= 0.7 * len(heard_french) and times == sorted(times)
    assert times[0] > 0.3 and times[-1] < 0.5 + clip.seconds
    assert {final["language"] for final in finals} == {"fr"}

    told = words(" ".join(result["translation"] for result in results))
    sounds = [sound_of(result) for result in results if result["tts_audio"]]
    assert sounds and results[0]["speaker_name"] == "Pierre"
    heard = []
    for samples, rate in sounds:
        audio = resample(samples.astype(np.float32) / 32768, rate, 16000)
        heard += words(whisper.transcribe(audio, RecognitionRequest(language="en")).text)
    assert len(set(heard) & set(told)) >= 0.6 * len(set(told)), (heard, told)
