"""The rewritten graph says the same: each rewrite on a small graph, all of them on Kokoro."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from faster_whisper.feature_extractor import FeatureExtractor
from kokoro_onnx.config import DEFAULT_VOCAB
from onnx import TensorProto, helper, numpy_helper

from babblefish.engine.kokoro import FRAME, RATE
from babblefish.engine.kokoro_graph import WINDOW_INPUT, optimise
from babblefish.engine.phonemes import Phonemiser

_RANDOM = np.random.default_rng(5)
DURATIONS = np.array([4, 3, 2, 5, 6], np.int64)
EVERYTHING = np.array([1000, len(DURATIONS) - 1, 1000], np.int64)


class Sketch:
    """Operators one after the other; ``model()`` puts a duration predictor beside them."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, kind: str, *inputs: Any, to: str = "", outputs: int = 1, **attributes) -> Any:
        names = [to] if to else [f"{kind}{len(self.nodes)}.{i}" for i in range(outputs)]
        read = [i if isinstance(i, str) else self.constant(np.asarray(i)) for i in inputs]
        self.nodes.append(helper.make_node(kind, read, names, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, value: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(value, f"constant{len(self.constants)}"))
        return self.constants[-1].name

    def model(self, **outputs: int) -> onnx.ModelProto:
        """outputs: name=number of dimensions, besides those of the duration predictor"""
        ends = self.add("CumSum", "tokens", np.int64(0), to="/encoder/CumSum_output_0")
        frames = self.add("Gather", ends, np.int64(-1))
        count = self.add("Range", np.int64(0), frames, np.int64(1))
        self.add("Reshape", count, np.array([1, 1, -1]), to="/encoder/MatMul_1_output_0")
        double = self.add("Mul", frames, np.int64(2))
        count = self.add("Range", np.int64(0), double, np.int64(1))
        for name in ("/encoder/Reshape_output_0", "/encoder/Reshape_1_output_0"):
            self.add("Reshape", count, np.array([1, -1]), to=name)
        self.add("Identity", "/encoder/MatMul_1_output_0", to="text")
        self.add("Identity", "/encoder/Reshape_output_0", to="pitch")
        self.add("Identity", "/encoder/Reshape_1_output_0", to="energy")
        whole, real = TensorProto.INT64, TensorProto.FLOAT
        results = [("text", whole, 3), ("pitch", whole, 2), ("energy", whole, 2)]
        results += [(name, real, dimensions) for name, dimensions in outputs.items()]
        graph = helper.make_graph(
            self.nodes,
            "sketch",
            [
                helper.make_tensor_value_info("tokens", whole, ["n"]),
                helper.make_tensor_value_info("x", real, [1, "c", "t"]),
            ],
            [helper.make_tensor_value_info(n, kind, [None] * size) for n, kind, size in results],
            self.constants,
        )
        sets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=sets, ir_version=9)


def run(model: onnx.ModelProto, x: np.ndarray | None = None, window=None) -> dict[str, np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    inputs = {"tokens": DURATIONS, "x": np.zeros((1, 1, 1), np.float32) if x is None else x}
    if any(i.name == WINDOW_INPUT for i in session.get_inputs()):
        inputs[WINDOW_INPUT] = EVERYTHING if window is None else np.array(window, np.int64)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, map(np.asarray, session.run(names, inputs)), strict=True))


def kinds(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


# --- window -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "first", "last"),
    [
        ((1000, 4, 1000), 0, 20),
        ((5, 4, 1000), 0, 20),
        ((0, 3, 0), 4, 14),
        ((1, 3, 2), 3, 16),
        ((4, 2, 100), 0, 20),
        ((2, 4, 5), 2, 20),
    ],
)
def test_only_the_frames_asked_for_are_decoded(window, first, last):
    """Frames from ``lead`` before the end of the first token to ``tail`` after the anchor's."""
    got = run(optimise(Sketch().model()), window=window)
    assert got["text"].ravel().tolist() == list(range(first, last))
    for curve in ("pitch", "energy"):
        assert got[curve].ravel().tolist() == list(range(2 * first, 2 * last)), curve


def test_the_model_that_is_given_stays_as_it_is():
    model = Sketch().model()
    before = model.SerializeToString()
    assert optimise(model).SerializeToString() != before
    assert model.SerializeToString() == before


@pytest.mark.parametrize("missing", ["CumSum", "MatMul_1", "Reshape_1"])
def test_a_graph_that_is_not_kokoro_is_refused(missing):
    model = Sketch().model()
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [name.replace(f"/encoder/{missing}_", "/other/") for name in names]
    with pytest.raises(ValueError, match="duration predictor"):
        optimise(model)


