"""Whisper as two onnxruntime graphs, made from the weights of a CTranslate2 model.

The first encodes a clip, as far as the keys and values that decoding attends to. The second takes
one step of any number of hypotheses about it, in any language and task, all at once: its weights
pass through the processor once a step, whatever the number of hypotheses, and nothing about the
clip is computed twice.

Weights in, models out: knows no audio, no tokens and no search. Products are in 8 bits, with one
scale for each column of the weights and one for all that they are multiplied with. So results
depend a little on the processor and on what is computed beside them; transcripts of real speech
were no worse for it than CTranslate2's in 8 bits (bench/RESULTS.md).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from babblefish.engine.processor import adds_bytes_exactly

_LEVELS = {True: 127, False: 63}
"""of 8-bit weights, by whether the processor adds products of such numbers exactly"""
_EPSILON = 1e-5
_MICROSOFT = "com.microsoft"


def encoder(weights: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """``features`` float32 (1, mels, frames) → for each layer n of the decoder ``keys_n`` and
    ``values_n``, float32 (1, heads, steps, width / heads).

    Frames come in pairs; ``columns`` int64 (steps,) says which pair each step takes, ``positions``
    int64 (steps,) where in Whisper's window it stands, and ``bias`` float32 (1, 1, steps, steps) is
    added to the logits of attention.

    weights: as a CTranslate2 model of Whisper names them. Raises ValueError when some are missing.
    """
    with _complete():
        return _Encoder(weights).model()


def decoder(
    weights: Mapping[str, np.ndarray], best: int, watched: Collection[int] = ()
) -> onnx.ModelProto:
    """One step of b hypotheses, each longer by n tokens.

    Inputs: ``embedded`` float32 (b, n, width), ``beams`` int64 (b,), which of the hypotheses of the
    step before each continues; ``past_keys_n`` and ``past_values_n`` float32 (before, heads, past,
    width / heads) of that step, ``keys_n`` and ``values_n`` of the encoder, ``rows`` int64 (r,),
    which of the b·n positions matter, ``mask`` float32 (1 or r, vocabulary), added to the logits,
    ``clip_bias`` float32 (1, 1, b·n, steps), added to those of attention to the clip.
    Outputs: ``scores`` float32 (r, vocabulary), logarithms of probabilities; ``best_scores`` and
    ``best_tokens`` (r, best); ``new_keys_n`` and ``new_values_n`` (b, heads, past + n, …); of each
    layer n of ``watched`` ``queries_n`` (b, n, width), with which it asks the clip.

    Raises ValueError when weights are missing.
    """
    with _complete():
        return _Decoder(weights, best, watched).model()


def layers(weights: Mapping[str, np.ndarray], part: str) -> int:
    """How many layers the "encoder" or "decoder" has."""
    parts = {name.split("/")[1] for name in weights if name.startswith(f"{part}/layer_")}
    return len(parts - {"layer_norm"})


@contextmanager
def _complete() -> Iterator[None]:
    try:
        yield
    except KeyError as error:
        raise ValueError(f"These are no weights of Whisper: {error} is missing.") from error


class _Graph:
    """A graph that is being written. Methods add operators and return the name of the result."""

    part = ""

    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        self._weights = weights
        self._heads = int(weights[f"{self.part}/num_heads"])
        self._layers = layers(weights, self.part)
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def _model(
        self, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        made = helper.make_graph(
            self._nodes, self.part, inputs, outputs, list(self._constants.values())
        )
        operators = [helper.make_opsetid("", 20), helper.make_opsetid(_MICROSOFT, 1)]
        return helper.make_model(made, opset_imports=operators, ir_version=9)

    def _normalise(self, value: str, name: str) -> str:
        inputs = [value, self._constant(f"{name}/gamma"), self._constant(f"{name}/beta")]
        return self._node("LayerNormalization", inputs, axis=-1, epsilon=_EPSILON)

    def _feed_forward(self, value: str, layer: str, exact: bool = False) -> str:
        """exact: the last product in 32 bits."""
        normal = self._normalise(value, f"{layer}/ffn/layer_norm")
        inner = self._node("Gelu", [self._linear(normal, f"{layer}/ffn/linear_0")])
        return self._node("Add", [value, self._linear(inner, f"{layer}/ffn/linear_1", exact)])

    def _linear(self, value: str, name: str, exact: bool = False) -> str:
        weight = self._weight(f"{name}/weight").T
        bias = self._constant(f"{name}/bias") if self._has(f"{name}/bias") else ""
        if exact:
            product = self._node("MatMul", [value, self._constant(f"{name}/weight", weight)])
            return self._node("Add", [product, bias]) if bias else product
        scale = np.maximum(np.abs(weight).max(axis=0), 1e-9) / _LEVELS[adds_bytes_exactly()]
        inputs = [
            value,
            self._constant(f"{name}/weight", np.rint(weight / scale).astype(np.int8)),
            self._constant(f"{name}/scale", scale),
            self._constant(f"{name}/zero", np.zeros(len(scale), np.int8)),
        ]
        return self._node("DynamicQuantizeMatMul", [*inputs, bias], _MICROSOFT)

    def _split(self, value: str, *names: str) -> list[str]:
        """``value`` in equal parts along its last axis."""
        self._nodes.append(
            helper.make_node("Split", [value], names, axis=-1, num_outputs=len(names))
        )
        return list(names)

    def _attend(self, inputs: list[str], bias: str = "", **attributes) -> str:
        """inputs: queries, keys and values, or all that the operator takes; bias: see there."""
        if bias:
            inputs = [*inputs, "", "", bias]
        return self._node("MultiHeadAttention", inputs, num_heads=self._heads, **attributes)

    def _has(self, name: str) -> bool:
        return f"{self.part}/{name}" in self._weights

    def _weight(self, name: str) -> np.ndarray:
        weight = self._weights[f"{self.part}/{name}"]
        if weight.dtype.kind != "f":
            raise ValueError(
                f"{name} is quantised already. Convert the model with float16 weights."
            )
        return weight.astype(np.float32)

    def _constant(self, name: str, value: np.ndarray | None = None) -> str:
        """value: the weights of that name where None."""
        if name not in self._constants:
            array = self._weight(name) if value is None else value
            self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def _integers(self, *values: int) -> str:
        return self._constant(f"integers {values}", np.array(values, np.int64))

    def _node(self, operator: str, inputs: list[str], domain: str = "", **attributes) -> str:
        domain = _MICROSOFT if operator == "MultiHeadAttention" else domain
        outputs = attributes.pop("outputs", None) or [f"{operator} {len(self._nodes)}"]
        self._nodes.append(helper.make_node(operator, inputs, outputs, domain=domain, **attributes))
        return outputs[0]


class _Encoder(_Graph):
    part = "encoder"

    def model(self) -> onnx.ModelProto:
        mels = self._weight("conv1/weight").shape[1]
        value = self._convolve("features", "conv1", stride=1)
        value = self._convolve(value, "conv2", stride=2)
        value = self._add_positions(self._node("Transpose", [value], perm=[0, 2, 1]))
        for number in range(self._layers):
            # outliers before the last product of the later layers do not fit into 8 bits
            value = self._layer(value, f"layer_{number}", exact=number >= self._layers // 2)
        encoding = self._normalise(value, "layer_norm")
        outputs = _CrossAttention(self, self._weights, encoding).outputs()
        inputs = [
            _floats("features", 1, mels, "frames"),
            _integers("columns", "steps"),
            _integers("positions", "steps"),
            _floats("bias", 1, 1, "steps", "steps"),
        ]
        return self._model(inputs, outputs)

    def _layer(self, value: str, layer: str, exact: bool) -> str:
        attention = f"{layer}/self_attention"
        mixed = self._linear(
            self._normalise(value, f"{attention}/layer_norm"), f"{attention}/linear_0"
        )
        names = (f"{attention}/{part}" for part in ("queries", "keys", "values"))
        attended = self._attend(self._split(mixed, *names), "bias")
        value = self._node("Add", [value, self._linear(attended, f"{attention}/linear_1")])
        return self._feed_forward(value, layer, exact)

    def _convolve(self, value: str, name: str, stride: int) -> str:
        inputs = [value, self._constant(f"{name}/weight"), self._constant(f"{name}/bias")]
        made = self._node("Conv", inputs, kernel_shape=[3], pads=[1, 1], strides=[stride])
        return self._node("Gelu", [made])

    def _add_positions(self, value: str) -> str:
        chosen = self._node("Gather", [value, "columns"], axis=1)
        known = self._constant("position_encodings/encodings")
        return self._node("Add", [chosen, self._node("Gather", [known, "positions"], axis=0)])


class _CrossAttention(_Graph):
    """Keys and values that the decoder makes of an encoding, written into the encoder's graph."""

    part = "decoder"

    def __init__(self, graph: _Graph, weights: Mapping[str, np.ndarray], encoding: str) -> None:
        super().__init__(weights)
        self._nodes, self._constants, self._encoding = graph._nodes, graph._constants, encoding

    def outputs(self) -> list[onnx.ValueInfoProto]:
        made = []
        for number in range(self._layers):
            attention = f"layer_{number}/attention"
            both = self._linear(self._encoding, f"{attention}/linear_1")
            parts = self._split(both, f"{attention}/keys", f"{attention}/values")
            for part, name in zip(parts, (f"keys_{number}", f"values_{number}"), strict=True):
                shape = self._integers(0, 0, self._heads, -1)
                heads = self._node("Reshape", [part, shape])
                self._node("Transpose", [heads], perm=[0, 2, 1, 3], outputs=[name])
                made.append(_floats(name, 1, self._heads, "steps", "size"))
        return made


