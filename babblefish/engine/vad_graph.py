"""Builds, from Silero's ONNX file, an equal network that takes a whole clip in one run.

The published graph takes one frame, so that a clip of 3 s takes a hundred runs. All but its
recurrent layer looks at one frame at a time; here that part sees every frame at once, and the
recurrent layer goes through them inside one operator. Model in, model out: knows operators, no
sound and no thresholds.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_PREFIX = "If_0_then_branch__Inline_0__"
"""how the published file names what belongs to the network for 16 kHz"""
_STRIDES = (1, 2, 2, 1)
"""of the four convolutions"""
_HIDDEN = 128


def whole_clip(model: onnx.ModelProto) -> onnx.ModelProto:
    """The 16 kHz network: ``frames`` (n, 576), ``hidden`` and ``cell`` (1, 1, 128), all float32 →
    ``probability`` (n,), and hidden and cell after the last frame.

    frames: consecutive, each with the 64 samples before it in front. Raises ValueError when this
    is not the Silero network that is known here.
    """
    weights = _weights(model)
    try:
        nodes, constants = _spectrum(weights)
        for number, stride in enumerate(_STRIDES):
            source = f"encoder{number}"
            name = f"encoder.{number}.reparam_conv"
            constants |= {f"{source}.w": weights[name + ".weight"],
                          f"{source}.b": weights[name + ".bias"]}  # fmt: skip
            nodes += [
                helper.make_node(
                    "Conv", [source, f"{source}.w", f"{source}.b"], [f"{source}.conv"],
                    strides=[stride], pads=[1, 1],
                ),
                helper.make_node("Relu", [f"{source}.conv"], [f"encoder{number + 1}"]),
            ]  # fmt: skip
        more, further = _recurrence(weights)
    except KeyError as error:
        raise ValueError(f"not Silero's network: no {error}") from error
    graph = helper.make_graph(
        nodes + more,
        "silero_clip",
        [
            _value("frames", "n", 576),
            _value("hidden", 1, 1, _HIDDEN),
            _value("cell", 1, 1, _HIDDEN),
        ],
        [
            _value("probability", "n"),
            _value("hidden_after", 1, 1, _HIDDEN),
            _value("cell_after", 1, 1, _HIDDEN),
        ],
        [numpy_helper.from_array(value, name) for name, value in (constants | further).items()],
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 16)])


def _value(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _weights(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Of the 16 kHz network, by their names in it."""
    branches = [
        attribute.g
        for node in model.graph.node
        if node.op_type == "If"
        for attribute in node.attribute
        if attribute.name == "then_branch"
    ]
    return {
        node.output[0].removeprefix(_PREFIX): numpy_helper.to_array(attribute.t)
        for branch in branches
        for node in branch.node
        for attribute in node.attribute
        if node.op_type == "Constant" and attribute.name == "value"
    }


def _spectrum(
    weights: dict[str, np.ndarray],
) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    """Magnitudes of ``frames`` as ``encoder0``, (n, 129, 4)."""
    basis = weights["stft.forward_basis_buffer"]
    bins = len(basis) // 2
    constants = {
        "pads": np.array([0, 0, 0, 0, 0, 64], np.int64),
        "channel": np.array([1], np.int64),
        "basis": basis,
        "parts": np.array([bins, bins], np.int64),
    }
    nodes = [
        helper.make_node("Unsqueeze", ["frames", "channel"], ["frames3"]),
        helper.make_node("Pad", ["frames3", "pads"], ["padded"], mode="reflect"),
        helper.make_node("Conv", ["padded", "basis"], ["fourier"], strides=[128]),
        helper.make_node("Split", ["fourier", "parts"], ["real", "imaginary"], axis=1),
        helper.make_node("Mul", ["real", "real"], ["real2"]),
        helper.make_node("Mul", ["imaginary", "imaginary"], ["imaginary2"]),
        helper.make_node("Add", ["real2", "imaginary2"], ["power"]),
        helper.make_node("Sqrt", ["power"], ["encoder0"]),
    ]
    return nodes, constants


def _recurrence(
    weights: dict[str, np.ndarray],
) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    """``encoder4`` (n, 128, 1) as a sequence of n steps → ``probability``."""
    constants = {
        "sequence": np.array([-1, 1, _HIDDEN], np.int64),
        "flat": np.array([-1, _HIDDEN], np.int64),
        "all": np.array([-1], np.int64),
        "lstm.w": _gates(weights["decoder.rnn.weight_ih"])[None],
        "lstm.r": _gates(weights["decoder.rnn.weight_hh"])[None],
        "lstm.b": np.concatenate(
            [_gates(weights["decoder.rnn.bias_ih"]), _gates(weights["decoder.rnn.bias_hh"])]
        )[None],
        "last.w": np.ascontiguousarray(weights["decoder.decoder.2.weight"].reshape(1, -1).T),
        "last.b": weights["decoder.decoder.2.bias"],
    }
    nodes = [
        helper.make_node("Reshape", ["encoder4", "sequence"], ["steps"]),
        helper.make_node(
            "LSTM", ["steps", "lstm.w", "lstm.r", "lstm.b", "", "hidden", "cell"],
            ["remembered", "hidden_after", "cell_after"], hidden_size=_HIDDEN,
        ),
        helper.make_node("Reshape", ["remembered", "flat"], ["rows"]),
        helper.make_node("Relu", ["rows"], ["active"]),
        helper.make_node("Gemm", ["active", "last.w", "last.b"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["column"]),
        helper.make_node("Reshape", ["column", "all"], ["probability"]),
    ]  # fmt: skip
    return nodes, constants


def _gates(rows: np.ndarray) -> np.ndarray:
    """The four gates' rows, from torch's order (in, forget, cell, out) to ONNX's."""
    into, forget, cell, out = np.split(rows, 4)
    return np.concatenate([into, out, forget, cell])
