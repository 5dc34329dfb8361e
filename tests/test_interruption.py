"""Work in a model that nobody waits for any more, in real models."""

from __future__ import annotations

import os
import signal
import threading

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from babblefish.engine import interruption
from babblefish.engine.onnx_session import OnnxSession
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
    """A thousand products one after the other; some 10 s, in one run."""
    size, times = 1500, 1000
    nodes = [helper.make_node("MatMul", [f"x{i}", "weight"], [f"x{i + 1}"]) for i in range(times)]
    weight = onnx.numpy_helper.from_array(np.eye(size, dtype=np.float32), "weight")
    graph = helper.make_graph(
        nodes,
        "slow",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, ["n", size])],
        [helper.make_tensor_value_info(f"x{times}", TensorProto.FLOAT, ["n", size])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return OnnxSession(model.SerializeToString(), 1)


def ask_after(seconds: float) -> None:
    threading.Timer(seconds, os.kill, (os.getpid(), interruption.SIGNAL)).start()


def test_a_long_run_is_given_up_when_asked(listening, slow):
    nodes = slow.run_until_interrupted  # one call that lasts far longer than the test
    ask_after(0.2)
    with pytest.raises(WorkerError) as error:
        nodes(["x1000"], {"x0": np.ones((2000, 1500), np.float32)})
    assert error.value.code == "superseded"
    interruption.reset()
    (result,) = slow.run_until_interrupted(["x1000"], {"x0": np.ones((1, 1500), np.float32)})
    assert result.numpy().shape == (1, 1500), "it works again"


def test_a_run_that_was_given_up_before_it_began_never_begins(listening, slow):
    os.kill(os.getpid(), interruption.SIGNAL)
    with pytest.raises(WorkerError):
        slow.run_until_interrupted(["x1000"], {"x0": np.ones((2000, 1500), np.float32)})


def test_errors_of_the_model_stay_what_they_are(listening, slow):
    with pytest.raises(Exception, match="INVALID_ARGUMENT"):
        slow.run_until_interrupted(["x1000"], {"x0": np.ones((1, 7), np.float32)})
