"""Rewrites Kokoro's int8 ONNX graph into an equal one that runs about twice as fast.

Model in, model out: knows operators, no text, voices or files. What it changes:

- 8-bit convolutions become one matrix product each: onnxruntime unfolds the input of an 8-bit
  convolution byte by byte on one thread, while slices and one concatenation are block copies, and
  the product's epilogue replaces three further passes over the result.
- Instance normalisation spelled out in nine operators becomes one.
- In the snake activation ``x + sin²(αx)/α``, sin² is a polynomial: every step of it is
  vectorised, the sine is not.
- The short-time Fourier transform becomes a convolution with sines and cosines.
- A new input ``window`` says which frames to decode, so that the silence Kokoro puts around speech
  need not be synthesised only to be cut off. Rhythm, pitch and energy are planned for the whole
  text before, so speech itself stays as it was.

Every rewrite looks for the exact pattern and leaves anything else alone.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

WINDOW_INPUT = "window"
"""int64 (3,): lead, anchor, tail. Frames of 25 ms are synthesised from ``lead`` before the end of
the first token to ``tail`` after the end of token number ``anchor``, as far as there are any"""


def optimise(model: onnx.ModelProto) -> onnx.ModelProto:
    """A faster equivalent of ``model`` with the further input ``window``; ``model`` is kept.

    Raises ValueError when the duration predictor cannot be found: it is not Kokoro.
    """
    graph = _Graph(model)
    _window_frames(graph)
    _convolutions_as_products(graph)
    _fuse_normalisation(graph)
    _polynomial_snakes(graph)
    _fourier_as_convolution(graph)
    return graph.finished()


class _Graph:
    """A model being edited: who makes and who reads each value."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        self.nodes: list[NodeProto] = list(self.model.graph.node)
        self.maker = {output: node for node in self.nodes for output in node.output}
        self.readers: dict[str, list[NodeProto]] = defaultdict(list)
        for node in self.nodes:
            for name in set(node.input):
                self.readers[name].append(node)
        self._constants = {i.name: i for i in self.model.graph.initializer}
        self._replaced: dict[int, list[NodeProto]] = {}
        self._new = 0

    def constant(self, name: str) -> np.ndarray | None:
        return numpy_helper.to_array(self._constants[name]) if name in self._constants else None

    def add_constant(self, value: np.ndarray) -> str:
        """A new constant; equal ones are shared."""
        name = f"fast/constant/{value.dtype}/{value.shape}/{hash(value.tobytes()):x}"
        if name not in self._constants:
            tensor = numpy_helper.from_array(np.ascontiguousarray(value), name)
            self.model.graph.initializer.append(tensor)
            self._constants[name] = tensor
        return name

    def value(self, hint: str) -> str:
        self._new += 1
        return f"fast/{hint}/{self._new}"

    def only_reader(self, name: str, kind: str) -> NodeProto | None:
        readers = self.readers[name]
        return readers[0] if len(readers) == 1 and readers[0].op_type == kind else None

    def replace(self, node: NodeProto, new: list[NodeProto]) -> None:
        """Put ``new`` where ``node`` is; nodes whose results nobody reads go at the end."""
        self._replaced[id(node)] = new

    def insert_after(self, node: NodeProto, new: list[NodeProto]) -> None:
        self._replaced[id(node)] = [*self._replaced.get(id(node), [node]), *new]

    def rename_inputs(self, old: str, new: str) -> None:
        """Let all present readers of ``old`` read ``new``."""
        for node in self.readers.pop(old, []):
            node.input[:] = [new if name == old else name for name in node.input]
            self.readers[new].append(node)

    def finished(self) -> onnx.ModelProto:
        nodes = [new for node in self.nodes for new in self._replaced.get(id(node), [node])]
        wanted = {output.name for output in self.model.graph.output}
        kept: list[NodeProto] = []
        for node in reversed(nodes):
            if wanted.intersection(node.output):
                kept.append(node)
                wanted.update(node.input)
        graph = self.model.graph
        constants = [tensor for tensor in graph.initializer if tensor.name in wanted]
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        graph.node.extend(reversed(kept))
        graph.initializer.extend(constants)
        return self.model


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def _ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


