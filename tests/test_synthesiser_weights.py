"""The weights that a laptop has, lacks or cannot compute with, and what it says of itself."""

# ruff: noqa: F401, F811  (fixtures are imported by name)
from __future__ import annotations

import shutil
import socket

import pytest
import torch
from safetensors.torch import load_file, save_file

from babblefish.accelerator import checkpoints
from babblefish.accelerator.scheduling import Limits
from babblefish.accelerator.synthesis import Synthesiser, SynthesisSettings
from babblefish.accelerator_protocol import (
    Health,
    decode_audio,
)
from babblefish.engine.models import Source, sha256
from babblefish.errors import SettingsError, WeightsError
from tests.synthesisers import VOICE, asking, batches, heard, one_thread, refused, running, weights


async def test_without_weights_it_says_how_to_get_them_and_asks_no_network(tmp_path, monkeypatch):
    def refuse(*anything):
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    synthesiser = Synthesiser(SynthesisSettings(tmp_path, device="cpu"))
    await synthesiser.start()
    with pytest.raises(WeightsError, match="--fetch base") as caught:
        await synthesiser.ready()
    assert caught.value.code == "missing" and "commercially" in caught.value.message
    health = synthesiser.health()
    assert not health.ready and health.languages == [] and "--fetch base" in health.message
    assert await refused(synthesiser, asking("Hello.")) == "not_ready"
    await synthesiser.close()


async def test_languages_are_those_whose_weights_are_there(weights, tmp_path):
    folder = tmp_path / "weights"
    shutil.copytree(weights, folder)
    hidden = folder / "f5" / "fr"
    hidden.rename(tmp_path / "fr")
    async with running(folder, networks=1) as synthesiser:
        await synthesiser.put_voice(VOICE)
        assert synthesiser.health().languages == ["en", "zh"]
        assert await refused(synthesiser, asking("Bonjour.", language="fr")) == "unknown_language"
        (tmp_path / "fr").rename(hidden)
        await synthesiser.refresh()
        assert synthesiser.health().languages == ["en", "fr", "zh"]
        for language, text in (("fr", "Bonjour."), ("en", "Hello."), ("zh", "你好。")):
            assert await heard(synthesiser, asking(text, language=language))
            assert len(synthesiser._thread.networks._loaded) == 1


async def test_damaged_weights_are_found_and_named(weights, tmp_path):
    folder = tmp_path / "weights"
    shutil.copytree(weights, folder)
    path = checkpoints.BASE.weights(folder)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    synthesiser = Synthesiser(SynthesisSettings(folder, device="cpu"))
    await synthesiser.start()
    with pytest.raises(WeightsError, match="not the original"):
        await synthesiser.ready()
    await synthesiser.close()


async def test_numbers_that_overflow_16_bits_are_computed_in_32(weights, tmp_path):
    folder = tmp_path / "weights"
    shutil.copytree(weights, folder)
    path = checkpoints.BASE.weights(folder)
    state = load_file(path)
    state["ema_model.transformer.proj_out.bias"] += 1e6  # beyond what 16 bits hold
    save_file(state, path)
    files = {file.name: folder / file.path for file in checkpoints.BASE.model.files}
    known = {name: (file.stat().st_size, sha256(file)) for name, file in files.items()}
    Source("0" * 40, known).save(path.parent)
    async with running(folder, precision="fp16") as synthesiser:
        assert synthesiser._thread.networks.precision == "fp32"
        assert synthesiser.health().ready


async def test_a_long_text_is_one_clause_all_the_same(weights, monkeypatch):
    sizes = batches(monkeypatch)
    async with running(weights, steps=7) as synthesiser:
        sizes.clear()
        await synthesiser.put_voice(VOICE)
        words = "This sentence is here because it takes so long to say. " * 10
        [clause] = await heard(synthesiser, asking(text=words.strip(), clauses=[]))
        assert clause.last and len(decode_audio(clause.audio)) > 20 * 24_000
        assert sum(sizes) >= 2, "in pieces that F5 can say"
        spoken = await heard(synthesiser, asking("🙂", "Good.", "…"))
        assert [c.clause for c in spoken] == [0, 1, 2] and spoken[-1].last
        assert not decode_audio(spoken[0].audio).any()


async def test_settings_that_cannot_be_are_named(tmp_path):
    with pytest.raises(SettingsError, match="fp16"):
        Synthesiser(SynthesisSettings(tmp_path, device="cpu", precision="int8"))
    if not torch.cuda.is_available():
        with pytest.raises(SettingsError, match="No GPU"):
            Synthesiser(SynthesisSettings(tmp_path, device="cuda"))


async def test_health_is_a_message(weights):
    async with running(weights) as synthesiser:
        assert Health.model_validate_json(synthesiser.health().model_dump_json()).ready
    assert Limits(8, 100).halved(8).rows == 4 and Limits(1, 100).halved(1).rows == 1
