"""The profiles of larger machines, as engines: files, faults and missing weights.

Weights that only the hub has are toys; all the rest is real.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal

import numpy as np
import pytest
import soundfile

from babblefish.engine.engine import Engine
from babblefish.engine.profiles import choose, installed_profile, plan_threads, without_drafts
from babblefish.errors import WeightsError
from babblefish.protocol import Audio, Speech, Transcript, Translation, Utterance
from babblefish.settings import Settings
from babblefish.ui.files import interpret_file
from tests import big_weights
from tests.read_aloud import sentence
from tests.tiny_seamless import SAYS

LARGE = ("whisper-nllb", "seamless")


@pytest.mark.asyncio
@pytest.mark.parametrize("name", LARGE)
async def test_a_file_and_what_goes_wrong(
    name, big_weights_dir, weights_dir, tmp_path, monkeypatch
):
    profile = without_drafts(big_weights.profile(name, big_weights_dir, monkeypatch))
    engine = Engine(profile)
    await engine.start()
    try:
        clip = sentence(weights_dir, "fr")
        await check_file(engine, clip, tmp_path, name)
        await check_promise_9(engine, clip)
    finally:
        await engine.close()


async def check_file(engine, clip, folder, name):
    source, out = folder / "in.wav", folder / "out"
    pause = np.zeros(32_000, np.float32)
    soundfile.write(source, np.concatenate([pause, clip.samples, pause]), 16_000)
    printed = []
    result = await interpret_file(
        engine, source, "fr", ("en", "de"), out, printed.append, lambda *progress: None
    )
    assert not result.problems
    (line,) = map(json.loads, printed)
    assert line["language"] == "fr" and line["transcript"]
    assert set(line["translations"]) == {"en", "de"}
    assert line["voices"]["de"].startswith("de+")
    if name == "seamless":
        assert line["transcript"] == SAYS["fra"]
        assert line["translations"] == {"en": SAYS["eng"], "de": SAYS["deu"]}
    for language in ("en", "de"):
        sound, rate = soundfile.read(out / f"{language}.wav")
        assert rate == 48_000 and np.abs(sound).max() > 0.05
        assert (out / f"{language}.vtt").read_text().startswith("WEBVTT")


async def check_promise_9(engine, clip):
    """A stage that dies costs at most a moment; a voice that dies is replaced by a plain one."""
    for victim in (engine.recogniser, engine.synthesiser("de")):
        pool = getattr(victim, "pool", victim)
        task = asyncio.create_task(interpret(engine, clip))
        while not pool._processes[0].current:
            await asyncio.sleep(0.002)
        os.kill(pool.pids[0], signal.SIGKILL)
        messages = await task
        kinds = {type(message) for message in messages}
        assert {Transcript, Translation, Speech} <= kinds, messages
    await interpret(engine, clip)


async def interpret(engine, clip):
    messages = []
    utterance = Utterance("u", "m", Audio(clip.samples, 16_000), 0.0, clip.seconds, "fr", True)
    await engine.process(utterance, {"de": engine.voices("de")[0]}, messages.append)
    return messages


@pytest.mark.parametrize("name", LARGE)
def test_promise_11_a_profile_without_weights_names_the_command(name, tmp_path):
    with pytest.raises(WeightsError) as caught:
        installed_profile(Settings(profile=name, weights_dir=tmp_path))
    assert caught.value.code == "missing" and "models fetch" in caught.value.message


def test_seamless_is_one_process_that_recognises_and_translates(big_weights_dir, monkeypatch):
    profile = big_weights.profile("seamless", big_weights_dir, monkeypatch)
    recogniser, translator = profile.recogniser, profile.translator
    assert translator and recogniser.processes == translator.processes == 1
    assert recogniser.spec.factory == translator.spec.factory
    assert dict(recogniser.spec.options) == dict(translator.spec.options)
    assert len({pool.name for pool in Engine(profile).pools}) == 7


def test_the_big_server_has_the_threads_of_the_plan(tmp_path):
    settings = Settings(weights_dir=tmp_path, profile="seamless", threads=128)
    profile = choose(settings)
    assert (profile.recogniser.processes, profile.recogniser.threads) == (1, 32)
    kokoro = profile.synthesisers[0]
    assert kokoro.threads == 16 and kokoro.processes >= 4
    assert profile.speaker_encoder.threads == 4
    plan = plan_threads(128, 32)
    assert 128 - 32 - plan.synthesisers * 16 - 4 >= 8, "the rest is for the network"
    assert choose(Settings(weights_dir=tmp_path)).name == "compact"
    assert choose(settings.model_copy(update={"precision": "bf16"})).recogniser.spec.options[
        "precision"
    ] == "bf16"  # fmt: skip
