"""Samples of voices: behind what rooms say, but heard in a talk without a pause, too."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from babblefish.engine import voice_samples
from babblefish.engine.voice_samples import VoiceSamples
from babblefish.errors import SynthesisError
from tests.phones import fake_engine

pytestmark = pytest.mark.asyncio


async def talk(pool, voice: str, said: list[int]) -> None:
    """As a room does that always has another clause."""
    while True:
        await pool.call("synthesise", "Good morning everybody.", "en", voice, 1.0)
        said.append(len(said))


async def test_a_sample_is_heard_although_somebody_always_talks(monkeypatch):
    monkeypatch.setattr(voice_samples, "_BEHIND_S", 0.5)
    async with fake_engine(voice_delay=0.1) as engine:
        samples, voice = VoiceSamples(engine), engine.voices("en")[0]
        said: list[int] = []
        talking = [
            asyncio.create_task(talk(engine.synthesiser("en"), voice, said)) for _ in range(4)
        ]
        async with asyncio.timeout(60):
            while not said:
                await asyncio.sleep(0.01)
        before = len(said)
        found = await samples.sample("en", voice)
        assert len(found) and found.dtype == np.int16
        assert len(said) > before, "the rooms went first"
        assert np.array_equal(await samples.sample("en", voice), found), "it is kept"
        for task in talking:
            task.cancel()
        await asyncio.gather(*talking, return_exceptions=True)


async def test_who_asks_for_no_voice_or_after_too_many_others_is_told(monkeypatch):
    async with fake_engine(voice_delay=0.1) as engine:
        samples, voice = VoiceSamples(engine), engine.voices("en")[0]
        with pytest.raises(SynthesisError) as nothing:
            await samples.sample("en", "nobody")
        assert nothing.value.code == "voice"
        monkeypatch.setattr(voice_samples, "_MOST_WAITING", 0)
        with pytest.raises(SynthesisError) as busy:
            await samples.sample("en", voice)
        assert busy.value.code == "busy"
