"""Voiceprints by pyannote's network: how it is loaded, what it is given, what it refuses. How well
it tells people apart takes the real weights, which are not here."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from babblefish.audio import resample
from babblefish.engine.espeak import EspeakSynthesiser
from babblefish.engine.identification import OWNER, Identifier
from babblefish.engine.pyannote_encoder import SAME_SPEAKER, PyannoteEncoder
from babblefish.engine.stages import PLAYOUT_RATE
from babblefish.engine.vad import SileroVad
from babblefish.engine.voiced import MOST_SECONDS, voiced
from babblefish.errors import SpeakerError, WeightsError
from tests import stage_conformance, tiny_pyannote

RATE = 16_000
TEXT = "Good morning. How are you today? The meeting begins at nine, in the large room."


@pytest.fixture(scope="module")
def weights(tmp_path_factory, weights_dir) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    (folder / "silero").symlink_to(weights_dir / "silero")
    tiny_pyannote.build(folder)
    return folder


@pytest.fixture(scope="module")
def encoder(weights) -> PyannoteEncoder:
    return PyannoteEncoder(weights)


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    samples = EspeakSynthesiser().synthesise(TEXT, "en", "en+f2", 1.0)
    return resample(samples, PLAYOUT_RATE, RATE)


def test_conforms(encoder):
    stage_conformance.check_speaker_encoder(encoder)


def test_a_voiceprint_has_length_one_and_the_networks_dimension(encoder, speech, weights, tmp_path):
    (tmp_path / "silero").symlink_to(weights / "silero")
    tiny_pyannote.build(tmp_path, dimension=48)
    small = PyannoteEncoder(tmp_path)
    for stage, dimension in ((encoder, 512), (small, 48)):
        voiceprint = stage.embed(speech)
        assert voiceprint.shape == (dimension,) == (stage.capabilities.dimension,)
        assert voiceprint.dtype == np.float32
        assert np.linalg.norm(voiceprint) == pytest.approx(1.0, abs=1e-5)
        assert np.array_equal(voiceprint, stage.embed(speech))


def test_it_is_what_pyannote_itself_would_say(encoder, speech, weights, weights_dir):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pyannote.audio import Inference, Model

        model = Model.from_pretrained(weights / "pyannote-embedding" / "pytorch_model.bin")
        assert model is not None
        heard = torch.from_numpy(voiced(speech, SileroVad(weights_dir), 0.8))[None]
        theirs = Inference(model, window="whole")({"waveform": heard, "sample_rate": RATE})
    theirs = np.asarray(theirs).ravel()
    assert encoder.embed(speech) @ (theirs / np.linalg.norm(theirs)) == pytest.approx(1.0, abs=1e-5)


def test_neither_loudness_nor_pauses_change_a_voiceprint(encoder, speech):
    pauses = np.concatenate([np.zeros(RATE, np.float32), speech, np.zeros(3 * RATE, np.float32)])
    for other in (speech * 0.02, pauses, speech.astype(np.float64)):
        assert encoder.embed(speech) @ encoder.embed(other) > 0.98


def test_people_can_be_told_apart_with_it(encoder, speech):
    assert set(SAME_SPEAKER) == {1.5, 3.0, 5.0}
    identifier = Identifier(pickle.loads(pickle.dumps(encoder.capabilities)))
    voices = {identifier.identify(encoder.embed(speech), 4.0).voice for _ in range(2)}
    assert voices == {OWNER} and identifier.count == 1


@pytest.mark.parametrize(
    ("audio", "code"),
    [
        (np.zeros(0, np.float32), "bad_audio"),
        (np.zeros(RATE * 3, np.float32), "bad_audio"),
        (np.full(RATE, np.nan, np.float32), "bad_audio"),
        (np.ones(RATE, np.int16), "bad_audio"),
        (np.ones((2, RATE), np.float32), "bad_audio"),
        (np.ones(1, np.float32), "too_short"),
        (np.ones(200, np.float32), "too_short"),
        (np.random.default_rng(0).normal(0, 0.1, RATE * 3).astype(np.float32), "too_short"),
    ],
)
def test_bad_input_is_named(encoder, audio, code):
    with pytest.raises(SpeakerError) as caught:
        encoder.embed(audio)
    assert caught.value.code == code


def test_a_short_word_has_no_voiceprint(encoder, speech):
    with pytest.raises(SpeakerError) as caught:
        encoder.embed(speech[: RATE // 2])
    assert caught.value.code == "too_short"


def test_of_a_minute_the_beginning_is_looked_at(encoder, speech, weights_dir):
    minute = np.resize(speech, 60 * RATE)
    heard = voiced(minute, SileroVad(weights_dir), 0.8)
    assert MOST_SECONDS <= len(heard) / RATE < 1.5 * MOST_SECONDS
    assert np.linalg.norm(encoder.embed(minute)) == pytest.approx(1.0, abs=1e-5)


def test_a_network_without_an_answer_is_noticed(weights, speech):
    spoilt = PyannoteEncoder(weights)
    for value in (0.0, float("nan")):
        torch.nn.init.constant_(spoilt._network.embedding.weight, value)
        torch.nn.init.zeros_(spoilt._network.embedding.bias)
        with pytest.raises(SpeakerError) as caught:
            spoilt.embed(speech)
        assert caught.value.code == "bad_audio"


# --- loading --------------------------------------------------------------------------------


class _Trap:
    """Unpickling it makes a call."""

    def __init__(self, *call: Any) -> None:
        self._call = call

    def __reduce__(self):
        return self._call[0], self._call[1:]


def test_weights_that_are_missing_or_broken_say_what_to_do(tmp_path, weights):
    (tmp_path / "silero").symlink_to(weights / "silero")
    refuses(tmp_path, "missing")
    path = tmp_path / "pyannote-embedding" / "pytorch_model.bin"
    path.parent.mkdir()
    whole = (weights / "pyannote-embedding" / "pytorch_model.bin").read_bytes()
    for content in (b"", b"no weights", whole[: len(whole) // 2]):
        path.write_bytes(content)
        refuses(tmp_path, "broken")
    for saved in ({}, {"state_dict": {}, "hyper_parameters": {}}, [1]):
        torch.save(saved, path)
        refuses(tmp_path, "broken")


def test_a_checkpoint_that_lacks_weights_is_broken(tmp_path):
    saved = tiny_pyannote.checkpoint(tiny_pyannote.network(48))
    del saved["state_dict"]["tdnns.2.running_mean"]
    path = tmp_path / "pyannote-embedding" / "pytorch_model.bin"
    path.parent.mkdir()
    torch.save(saved, path)
    refuses(tmp_path, "broken")


def test_nothing_in_a_checkpoint_is_run(tmp_path, weights):
    (tmp_path / "silero").symlink_to(weights / "silero")
    trace = tmp_path / "trace"
    path = tmp_path / "pyannote-embedding" / "pytorch_model.bin"
    path.parent.mkdir()
    saved = tiny_pyannote.checkpoint(tiny_pyannote.network(48))
    saved["callbacks"]["trap"] = _Trap(subprocess.check_call, ["touch", str(trace)])
    torch.save(saved, path)
    assert PyannoteEncoder(tmp_path).capabilities.dimension == 48
    saved["callbacks"]["trap"] = _Trap(os.mkdir, str(trace))
    torch.save(saved, path)
    refuses(tmp_path, "broken")
    assert not trace.exists()


def refuses(weights_dir: Path, code: str) -> None:
    with pytest.raises(WeightsError) as caught:
        PyannoteEncoder(weights_dir)
    assert caught.value.code == code
    assert "pytorch_model.bin" in caught.value.message
    assert "python app.py models fetch" in caught.value.message


def test_nothing_reaches_for_the_network_or_speaks(weights):
    """In a process of its own, where pyannote's telemetry is as it is out of the box."""
    script = f"""
import socket, sys, time
import numpy as np
def refuse(*_, **__): print("a connection was attempted", flush=True)
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
from babblefish.engine.pyannote_encoder import PyannoteEncoder
assert "torch" not in sys.modules
encoder = PyannoteEncoder({str(weights)!r})
from pyannote.audio.telemetry.metrics import is_metrics_enabled
assert not is_metrics_enabled()
try:
    encoder.embed(np.ones(16000, np.float32))
except Exception as error:
    assert error.code == "too_short"
time.sleep(1.0)
"""
    environment = {k: v for k, v in os.environ.items() if k != "PYANNOTE_METRICS_ENABLED"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment,
        check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