# --- patterns ---------------------------------------------------------------------------------


def snake(sketch: Sketch, exponent: float = 2.0) -> dict[str, int]:
    alpha = _RANDOM.uniform(0.3, 4.0, (1, 8, 1)).astype(np.float32)
    sine = sketch.add("Sin", sketch.add("Mul", alpha, "x"))
    power = sketch.add("Pow", sine, np.float32(exponent))
    sketch.add("Add", "x", sketch.add("Mul", 1 / alpha, power), to="y")
    return {"y": 3}


def normalisation(sketch: Sketch, axis: int = 2, squared: bool = True) -> dict[str, int]:
    gamma, beta = (_RANDOM.normal(1, 0.5, (1, 8, 1)).astype(np.float32) for _ in range(2))
    mean = sketch.add("ReduceMean", "x", np.array([axis]), keepdims=1)
    centred = sketch.add("Sub", "x", mean)
    square = sketch.add("Mul", centred, centred if squared else "x")
    variance = sketch.add("ReduceMean", square, np.array([axis]), keepdims=1)
    root = sketch.add("Sqrt", sketch.add("Add", variance, np.float32(1e-5)))
    scaled = sketch.add("Mul", gamma, sketch.add("Div", centred, root))
    sketch.add("Add", scaled, beta, to="y")
    return {"y": 3}


