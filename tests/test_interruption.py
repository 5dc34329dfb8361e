"""Work in a model that nobody waits for any more, in real models."""

from __future__ import annotations

import asyncio
import os
import signal
import threading

import numpy as np
import pytest
from onnx import TensorProto, helper

from babblefish.engine import interruption
from babblefish.engine.onnx_session import OnnxSession
from babblefish.engine.stages import StageSpec
from babblefish.engine.workers import WorkerPool
from babblefish.errors import WorkerError


@pytest.fixture
def listening():
    before = signal.getsignal(interruption.SIGNAL)
    interruption.listen()
    interruption.reset()
    yield
    signal.signal(interruption.SIGNAL, before)
    interruption.reset()


@pytest.fixture(scope="module")
def slow() -> OnnxSession:
    """A thousand products one after the other, in one run that takes minutes."""
    size, times = 1500, 1000
    nodes = [helper.make_node("MatMul", [f"x{i}", "weight"], [f"x{i + 1}"]) for i in range(times)]
    graph = helper.make_graph(
        nodes,
        "slow",
        [
            helper.make_tensor_value_info("x0", TensorProto.FLOAT, ["n", size]),
            helper.make_tensor_value_info("weight", TensorProto.FLOAT, [size, size]),
        ],
        [helper.make_tensor_value_info(f"x{times}", TensorProto.FLOAT, ["n", size])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return OnnxSession(model.SerializeToString(), 1)


def given(rows: int, size: int = 1500) -> dict[str, np.ndarray]:
    return {"x0": np.ones((rows, size), np.float32), "weight": np.eye(size, dtype=np.float32)}


def test_a_long_run_is_given_up_when_asked(listening, slow):
    timer = threading.Timer(0.2, os.kill, (os.getpid(), interruption.SIGNAL))
    timer.start()
    try:
        with pytest.raises(WorkerError) as error:
            slow.run_until_interrupted(["x1000"], given(2000))
    finally:
        timer.cancel()
    assert error.value.code == "superseded"
    interruption.reset()
    (result,) = slow.run_until_interrupted(["x1000"], given(1))
    assert result.numpy().shape == (1, 1500), "it works again"


async def test_a_voice_that_nobody_waits_for_any_more_is_given_up(weights_dir):
    """In a worker process, as a cancelled call."""
    spec = StageSpec("babblefish.engine.kokoro:KokoroSynthesiser", {"weights_dir": weights_dir})
    pool = WorkerPool("voice", spec)
    await pool.start()
    try:
        text = "This sentence is far longer than anybody would want to wait for. " * 6
        speaking = asyncio.create_task(pool.call("synthesise", text, "en", "af_heart", 1.0))
        await asyncio.sleep(0.5)
        speaking.cancel()
        assert len(await pool.call("synthesise", "Yes.", "en", "af_heart", 1.0))
        assert (pool.stats.calls, pool.stats.errors) == (2, 1), "the first was spoken to its end"
    finally:
        await pool.close()


def test_a_run_that_was_given_up_before_it_began_never_begins(listening, slow):
    os.kill(os.getpid(), interruption.SIGNAL)
    with pytest.raises(WorkerError):
        slow.run_until_interrupted(["x1000"], given(2000))


def test_errors_of_the_model_stay_what_they_are(listening, slow):
    with pytest.raises(Exception, match="INVALID_ARGUMENT"):
        slow.run_until_interrupted(["x1000"], given(1, 7))
