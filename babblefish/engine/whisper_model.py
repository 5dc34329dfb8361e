"""Whisper's networks: a clip's features in, probabilities of the next tokens out.

Whisper wants a clip at the beginning of a window of silence, and misreads it in a narrow one. Most
of that silence is not computed here: its last part is attended to as if it were all of it, which
leaves less than half of the work for a sentence. Measured in bench/RESULTS.md.

Knows neither text nor audio nor how hypotheses are chosen (``beam_search.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from onnxruntime import OrtValue

from babblefish.engine import ctranslate2_weights, interruption, whisper_graphs
from babblefish.engine.onnx_session import OnnxSession

_SILENCE_KEPT = 1 / 8
"""of the silence after what was given"""
_SILENCE_LEAST = 48
"""steps of it, 20 ms each, as far as there are so many"""
_READ_AT_ONCE = 64
"""tokens of a given text that take one step: what it makes of all of them at once is large"""


@dataclass(frozen=True, slots=True)
class Encoding:
    """A clip as the decoder attends to it."""

    keys_values: dict[str, OrtValue]
    bias: np.ndarray
    """float32 (steps,): logarithm of how many steps of the window each of them stands for"""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What decoding must know of the vocabulary."""

    end: int
    suppressed: np.ndarray
    """float32 (1, vocabulary): 0, or minus infinity for a token that no text contains"""
    suppressed_first: np.ndarray
    """the same for the beginning of a text"""
    allowed: np.ndarray
    """the same for a text that was written by others: minus infinity for what is no text"""


@dataclass(frozen=True, slots=True)
class Step:
    """What the decoder made of the tokens it was given."""

    best_scores: np.ndarray
    """float32 (rows, best), falling: logarithms of probabilities"""
    best_tokens: np.ndarray
    """int64 (rows, best)"""
    all_scores: OrtValue
    """float32 (rows, vocabulary)"""
    past: dict[str, OrtValue]
    length: int
    """tokens of each hypothesis so far"""

    queries: dict[str, OrtValue]
    """float32 (hypotheses, tokens, width) of each layer watched, where they were asked for"""

    def scores(self) -> np.ndarray:
        """float32 (rows, vocabulary)"""
        return self.all_scores.numpy()


@dataclass(frozen=True, slots=True)
class Reading:
    """What the model makes of a text that it is given, about a clip."""

    scores: np.ndarray
    """float32 (tokens,): logarithm of the probability of each, after those before it"""
    end_scores: np.ndarray
    """float32 (tokens + 1,): that the text ends before the first token, before the second …"""
    attention: np.ndarray
    """float32 (heads, tokens + 1, steps): where each head that was asked for looks for each token,
    and for the end; rows sum to 1"""