# --- window -----------------------------------------------------------------------------------

_ENDS = "/encoder/CumSum_output_0"
"""frame at which each token ends, (tokens,)"""
_TEXT_FRAMES = "/encoder/MatMul_1_output_0"
"""(1, channels, frames)"""
_CURVES = ("/encoder/Reshape_output_0", "/encoder/Reshape_1_output_0")
"""pitch and energy, (1, 2·frames)"""


def _window_frames(graph: _Graph) -> None:
    """Let the decoder see only the frames that ``window`` asks for."""
    if any(name not in graph.maker for name in (_ENDS, _TEXT_FRAMES, *_CURVES)):
        raise ValueError("no duration predictor in this graph")
    nodes: list[NodeProto] = []

    def make(kind: str, *inputs: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, list(inputs), [graph.value(kind)], **attributes))
        return nodes[-1].output[0]

    def constant(*values: int) -> str:
        return graph.add_constant(_ints(*values))

    lead, anchor, tail = (make("Gather", WINDOW_INPUT, constant(i)) for i in range(3))
    begun = make("Sub", make("Gather", _ENDS, constant(0)), lead)
    ended = make("Add", make("Gather", _ENDS, anchor), tail)
    start = make("Max", begun, constant(0))
    stop = make("Min", ended, make("Gather", _ENDS, constant(-1)))
    double = constant(2)
    renamed = {_TEXT_FRAMES: make("Slice", _TEXT_FRAMES, start, stop, constant(2))}
    start, stop = make("Mul", start, double), make("Mul", stop, double)
    last = graph.maker[_TEXT_FRAMES]
    graph.insert_after(last, nodes)
    for curve in _CURVES:
        renamed[curve] = graph.value("curve")
        cut = helper.make_node("Slice", [curve, start, stop, constant(1)], [renamed[curve]])
        graph.insert_after(graph.maker[curve], [cut])
    for old, new in renamed.items():
        graph.rename_inputs(old, new)
    graph.model.graph.input.append(
        helper.make_tensor_value_info(WINDOW_INPUT, TensorProto.INT64, [3])
    )


# --- convolutions -----------------------------------------------------------------------------


def _convolutions_as_products(graph: _Graph) -> None:
    for node in graph.nodes:
        if node.op_type == "ConvInteger":
            _convolution_as_product(graph, node)


def _convolution_as_product(graph: _Graph, node: NodeProto) -> None:
    """ConvInteger → [Add bias] → Cast → Mul scales, as unfold → MatMulIntegerToFloat [→ Add]."""
    attributes = _attributes(node)
    weights = graph.constant(node.input[1])
    if weights is None or weights.dtype != np.uint8 or weights.shape[0] < 16:
        return
    if attributes.get("strides", [1]) != [1] or attributes.get("group", 1) != 1:
        return
    add = graph.only_reader(node.output[0], "Add")
    bias = _float_bias(graph, add, node.output[0]) if add else None
    cast = graph.only_reader(add.output[0] if add else node.output[0], "Cast")
    scale = graph.only_reader(cast.output[0], "Mul") if cast else None
    scales = graph.maker.get(scale.input[1]) if scale else None
    if scale is None or scales is None or scales.op_type != "Mul" or (add and bias is None):
        return
    quantiser = graph.maker.get(node.input[0])
    if quantiser is None or quantiser.op_type != "DynamicQuantizeLinear":
        return
    if scales.input[0] != quantiser.output[1] or graph.constant(scales.input[1]) is None:
        return
    new, unfolded = _unfold(graph, node, weights.shape[2], attributes)
    matrix = weights.transpose(0, 2, 1).reshape(len(weights), -1)
    product = scale.output[0] if bias is None else graph.value("product")
    new.append(
        helper.make_node(
            "MatMulIntegerToFloat",
            [graph.add_constant(matrix), unfolded, scales.input[1], scales.input[0],
             node.input[3], node.input[2]],
            [product],
            domain="com.microsoft",
        )
    )  # fmt: skip
    if bias is not None:
        column = graph.add_constant(bias.reshape(-1, 1).astype(np.float32))
        new.append(helper.make_node("Add", [product, column], [scale.output[0]]))
    graph.replace(scale, new)