class _Decoder(_Graph):
    part = "decoder"

    def __init__(
        self, weights: Mapping[str, np.ndarray], best: int, watched: Collection[int]
    ) -> None:
        super().__init__(weights)
        self._best, self._watched = best, sorted(watched)
        self._width = self._weight("layer_norm/gamma").shape[0]

    def model(self) -> onnx.ModelProto:
        value = "embedded"
        for number in range(self._layers):
            value = self._attend_to_itself(value, number)
            value = self._attend_to_the_clip(value, number)
            value = self._feed_forward(value, f"layer_{number}")
        normal = self._normalise(value, "layer_norm")
        flat = self._node("Reshape", [normal, self._integers(-1, self._width)])
        chosen = self._node("Gather", [flat, "rows"], axis=0)
        logits = self._node("Add", [self._linear(chosen, "projection"), "mask"])
        self._node("LogSoftmax", [logits], axis=-1, outputs=["scores"])
        best = ["best_scores", "best_tokens"]
        self._node("TopK", ["scores", self._integers(self._best)], axis=-1, outputs=best)
        return self._model(self._inputs(), self._outputs())

    def _attend_to_itself(self, value: str, number: int) -> str:
        attention = f"layer_{number}/self_attention"
        mixed = self._linear(
            self._normalise(value, f"{attention}/layer_norm"), f"{attention}/linear_0"
        )
        names = (f"{attention}/{part}" for part in ("queries", "keys", "values"))
        past = [
            self._node("Gather", [f"past_{kind}_{number}", "beams"], axis=0)
            for kind in ("keys", "values")
        ]
        inputs = [*self._split(mixed, *names), "", "", "", *past]
        outputs = [f"{attention}/attended", f"new_keys_{number}", f"new_values_{number}"]
        attended = self._attend(inputs, outputs=outputs, unidirectional=1)
        return self._node("Add", [value, self._linear(attended, f"{attention}/linear_1")])

    def _attend_to_the_clip(self, value: str, number: int) -> str:
        """All positions of all hypotheses as so many queries about one clip."""
        attention = f"layer_{number}/attention"
        queries = self._linear(
            self._normalise(value, f"{attention}/layer_norm"), f"{attention}/linear_0"
        )
        if number in self._watched:
            self._node("Identity", [queries], outputs=[f"queries_{number}"])
        together = self._node("Reshape", [queries, self._integers(1, -1, self._width)])
        attended = self._attend([together, f"keys_{number}", f"values_{number}"], "clip_bias")
        apart = self._node("Reshape", [attended, self._node("Shape", [value])])
        return self._node("Add", [value, self._linear(apart, f"{attention}/linear_2")])

    def _inputs(self) -> list[onnx.ValueInfoProto]:
        inputs = [
            _floats("embedded", "hypotheses", "tokens", self._width),
            _floats("mask", "masks", "vocabulary"),
            _floats("clip_bias", 1, 1, "queries", "steps"),
            _integers("beams", "hypotheses"),
            _integers("rows", "rows"),
        ]
        size = self._width // self._heads
        for number in range(self._layers):
            for kind in ("keys", "values"):
                inputs.append(_floats(f"{kind}_{number}", 1, self._heads, "steps", size))
                past = _floats(f"past_{kind}_{number}", "before", self._heads, "past", size)
                inputs.append(past)
        return inputs

    def _outputs(self) -> list[onnx.ValueInfoProto]:
        size = self._width // self._heads
        outputs = [
            _floats("scores", "rows", "vocabulary"),
            _floats("best_scores", "rows", self._best),
            _integers("best_tokens", "rows", self._best),
        ]
        for number in range(self._layers):
            for kind in ("keys", "values"):
                name = f"new_{kind}_{number}"
                outputs.append(_floats(name, "hypotheses", self._heads, "length", size))
        outputs += [
            _floats(f"queries_{number}", "hypotheses", "tokens", self._width)
            for number in self._watched
        ]
        return outputs


def _floats(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _integers(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.INT64, shape)
