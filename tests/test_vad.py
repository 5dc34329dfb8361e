"""Silero VAD against known answers, on real speech."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from babblefish.engine.vad import FRAME, SileroVad
from babblefish.errors import AudioError, WeightsError
from tests import read_aloud


@pytest.fixture(scope="module")
def speech(weights_dir):
    return read_aloud.speech(weights_dir)


@pytest.fixture(scope="module")
def vad(weights_dir) -> SileroVad:
    return SileroVad(weights_dir)


def run(vad: SileroVad, streams: list[np.ndarray]) -> np.ndarray:
    """Frame-wise probabilities (streams, frames), all streams in one batch."""
    n = min(len(s) for s in streams) // FRAME
    frames = np.stack([s[: n * FRAME].reshape(n, FRAME) for s in streams])
    states = np.zeros((len(streams), *vad.capabilities.state_shape), np.float32)
    rows = []
    for i in range(n):
        probabilities, states = vad.probabilities(frames[:, i], states)
        rows.append(probabilities)
    return np.stack(rows, axis=1)


def reference(vad: SileroVad, samples: np.ndarray) -> np.ndarray:
    """The stateful loop that the model's authors publish, one stream, written out."""
    state, context = np.zeros((2, 1, 128), np.float32), np.zeros((1, 64), np.float32)
    rows = []
    for start in range(0, len(samples) - FRAME + 1, FRAME):
        x = np.concatenate([context, samples[None, start : start + FRAME]], axis=1)
        out, state = vad._session.run(
            None, {"input": x, "state": state, "sr": np.array(16000, np.int64)}
        )
        context = x[:, -64:]
        rows.append(out[0, 0])
    return np.array(rows)


def test_batched_streams_equal_the_published_stateful_loop(vad, speech):
    clips = [clip.samples for clip in speech[:4]]
    batched = run(vad, clips)
    for row, clip in zip(batched, clips, strict=True):
        assert np.allclose(row, reference(vad, clip)[: len(row)], atol=1e-4)


@pytest.mark.parametrize("seconds", [0, 0.02, 3.01, 40])
def test_a_whole_clip_is_heard_like_its_frames_one_by_one(vad, speech, seconds):
    spoken = np.concatenate([clip.samples for clip in speech] * 3)[: int(seconds * 16_000)]
    spoken = spoken * np.float32(1.5)
    spoken[1000:1010] = np.nan
    padded = np.pad(spoken, (0, -len(spoken) % FRAME))
    heard = vad.whole(spoken)
    assert heard.dtype == np.float32
    assert heard.shape == (len(padded) // FRAME,)
    if seconds:
        assert np.allclose(heard, run(vad, [padded])[0], atol=1e-4)


def test_another_network_is_not_taken_for_silero(tmp_path):
    node = onnx.helper.make_node("Identity", ["input"], ["output"])
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [node], "other", [value("input", 1, ["n"])], [value("output", 1, ["n"])]
    )
    path = tmp_path / "silero" / "silero_vad.onnx"
    path.parent.mkdir()
    opset = [onnx.helper.make_opsetid("", 16)]
    onnx.save(onnx.helper.make_model(graph, ir_version=8, opset_imports=opset), path)
    with pytest.raises(WeightsError) as caught:
        SileroVad(tmp_path).whole(np.zeros(FRAME, np.float32))
    assert caught.value.code == "broken"


def test_tells_speech_from_silence_and_noise(vad, speech):
    noise = np.random.default_rng(0).normal(0, 0.05, 48_000).astype(np.float32)
    for clip in speech[:6]:
        assert (run(vad, [clip.samples])[0] > 0.5).mean() > 0.4
    assert (run(vad, [np.zeros(48_000, np.float32), noise]) > 0.5).mean() < 0.05


def test_broken_samples_do_not_spoil_the_stream(vad, speech):
    samples = speech[0].samples.copy()
    samples[:FRAME] = np.nan
    probabilities = run(vad, [samples])
    assert np.isfinite(probabilities).all()
    assert probabilities.max() > 0.9


@pytest.mark.parametrize(
    "frames",
    [np.zeros((1, 100), np.float32), np.zeros(FRAME, np.float32), np.zeros((1, FRAME), np.int16)],
)
def test_bad_input_is_named(vad, frames):
    with pytest.raises(AudioError) as caught:
        vad.probabilities(frames, np.zeros((1, *vad.capabilities.state_shape), np.float32))
    assert caught.value.code == "bad_audio"


def test_no_streams_no_work(vad):
    probabilities, states = vad.probabilities(
        np.zeros((0, FRAME), np.float32), np.zeros((0, *vad.capabilities.state_shape), np.float32)
    )
    assert probabilities.shape == (0,)
    assert states.shape == (0, *vad.capabilities.state_shape)


def test_missing_and_broken_weights_say_what_to_do(tmp_path):
    with pytest.raises(WeightsError) as caught:
        SileroVad(tmp_path)
    assert "make run" in caught.value.message
    broken = tmp_path / "silero" / "silero_vad.onnx"
    broken.parent.mkdir()
    broken.write_bytes(b"not a model")
    with pytest.raises(WeightsError) as caught:
        SileroVad(tmp_path)
    assert caught.value.code == "broken"
