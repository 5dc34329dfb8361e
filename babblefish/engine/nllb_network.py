"""The network of NLLB-200 on torch, from the int8 weights that CTranslate2's converter made.

CTranslate2 itself unpacks all weights at every step where it has no Intel processor: 0.1 s for each
token. Here they are packed once, so a step takes as long as reading them does. On a GPU
``nllb.py`` uses CTranslate2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from babblefish.engine import ctranslate2_weights, generation
from babblefish.engine.beam_search import Hypothesis
from babblefish.engine.checkpoints import Int8Linear, return_memory
from babblefish.engine.generation import Rules
from babblefish.engine.transformer import Shape, TextDecoder, TextEncoder

PADDING, END = 1, 2
_LINEAR = {
    "self_attention.inputs": "self_attention/linear_0",
    "self_attention.output": "self_attention/linear_1",
    "attention.queries": "attention/linear_0",
    "attention.inputs": "attention/linear_1",
    "attention.output": "attention/linear_2",
    "ffn.inner": "ffn/linear_0",
    "ffn.outer": "ffn/linear_1",
}


class NllbNetwork:
    """Not thread-safe."""

    def __init__(self, path: Path, threads: int) -> None:
        """path: a model.bin of CTranslate2. Raises ValueError when it is no NLLB, OSError when it
        cannot be read."""
        torch.set_num_threads(max(1, threads))
        found = ctranslate2_weights.read(path)
        try:
            weights = _Weights(found)
            self._encoder = TextEncoder(_shape(found, "encoder"), weights)
            self._decoder = TextDecoder(_shape(found, "decoder"), weights)
        except KeyError as error:
            raise ValueError(f"{path} lacks {error}.") from error
        return_memory()

    @torch.inference_mode()
    def translate(
        self, texts: Sequence[Sequence[int]], language: int, limits: Sequence[int], *, beam: int,
        rules: Rules, between: Callable[[], None],
    ) -> list[Hypothesis]:  # fmt: skip
        """texts: tokens of each, with its language before it and the end behind it. language: the
        token of the one to translate into. limits: tokens of each translation at most. See
        ``generation.generate``."""
        rows = [generation.Row(n, (END, language), limit) for n, limit in enumerate(limits)]
        return generation.generate(
            self._decoder, self._encoder.encode(texts), rows, end=END, beam=beam, rules=rules,
            between=between,
        )  # fmt: skip


class _Weights:
    """``transformer.Weights`` from CTranslate2's names."""

    def __init__(self, found: Mapping[str, np.ndarray]) -> None:
        self._found = found

    def linear(self, name: str) -> nn.Module:
        if name == "decoder.output":
            return self._linear("decoder/projection", "decoder/embeddings")
        half, number, part = name.split(".", 2)
        path = f"{half}/layer_{number}/{_LINEAR[part]}"
        return self._linear(path, path)

    def _linear(self, path: str, scaled: str) -> nn.Module:
        weight, bias = self._found[f"{path}/weight"], self._found.get(f"{path}/bias")
        known = None if bias is None else torch.from_numpy(bias.astype(np.float32))
        if weight.dtype == np.int8:
            scales = torch.from_numpy(1 / self._found[f"{scaled}/weight_scale"])
            return Int8Linear.of(torch.from_numpy(weight.copy()), scales, known)
        layer = nn.Linear(weight.shape[1], len(weight), known is not None, device="meta")
        layer.weight = _parameter(weight)
        if bias is not None:
            layer.bias = _parameter(bias)
        return layer

    def norm(self, name: str) -> nn.Module:
        half, *where = name.split(".", 2)
        below = f"/layer_{where[0]}/{where[1].removesuffix('.norm')}" if len(where) > 1 else ""
        path = f"{half}{below}/layer_norm"
        weight, bias = (self._found[f"{path}/{part}"] for part in ("gamma", "beta"))
        norm = nn.LayerNorm(len(weight), device="meta")
        norm.weight, norm.bias = _parameter(weight), _parameter(bias)
        return norm

    def embedding(self, name: str) -> Callable[[torch.Tensor], torch.Tensor]:
        # Looked up as they lie in the file: in memory of our own they would be there twice.
        half = name.split(".")[0]
        table = self._found["decoder/embeddings/weight"]
        scales = 1 / self._found.get("decoder/embeddings/weight_scale", np.ones(len(table)))
        scales = (scales * self._found[f"{half}/scale_embeddings"]).astype(np.float32)

        def look_up(tokens: torch.Tensor) -> torch.Tensor:
            chosen = tokens.numpy()
            return torch.from_numpy(table[chosen] * scales[chosen][..., None])

        return look_up


def _parameter(values: np.ndarray) -> nn.Parameter:
    return nn.Parameter(torch.from_numpy(values.astype(np.float32)), requires_grad=False)


def _shape(found: Mapping[str, np.ndarray], half: str) -> Shape:
    numbers = {name.split("/")[1] for name in found if name.startswith(f"{half}/layer_")}
    layers = len(numbers - {"layer_norm"})
    heads = int(found[f"{half}/num_heads"])
    width = found["decoder/embeddings/weight"].shape[1]
    return Shape(layers, heads, width, PADDING, torch.device("cpu"), torch.float32)