def _float_bias(graph: _Graph, add: NodeProto, product: str) -> np.ndarray | None:
    """The bias before it was quantised: Div → Floor → Cast → Reshape → Add."""
    name = next((i for i in add.input if i != product), "")
    for kind in ("Reshape", "Cast", "Floor", "Div"):
        node = graph.maker.get(name)
        if node is None or node.op_type != kind:
            return None
        name = node.input[0]
    return graph.constant(name)


def _unfold(
    graph: _Graph, node: NodeProto, taps: int, attributes: dict[str, Any]
) -> tuple[list[NodeProto], str]:
    """Stack the input (1, c, t), shifted by each tap, as (1, taps*c, t)."""
    source, zero = node.input[0], node.input[2]
    if taps == 1:
        return [], source
    step = attributes.get("dilations", [1])[0]
    before, after = attributes.get("pads", [0, 0])
    padded = graph.value("padded")
    pads = graph.add_constant(_ints(0, 0, before, 0, 0, after))
    nodes = [helper.make_node("Pad", [source, pads, zero], [padded])]
    shifted = []
    for tap in range(taps):
        start, left = tap * step, (taps - 1 - tap) * step
        shifted.append(graph.value("shifted"))
        bounds = [_ints(start), _ints(-left if left else 2**62), _ints(2)]
        inputs = [padded, *(graph.add_constant(b) for b in bounds)]
        nodes.append(helper.make_node("Slice", inputs, [shifted[-1]]))
    unfolded = graph.value("unfolded")
    nodes.append(helper.make_node("Concat", shifted, [unfolded], axis=1))
    return nodes, unfolded


# --- normalisation ----------------------------------------------------------------------------


def _fuse_normalisation(graph: _Graph) -> None:
    """(x - mean)/sqrt(var + ε)·γ + β over time → InstanceNormalization."""
    for node in graph.nodes:
        if node.op_type != "Div":
            continue
        centred, root = (graph.maker.get(name) for name in node.input)
        if centred is None or root is None or (centred.op_type, root.op_type) != ("Sub", "Sqrt"):
            continue
        source = centred.input[0]
        epsilon = _epsilon(graph, centred, root, source)
        if epsilon is None:
            continue
        for times in graph.readers[node.output[0]]:
            plus = graph.only_reader(times.output[0], "Add") if times.op_type == "Mul" else None
            if plus is None:
                continue
            gamma = next(i for i in times.input if i != node.output[0])
            beta = next(i for i in plus.input if i != times.output[0])
            flat = [graph.value("gamma"), graph.value("beta")]
            shape = graph.add_constant(_ints(-1))
            graph.replace(
                plus,
                [
                    helper.make_node("Reshape", [gamma, shape], [flat[0]]),
                    helper.make_node("Reshape", [beta, shape], [flat[1]]),
                    helper.make_node(
                        "InstanceNormalization", [source, *flat], [plus.output[0]], epsilon=epsilon
                    ),
                ],
            )


def _epsilon(graph: _Graph, centred: NodeProto, root: NodeProto, source: str) -> float | None:
    """ε if ``root`` is the deviation of ``source`` over its last axis, as ``centred`` has it."""
    mean = graph.maker.get(centred.input[1])
    plus = graph.maker.get(root.input[0])
    variance = graph.maker.get(plus.input[0]) if plus and plus.op_type == "Add" else None
    square = graph.maker.get(variance.input[0]) if variance else None
    if mean is None or variance is None or square is None or plus is None:
        return None
    if square.op_type != "Mul" or list(square.input) != [centred.output[0]] * 2:
        return None
    for reduce in (mean, variance):
        axes = graph.constant(reduce.input[1]) if reduce.op_type == "ReduceMean" else None
        if axes is None or axes.tolist() not in ([2], [-1]):
            return None
    epsilon = graph.constant(plus.input[1])
    return float(epsilon) if epsilon is not None and mean.input[0] == source else None


