"""Whisper's graphs and the beam search against CTranslate2's own, on a tiny model that CTranslate2
writes and reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import ctranslate2
import numpy as np
import onnx
import onnx.numpy_helper
import pytest
from ctranslate2.specs import WhisperSpec

from babblefish.engine import beam_search, ctranslate2_weights, whisper_graphs, whisper_model
from babblefish.engine.beam_search import Hypothesis
from babblefish.engine.whisper_model import Encoding, Prompted, Tokens, WhisperModel, condense

END, START = 50, 51
PROMPTS = ([START, 52, 54, 58], [START, 53, 55, 58])
BEAM = 5
FOLLOWING = ((1, 0), (1, 3))
"""heads that count as following the speech"""

WIDTH, INNER, VOCABULARY, STEPS, LENGTH = 64, 128, 60, 300, 120
SHAPES = {
    "conv1/weight": (WIDTH, 80, 3),
    "conv2/weight": (WIDTH, WIDTH, 3),
    "self_attention/linear_0/weight": (3 * WIDTH, WIDTH),
    "attention/linear_1/weight": (2 * WIDTH, WIDTH),
    "ffn/linear_0/weight": (INNER, WIDTH),
    "ffn/linear_1/weight": (WIDTH, INNER),
    "embeddings/weight": (VOCABULARY, WIDTH),
    "projection/weight": (VOCABULARY, WIDTH),
}
"""by the end of a name; other weights are square"""
SPECIAL = {
    END: "<|endoftext|>", START: "<|startoftranscript|>", 52: "<|a|>", 53: "<|b|>",
    54: "<|transcribe|>", 55: "<|translate|>", 56: "<|nospeech|>", 57: "<|startofprev|>",
    58: "<|notimestamps|>",
}  # fmt: skip


def fill(spec: WhisperSpec, random: np.random.Generator) -> None:
    """Weights large enough to be sure of something."""

    for name, value in spec.variables(ordered=True):
        if value is not None:
            continue
        layer = spec
        *path, last = name.split("/")
        for part in path:
            kind, _, number = part.rpartition("_")
            layer = layer.__dict__[part] if part in vars(layer) else vars(layer)[kind][int(number)]
        if last in ("gamma", "beta"):
            setattr(layer, last, np.full(WIDTH, float(last == "gamma"), np.float32))
            continue
        ends = [SHAPES[end] for end in SHAPES if f"/{name}".endswith(f"/{end}")]
        size = ends[0] if ends else (WIDTH, WIDTH)
        setattr(layer, last, random.normal(0, 0.3, size).astype(np.float32))
        if hasattr(layer, "bias") and "projection" not in name:
            layer.bias = random.normal(0, 0.1, size[0]).astype(np.float32)
    for part, length in ((spec.encoder, STEPS), (spec.decoder, LENGTH)):
        table = random.normal(0, 0.3, (length, WIDTH)).astype(np.float32)
        part.position_encodings.encodings = table
    spec.decoder.projection.weight = spec.decoder.embeddings.weight


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whisper") / "model"
    folder.mkdir()
    spec = WhisperSpec(2, 4, 2, 4)
    fill(spec, np.random.default_rng(3))
    spec.config.lang_ids, spec.config.suppress_ids_begin = [52, 53], []
    spec.config.suppress_ids, spec.config.alignment_heads = [], [list(h) for h in FOLLOWING]
    spec.register_vocabulary([SPECIAL.get(i, f"w{i}") for i in range(VOCABULARY)])
    spec.validate()
    spec.optimize(quantization="float32")
    spec.save(str(folder))
    return folder


def load(checkpoint: Path) -> WhisperModel:
    return WhisperModel(checkpoint / "model.bin", 1, 2 * BEAM, FOLLOWING)


@pytest.fixture(scope="module")
def rounded(checkpoint) -> WhisperModel:
    """As it is used: products in 8 bits."""
    return load(checkpoint)


@pytest.fixture(scope="module")
def model(checkpoint) -> WhisperModel:
    return load_exactly(checkpoint)


def load_exactly(checkpoint: Path) -> WhisperModel:
    """The same graphs with all products in 32 bits, so that they can be compared."""
    linear = whisper_graphs._Graph._linear
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            whisper_graphs._Graph,
            "_linear",
            lambda self, v, name, exact=True: linear(self, v, name, True),
        )
        return load(checkpoint)


@pytest.fixture(scope="module")
def reference(checkpoint) -> ctranslate2.models.Whisper:
    return ctranslate2.models.Whisper(str(checkpoint), device="cpu", compute_type="float32")


def features(seed: int, frames: int = 200) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (1, 80, frames)).astype(np.float32)


def tokens(*suppressed: int, first: tuple[int, ...] = ()) -> Tokens:
    masks = np.zeros((2, 1, VOCABULARY), np.float32)
    masks[:, 0, list(suppressed)] = -np.inf
    masks[1, 0, list(first)] = -np.inf
    return Tokens(END, masks[0], masks[1], np.zeros((1, VOCABULARY), np.float32))


def find(model: WhisperModel, clip: np.ndarray, which: Tokens, **options) -> list[Hypothesis]:
    return search(model, model.encode(clip, clip.shape[2]), PROMPTS, which, **options)


def search(
    model: WhisperModel, encoding: Encoding, prompts: Sequence[list[int]], which: Tokens,
    beam: int = BEAM, limit: int = 18, between: Callable[[], None] = lambda: None,
) -> list[Hypothesis]:  # fmt: skip
    writer = Prompted(model, encoding, prompts, which)
    limits = [writer.limit(limit)] * len(prompts)
    return beam_search.search(writer, limits, end=END, beam=beam, between=between)


def theirs(reference, clip: np.ndarray, prompt: list[int], never: list[int], beam: int = BEAM):
    encoded = reference.encode(ctranslate2.StorageView.from_array(clip))
    # it halves max_length
    return reference.generate(
        encoded, [prompt], beam_size=beam, max_length=36, suppress_tokens=never,
        suppress_blank=False, return_scores=True,
    )[0]  # fmt: skip


def test_the_weights_are_read_as_they_were_written(checkpoint):
    weights = ctranslate2_weights.read(checkpoint / "model.bin")
    spec = WhisperSpec(2, 4, 2, 4)
    fill(spec, np.random.default_rng(3))
    assert np.array_equal(weights["encoder/conv1/weight"], spec.encoder.conv1.weight)
    assert weights["decoder/projection/weight"] is weights["decoder/embeddings/weight"]
    assert int(weights["encoder/num_heads"]) == 4
    assert whisper_graphs.layers(weights, "encoder") == 2


@pytest.mark.parametrize(("exact", "levels"), [(True, 127), (False, 63)])
def test_weights_have_all_the_levels_that_the_processor_adds_up(
    checkpoint, monkeypatch, exact, levels
):
    monkeypatch.setattr(whisper_graphs, "adds_bytes_exactly", lambda: exact)
    graph = whisper_graphs.encoder(ctranslate2_weights.read(checkpoint / "model.bin")).graph
    bytes_ = [onnx.numpy_helper.to_array(c) for c in graph.initializer if "/weight" in c.name]
    assert {int(np.abs(b).max()) for b in bytes_ if b.dtype == np.int8} == {levels}


def logits(reference, clip: np.ndarray, prompt: list[int]) -> np.ndarray:
    """Of the token after the prompt, by CTranslate2."""
    encoded = reference.encode(ctranslate2.StorageView.from_array(clip))
    answer = reference.generate(
        encoded, [prompt], beam_size=1, max_length=12, suppress_tokens=[], suppress_blank=False,
        return_logits_vocab=True,
    )[0]  # fmt: skip
    return np.array(answer.logits[0][0]).ravel()


def scores(model: WhisperModel, clip: np.ndarray, prompt: list[int]) -> np.ndarray:
    step = model.begin(
        model.encode(clip, clip.shape[2]), np.array([prompt]), [3], tokens().suppressed
    )
    found = step.all_scores.numpy()[0]
    assert step.best_tokens[0, 0] == np.argmax(found)
    assert (np.diff(step.best_scores) <= 0).all()
    assert np.exp(found).sum() == pytest.approx(1.0, abs=1e-3)
    return found


@pytest.mark.parametrize("frames", [120, 200, 600])
@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_next_token_is_as_likely_as_in_ctranslate2(model, rounded, reference, frames, prompt):
    clip = features(frames, frames)
    expected = logits(reference, clip, prompt)
    found = scores(model, clip, prompt)
    assert found - found.max() == pytest.approx(expected - expected.max(), abs=0.01)
    assert np.corrcoef(scores(rounded, clip, prompt), expected)[0, 1] > 0.97


@pytest.mark.parametrize("beam", [1, 2, 5])
def test_the_search_finds_what_ctranslate2_finds(model, reference, monkeypatch, beam):
    """Two prompts at once find what each finds alone there, which goes on in loops."""
    monkeypatch.setattr(beam_search, "_loops", lambda tokens: False)
    never = [*range(8, END), *range(END + 1, VOCABULARY)]
    complete = 0
    for seed in range(20):
        clip = features(seed)
        for prompt, mine in zip(PROMPTS, find(model, clip, tokens(*never), beam=beam), strict=True):
            other = theirs(reference, clip, prompt, never, beam)
            assert mine.tokens == other.sequences_ids[0]
            assert mine.score == pytest.approx(other.scores[0], abs=0.001)
            complete += mine.complete
    assert complete >= 2


def test_searches_together_are_searches_alone(model):
    clip, which = features(1), tokens()
    encoding = model.encode(clip, clip.shape[2])
    together = search(model, encoding, PROMPTS, which, beam=5, limit=12)
    alone = [search(model, encoding, [prompt], which, beam=5, limit=12)[0] for prompt in PROMPTS]
    assert [h.tokens for h in together] == [h.tokens for h in alone]
    assert together[0].score == pytest.approx(alone[0].score, abs=0.05)


def test_tokens_that_no_text_contains_never_come(model):
    free = find(model, features(2), tokens())[0].tokens
    banned = free[0]
    assert banned not in find(model, features(2), tokens(banned))[0].tokens
    later = find(model, features(2), tokens(first=(banned, END)))[0].tokens
    assert later and later[0] != banned


def test_a_search_ends_at_its_limit_and_in_a_loop(model):
    without_end = tokens(END)
    (found, _) = find(model, features(3), without_end, limit=7)
    assert len(found.tokens) == 7 and not found.complete
    only = next(i for i in range(50) if i != END)
    monotone = tokens(*(i for i in range(VOCABULARY) if i != only))
    (found, _) = find(model, features(3), monotone, limit=50)
    assert not found.complete and len(found.tokens) == 24


@pytest.mark.parametrize(
    "said, loops",
    [
        ((5,) * 24, True),
        ((1, 2) + (3, 4, 5, 6) * 6, True),
        ((5,) * 12, False),
        ((5,) * 30 + (1, 2, 3), False),
        (tuple(range(40)), False),
    ],
)
def test_what_counts_as_a_loop(said, loops):
    """People repeat a word a dozen times and go on."""
    assert beam_search._loops(said) == loops


def test_no_hypothesis_outgrows_the_model(model, monkeypatch):
    monkeypatch.setattr(beam_search, "_loops", lambda tokens: False)
    (found, _) = find(model, features(4), tokens(END, 1, 2), beam=1, limit=1000)
    assert len(found.tokens) == model.longest // 2


def test_a_search_can_be_given_up(model):
    asked = iter([None, None, RuntimeError("enough")])

    def between() -> None:
        if error := next(asked):
            raise error

    with pytest.raises(RuntimeError, match="enough"):
        find(model, features(5), tokens(END), between=between)


@pytest.mark.parametrize("damage", ["empty", "other version", "truncated", "another model"])
def test_what_is_no_whisper_is_refused(checkpoint, tmp_path, damage):
    data = (checkpoint / "model.bin").read_bytes()
    path = tmp_path / "model.bin"
    path.write_bytes(
        {
            "empty": b"",
            "other version": (99).to_bytes(4, "little") + data[4:],
            "truncated": data[: len(data) // 2],
            "another model": data.replace(b"encoder/conv1", b"encoder/conv9"),
        }[damage]
    )
    with pytest.raises(ValueError):
        WhisperModel(path, threads=1, best=10)


# --- silence that is not computed -------------------------------------------------------------


@pytest.mark.parametrize("steps, window", [(10, 600), (215, 600), (560, 600), (599, 600)])
def test_every_step_of_the_window_is_stood_for(steps, window):
    columns, positions, bias = condense(steps, window)
    assert len(columns) == len(positions) == len(bias) <= window
    assert np.exp(bias).sum() == pytest.approx(window, rel=1e-5)
    known = steps - 2
    assert np.array_equal(positions[:known], np.arange(known)) and not bias[:known].any()
    assert np.array_equal(columns[:known], np.arange(known)) and set(columns[known:]) == {known}
    assert positions[-1] == window - 1 and (np.diff(positions) > 0).all()


def test_a_sentence_takes_less_than_half_of_the_steps_and_a_full_window_all():
    assert len(condense(215, 600)[0]) < 0.45 * 600
    columns, positions, bias = condense(600, 600)
    assert np.array_equal(columns, np.arange(600)) and np.array_equal(positions, columns)
    assert not bias.any()


def test_what_stands_for_silence_weighs_as_much_as_the_silence(checkpoint, monkeypatch):
    """Where silence is the same everywhere, nothing at all may change."""
    read = ctranslate2_weights.read

    def without_positions(path: Path) -> dict[str, np.ndarray]:
        weights = dict(read(path))
        weights["encoder/position_encodings/encodings"] = np.zeros((STEPS, WIDTH), np.float32)
        return weights

    monkeypatch.setattr(ctranslate2_weights, "read", without_positions)
    model = load_exactly(checkpoint)
    clip = features(1, frames=100)
    clip[:, :, 70:] = -1.0
    encodings = [model.encode(clip, 500)]
    monkeypatch.setattr(whisper_model, "_SILENCE_LEAST", 1000)
    encodings.append(model.encode(clip, 500))
    assert [len(encoding.bias) for encoding in encodings] == [48 + 48, 250]
    for name, value in encodings[0].keys_values.items():
        everything = encodings[1].keys_values[name].numpy()
        assert np.allclose(value.numpy()[:, :, :48], everything[:, :, :48], atol=1e-4)
    short, whole = (search(model, e, PROMPTS, tokens(), limit=18) for e in encodings)
    assert [h.tokens for h in short] == [h.tokens for h in whole]
    assert [h.score for h in short] == pytest.approx([h.score for h in whole], abs=1e-3)


TEXT = [3, 14, 15, 9, 26, 5, 35, 8, 9, 7, 9]


def test_reading_a_text_a_few_tokens_at_a_time_changes_nothing(model, monkeypatch):
    encoding = model.encode(features(8), 200)
    whole = model.read(encoding, PROMPTS[0], TEXT, tokens())
    assert whole.attention.shape[:2] == (len(FOLLOWING), len(TEXT) + 1)
    assert whole.attention.sum(axis=2) == pytest.approx(1.0, abs=1e-4)
    monkeypatch.setattr(whisper_model, "_READ_AT_ONCE", 6)
    pieces = model.read(encoding, PROMPTS[0], TEXT, tokens())
    for name in ("scores", "end_scores", "attention"):
        assert getattr(pieces, name) == pytest.approx(getattr(whole, name), abs=1e-3)
    step = model.begin(encoding, np.array([[*PROMPTS[0], *TEXT[:4]]]), [7], tokens().allowed)
    assert whole.scores[4] == pytest.approx(step.scores()[0, TEXT[4]], abs=1e-3)
    assert whole.end_scores[4] == pytest.approx(step.scores()[0, END], abs=1e-3)


def test_without_a_list_the_upper_half_of_the_layers_follows_the_speech(checkpoint):
    for unknown in ((), ((7, 0),)):
        found = WhisperModel(checkpoint / "model.bin", 1, 2 * BEAM, unknown)
        reading = found.read(found.encode(features(8), 200), PROMPTS[0], TEXT, tokens())
        assert len(reading.attention) == 4, "all heads of the second of two layers"