def convolution(
    sketch: Sketch, channels: int = 16, taps: int = 3, bias: bool = True, **attributes: Any
) -> dict[str, int]:
    groups = attributes.get("group", 1)
    weights = _RANDOM.integers(0, 256, (channels, 8 // groups, taps)).astype(np.uint8)
    share = np.float32(0.01)
    bytes_, scale, zero = sketch.add("DynamicQuantizeLinear", "x", outputs=3)
    product = sketch.add("ConvInteger", bytes_, weights, zero, np.uint8(120), **attributes)
    scales = sketch.add("Mul", scale, share)
    if bias:
        values = _RANDOM.normal(0, 1, channels).astype(np.float32)
        steps = sketch.add("Floor", sketch.add("Div", values, scales))
        whole = _cast(sketch, steps, np.int32)
        column = sketch.add("Reshape", whole, np.array([1, -1, 1]))
        product = sketch.add("Add", product, column)
    sketch.add("Mul", _cast(sketch, product, np.float32), scales, to="y")
    return {"y": 3}


def spectrum(sketch: Sketch, onesided: int = 1) -> dict[str, int]:
    signal = sketch.add("Reshape", "x", np.array([1, -1]))
    window = np.hanning(20).astype(np.float32)
    sketch.add("STFT", signal, np.int64(5), window, np.int64(20), to="y", onesided=onesided)
    return {"y": 4}


def _cast(sketch: Sketch, source: str, kind: type) -> str:
    name = f"cast{len(sketch.nodes)}"
    to = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    sketch.nodes.append(helper.make_node("Cast", [source], [name], to=to))
    return name


def both(pattern: Callable[..., dict[str, int]], **options: Any) -> list[onnx.ModelProto]:
    sketch = Sketch()
    model = sketch.model(**pattern(sketch, **options))
    return [model, optimise(model)]


X = _RANDOM.normal(0, 2, (1, 8, 40)).astype(np.float32)


@pytest.mark.parametrize(
    ("pattern", "options", "slow", "tolerance"),
    [
        (snake, {}, "Sin", 0.004),
        (normalisation, {}, "ReduceMean", 1e-4),
        (spectrum, {}, "STFT", 1e-4),
        (convolution, {}, "ConvInteger", 1e-3),
        (convolution, {"bias": False}, "ConvInteger", 1e-3),
        (convolution, {"taps": 1}, "ConvInteger", 1e-3),
        (convolution, {"pads": [1, 1]}, "ConvInteger", 1e-3),
        (convolution, {"taps": 5, "dilations": [3], "pads": [6, 6]}, "ConvInteger", 1e-3),
    ],
)
def test_a_pattern_is_replaced_by_an_equal_one(pattern, options, slow, tolerance):
    original, faster = both(pattern, **options)
    assert slow in kinds(original) and slow not in kinds(faster)
    want, got = (run(model, X)["y"] for model in (original, faster))
    assert got.shape == want.shape
    step = 0.01 * (X.max() - X.min()) / 255 if pattern is convolution else 0.0
    assert np.abs(got - want).max() <= tolerance + step


@pytest.mark.parametrize(
    ("pattern", "options", "kept"),
    [
        (snake, {"exponent": 3.0}, "Sin"),
        (normalisation, {"axis": 1}, "ReduceMean"),
        (normalisation, {"squared": False}, "ReduceMean"),
        (spectrum, {"onesided": 0}, "STFT"),
        (convolution, {"channels": 8}, "ConvInteger"),
        (convolution, {"strides": [2]}, "ConvInteger"),
        (convolution, {"group": 2}, "ConvInteger"),
    ],
)
def test_what_only_looks_like_a_pattern_is_left_alone(pattern, options, kept):
    original, faster = both(pattern, **options)
    assert kinds(original).count(kept) == kinds(faster).count(kept) > 0
    want, got = (run(model, X)["y"] for model in (original, faster))
    assert np.array_equal(got, want)


# --- Kokoro -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kokoro(weights_dir) -> onnx.ModelProto:
    return onnx.load(str(weights_dir / "kokoro" / "model.onnx"))


@pytest.fixture(scope="module")
def faster(kokoro) -> onnx.ModelProto:
    return optimise(kokoro)


@pytest.fixture(scope="module")
def sessions(kokoro, faster) -> list[onnxruntime.InferenceSession]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    options.log_severity_level = 4
    options.enable_mem_reuse = False
    return [
        onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        for model in (kokoro, faster)
    ]


def test_every_kind_of_rewrite_finds_its_places_in_kokoro(kokoro, faster):
    before, after = kinds(kokoro), kinds(faster)
    assert before.count("ConvInteger") - after.count("ConvInteger") >= 80
    assert after.count("InstanceNormalization") >= 60
    assert before.count("Sin") - after.count("Sin") >= 45
    assert "STFT" in before and "STFT" not in after


def inputs(weights_dir, text: str, language: str, voice: str, speed: float) -> dict:
    tokens = [DEFAULT_VOCAB[p] for p in Phonemiser().phonemes(text, language) if p in DEFAULT_VOCAB]
    return {
        "tokens": np.array([[0, *tokens, 0]], np.int64),
        "style": np.load(weights_dir / "kokoro" / "voices.npz")[voice][len(tokens) - 1],
        "speed": np.array([speed], np.float32),
    }


def speak(session: onnxruntime.InferenceSession, given: dict, window=None) -> np.ndarray:
    extra = {} if window is None else {WINDOW_INPUT: np.array(window, np.int64)}
    return np.asarray(session.run(["audio"], {**given, **extra})[0]).ravel()


def log_mel(samples: np.ndarray) -> np.ndarray:
    """(frames, 80) in bels, nothing below a millionth"""
    filters = FeatureExtractor.get_mel_filters(RATE, 1024, 80).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(samples, 512), 1024)[::300]
    power = np.abs(np.fft.rfft(frames * np.hanning(1024), axis=1)) ** 2
    return np.log10(np.maximum(power @ filters.T, 1e-6))


@pytest.mark.parametrize(
    ("text", "language", "voice", "speed"),
    [
        ("Good morning.", "en", "af_heart", 1.0),
        ("It costs 25 euros.", "en", "bm_george", 1.4),
        ("Bonjour à tous.", "fr", "ff_siwis", 0.9),
    ],
)
def test_the_faster_kokoro_sounds_like_the_original(
    sessions, weights_dir, text, language, voice, speed
):
    plain, fast = sessions
    given = inputs(weights_dir, text, language, voice, speed)
    tokens = given["tokens"].shape[1]
    want = speak(plain, given)
    got = speak(fast, given, (10_000, tokens - 1, 10_000))
    assert len(got) == len(want)
    assert np.abs(log_mel(got) - log_mel(want)).mean() < 0.15, "bels; another voice is 0.5 away"


def test_a_window_leaves_the_speech_inside_as_it_was(sessions, weights_dir):
    given = inputs(weights_dir, "Good morning.", "en", "af_heart", 1.0)
    last = given["tokens"].shape[1] - 1
    whole = speak(sessions[1], given, (10_000, last, 10_000))
    part = speak(sessions[1], given, (6, last - 1, 11))
    assert len(part) % FRAME == 0 and len(part) < len(whole) - 4 * FRAME
    lines, want = log_mel(part), log_mel(whole)
    shifts = range(len(want) - len(lines) + 1)
    inner = slice(8, len(lines) - 8)
    apart = [np.abs(want[s : s + len(lines)][inner] - lines[inner]).mean() for s in shifts]
    assert min(apart) < 0.4
