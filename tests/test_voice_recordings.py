"""What is said in a recording of a voice: behind what rooms say, but found out in a talk without a
pause, too."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from babblefish.engine import voice_recordings
from babblefish.engine.stages import RecognitionRequest
from babblefish.engine.voice_recordings import VoiceRecordings
from tests.phones import fake_engine, tone

pytestmark = pytest.mark.asyncio


def speech(hertz: float) -> np.ndarray:
    return (tone(hertz, 3.0)[::3] / 32768).astype(np.float32)


async def talk(engine, said: list[int]) -> None:
    """As a room does in which there is always another sentence."""
    while True:
        await engine.recogniser.call("transcribe", speech(400.0), RecognitionRequest())
        said.append(len(said))


async def test_a_recording_is_understood_although_somebody_always_talks(monkeypatch):
    monkeypatch.setattr(voice_recordings, "_BEHIND_S", 0.5)
    async with fake_engine(delay=0.1) as engine:
        said: list[int] = []
        talking = [asyncio.create_task(talk(engine, said)) for _ in range(4)]
        recordings = VoiceRecordings(engine)
        async with asyncio.timeout(60):
            while not said:
                await asyncio.sleep(0.01)
            before = len(said)
            found = await recordings.transcribe(speech(600.0), "en")
        assert found.text.startswith("said 600")
        assert len(said) > before, "the rooms went first"
        for task in talking:
            task.cancel()
        await asyncio.gather(*talking, return_exceptions=True)
        recordings.close()