class WhisperModel:
    """Not thread-safe."""

    def __init__(
        self, path: Path, threads: int, best: int, following: Sequence[tuple[int, int]] = ()
    ) -> None:
        """path: a model.bin of CTranslate2. threads: for encoding; the steps of decoding are too
        small to be shared out. best: how many next tokens a step proposes. following: (layer, head)
        of the decoder's heads that are known to follow the speech; where none are, all of the upper
        half of the layers count as such.

        Raises ValueError when it is no Whisper, OSError when it cannot be read.
        """
        weights = ctranslate2_weights.read(path)
        heads = int(weights["decoder/num_heads"])
        layers = whisper_graphs.layers(weights, "decoder")
        self._following = _following(following, layers, heads)
        watched = sorted({layer for layer, _ in self._following})
        encoder = whisper_graphs.encoder(weights)
        decoder = whisper_graphs.decoder(weights, best, watched)
        self._encoder = OnnxSession(encoder.SerializeToString(), threads)
        self._decoder = OnnxSession(decoder.SerializeToString(), 1)
        # looked up here, as they lie in the file: as constants they would be copied to memory
        self._embeddings = weights["decoder/embeddings/weight"]
        self._positions = weights["decoder/position_encodings/encodings"]
        self.mels = weights["encoder/conv1/weight"].shape[1]
        self.vocabulary, width = self._embeddings.shape
        self.longest = len(self._positions)
        """tokens of a hypothesis at most, its prompt included"""
        kinds = [f"{kind}_{n}" for n in range(layers) for kind in ("keys", "values")]
        self._attended, self._new = kinds, [f"new_{kind}" for kind in kinds]
        self._queries = [f"queries_{number}" for number in watched]
        empty = OrtValue.ortvalue_from_numpy(np.zeros((1, heads, 0, width // heads), np.float32))
        self._nothing = {f"past_{kind}": empty for kind in kinds}

    def encode(self, features: np.ndarray, window: int) -> Encoding:
        """features: float32 (1, mels, frames), an even number of them; they end in silence unless
        they fill the window. window: frames that the model is to see, the rest of them silence.

        Raises WorkerError("superseded") when nobody waits for it any more.
        """
        columns, positions, bias = condense(features.shape[2] // 2, window // 2)
        square = np.broadcast_to(bias, (1, 1, len(bias), len(bias)))
        made = self._encoder.run_until_interrupted(
            self._attended,
            {
                "features": features,
                "columns": columns,
                "positions": positions,
                "bias": np.ascontiguousarray(square),
            },
        )
        return Encoding(dict(zip(self._attended, made, strict=True)), bias)

    def begin(
        self, encoding: Encoding, prompts: np.ndarray, rows: Sequence[int], mask: np.ndarray
    ) -> Step:
        """prompts: int (hypotheses, tokens). rows: positions, counted through all prompts, whose
        next token is wanted. mask: float32 (1 or rows, vocabulary), added to the logits.
        """
        first = np.zeros(len(prompts), np.int64)
        return self._run(encoding, prompts, first, rows, mask, self._nothing, 0)

    def step(
        self, encoding: Encoding, before: Step, beams: np.ndarray, tokens: np.ndarray,
        mask: np.ndarray,
    ) -> Step:  # fmt: skip
        """Hypothesis n continues number ``beams[n]`` of ``before`` with ``tokens[n]``.

        mask: as in ``begin``; a row is a hypothesis here.
        """
        rows = range(len(tokens))
        return self._run(encoding, tokens[:, None], beams, rows, mask, before.past, before.length)

    def read(
        self, encoding: Encoding, prompt: Sequence[int], text: Sequence[int], which: Tokens
    ) -> Reading:
        """prompt and text: together no longer than ``longest``; the prompt is short.

        Raises WorkerError("superseded") when nobody waits for it any more.
        """
        given = np.array([[*prompt, *text]], np.int64)
        wanted = np.array([*text, which.end])
        first = np.zeros(1, np.int64)
        before = len(prompt) - 1
        step, scores, ends, queries = None, [], [], []
        for start in range(0, given.size, _READ_AT_ONCE):
            interruption.check()
            some = given[:, start : start + _READ_AT_ONCE]
            rows = range(max(0, before - start), some.size)
            step = self._run(
                encoding, some, first, rows, which.allowed, step.past if step else self._nothing,
                start, watch=True,
            )  # fmt: skip
            following = wanted[start + rows.start - before :][: len(rows)]
            found = step.scores()
            scores.append(found[np.arange(len(rows)), following])
            ends.append(found[:, which.end].copy())
            queries.append({name: value.numpy()[0] for name, value in step.queries.items()})
        attention = [
            self._looks(encoding, layer, head, [q[f"queries_{layer}"] for q in queries], before)
            for layer, head in self._following
        ]
        return Reading(np.concatenate(scores)[:-1], np.concatenate(ends), np.stack(attention))

    def _looks(
        self, encoding: Encoding, layer: int, head: int, queries: list[np.ndarray], before: int
    ) -> np.ndarray:
        keys = encoding.keys_values[f"keys_{layer}"].numpy()[0, head]
        size = keys.shape[1]
        asked = np.concatenate(queries)[before:, head * size : (head + 1) * size]
        logits = asked @ keys.T / np.sqrt(np.float32(size)) + encoding.bias
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        return raised / raised.sum(axis=1, keepdims=True)

    def _run(
        self, encoding: Encoding, tokens: np.ndarray, beams: np.ndarray, rows: Sequence[int],
        mask: np.ndarray, past: dict[str, OrtValue], length: int, watch: bool = False,
    ) -> Step:  # fmt: skip
        count = tokens.shape[1]
        clip_bias = np.broadcast_to(encoding.bias, (1, 1, tokens.size, len(encoding.bias)))
        embedded = self._embeddings[tokens].astype(np.float32)
        embedded += self._positions[length : length + count].astype(np.float32)
        watched = self._queries if watch else []
        best_scores, best_tokens, scores, *others = self._decoder.run(
            ["best_scores", "best_tokens", "scores", *self._new, *watched],
            {
                "embedded": embedded,
                "beams": np.ascontiguousarray(beams, np.int64),
                "rows": np.array(rows, np.int64),
                "mask": mask,
                "clip_bias": np.ascontiguousarray(clip_bias),
                **encoding.keys_values,
                **past,
            },
        )
        new, queries = others[: len(self._new)], others[len(self._new) :]
        return Step(
            best_scores.numpy(), best_tokens.numpy(), scores,
            {name.replace("new", "past"): v for name, v in zip(self._new, new, strict=True)},
            length + count, dict(zip(watched, queries, strict=True)),
        )  # fmt: skip


class Prompted:
    """A ``beam_search.Writer`` about one clip."""

    def __init__(
        self, model: WhisperModel, encoding: Encoding, prompts: Sequence[Sequence[int]],
        tokens: Tokens,
    ) -> None:  # fmt: skip
        """prompts: all of the same length."""
        self._model, self._encoding, self._tokens = model, encoding, tokens
        self._prompts = np.array(prompts)
        self._step: Step | None = None

    def limit(self, wanted: int) -> int:
        """``wanted`` tokens or fewer; never more than half of what the model can hold, as in
        OpenAI's code."""
        longest = self._model.longest
        return max(1, min(wanted, longest // 2, longest - self._prompts.shape[1]))

    def begin(self) -> Step:
        count, length = self._prompts.shape
        last = [length * (row + 1) - 1 for row in range(count)]
        self._step = self._model.begin(
            self._encoding, self._prompts, last, self._tokens.suppressed_first
        )
        return self._step

    def go_on(self, rows: Sequence[int], texts: Sequence[tuple[int, ...]]) -> Step:
        assert self._step is not None, "begin comes first"
        self._step = self._model.step(
            self._encoding, self._step, np.array(rows), np.array([text[-1] for text in texts]),
            self._tokens.suppressed,
        )  # fmt: skip
        return self._step


def _following(listed: Sequence[tuple[int, int]], layers: int, heads: int) -> list[tuple[int, int]]:
    if listed and all(0 <= layer < layers and 0 <= head < heads for layer, head in listed):
        return list(listed)
    return [(layer, head) for layer in range(layers // 2, layers) for head in range(heads)]


def condense(steps: int, window: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``steps`` steps that end in silence, in a window of ``window`` steps → of each step to be
    computed, which of the given ones it is like, int64 (n,), where in the window it stands,
    int64 (n,), and the logarithm of how many it stands for, float32 (n,). n ≤ ``window``.

    What stands for the silence is its end: samples from all over it, or its beginning, cost more
    words than none left out.
    """
    if steps >= window:
        return np.arange(window), np.arange(window), np.zeros(window, np.float32)
    known = steps - 2  # the very last one has heard what is outside of the features
    silence = window - known
    kept = min(silence, max(_SILENCE_LEAST, round(_SILENCE_KEPT * silence)))
    positions = np.concatenate([np.arange(known), np.arange(window - kept, window)])
    bias = np.zeros(len(positions), np.float32)
    bias[known:] = np.log(silence / kept)
    return np.minimum(positions, known), positions, bias