# --- activation -------------------------------------------------------------------------------


_SINE_SQUARED = (9.801771575, -30.766955432, 30.291909888)
"""sin²(πr) ≈ q(c₀ + q(c₁ + q·c₂)) with q = r² for |r| ≤ ½, to 0.0008"""


def _polynomial_snakes(graph: _Graph) -> None:
    """x + sin²(αx)/α over (1, channels, time), α per channel."""
    for node in graph.nodes:
        sine = graph.maker.get(node.input[0]) if node.op_type == "Pow" else None
        product = graph.maker.get(sine.input[0]) if sine and sine.op_type == "Sin" else None
        scaled = graph.only_reader(node.output[0], "Mul")
        result = graph.only_reader(scaled.output[0], "Add") if scaled else None
        if product is None or product.op_type != "Mul" or scaled is None or result is None:
            continue
        alpha, inverse = (graph.constant(n.input[0]) for n in (product, scaled))
        source = product.input[1]
        if alpha is None or inverse is None or source not in result.input:
            continue
        exponent = graph.constant(node.input[1])
        if alpha.ndim != 3 or exponent is None or exponent.size != 1 or float(exponent) != 2.0:
            continue
        graph.replace(result, _snake(graph, source, alpha, inverse, result.output[0]))


def _snake(
    graph: _Graph, source: str, alpha: np.ndarray, inverse: np.ndarray, result: str
) -> list[NodeProto]:
    c0, c1, c2 = (np.float32(c) * inverse for c in _SINE_SQUARED)
    one, zero = np.ones(alpha.size, np.float32), np.zeros(alpha.size, np.float32)
    turns, whole, part, square, inner, middle, outer, sine = (
        graph.value(hint)
        for hint in ("turns", "whole", "part", "square", "inner", "middle", "outer", "sine")
    )
    inner_line = [graph.add_constant(v) for v in (c2.ravel(), c1.ravel(), zero, one)]
    node = helper.make_node
    return [
        node("Mul", [source, graph.add_constant(alpha / np.float32(np.pi))], [turns]),
        node("Round", [turns], [whole]),
        node("Sub", [turns, whole], [part]),
        node("Mul", [part, part], [square]),
        node("BatchNormalization", [square, *inner_line], [inner], epsilon=0.0),
        node("Mul", [inner, square], [middle]),
        node("Add", [middle, graph.add_constant(c0)], [outer]),
        node("Mul", [outer, square], [sine]),
        node("Add", [source, sine], [result]),
    ]


# --- spectrum ---------------------------------------------------------------------------------


_ABOVE_ZERO = 1e-20
"""keeps the phase of a negative real number at +π, as in training, and 0/0 out of it"""


def _fourier_as_convolution(graph: _Graph) -> None:
    for node in graph.nodes:
        if node.op_type != "STFT" or _attributes(node).get("onesided", 1) != 1:
            continue
        step, window = graph.constant(node.input[1]), graph.constant(node.input[2])
        if step is None or window is None:
            continue
        length = len(window)
        bins = length // 2 + 1
        angles = 2 * np.pi * np.outer(np.arange(bins), np.arange(length)) / length
        waves = np.stack([np.cos(angles), -np.sin(angles)], axis=1) * window
        kernel = waves.reshape(2 * bins, 1, length).astype(np.float32)
        above_zero = np.full(2 * bins, _ABOVE_ZERO, np.float32)
        names = [graph.value(hint) for hint in ("signal", "spectrum", "pairs")]
        graph.replace(
            node,
            [
                helper.make_node(
                    "Reshape", [node.input[0], graph.add_constant(_ints(1, 1, -1))], [names[0]]
                ),
                helper.make_node(
                    "Conv",
                    [names[0], graph.add_constant(kernel), graph.add_constant(above_zero)],
                    [names[1]],
                    strides=[int(step)],
                ),
                helper.make_node(
                    "Reshape",
                    [names[1], graph.add_constant(_ints(1, bins, 2, -1))],
                    [names[2]],
                ),
                helper.make_node("Transpose", [names[2]], list(node.output), perm=[0, 3, 1, 2]),
            ],
        )
