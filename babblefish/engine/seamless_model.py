"""The network of SeamlessM4T v2: what speech or text becomes, in any number of languages at once.

Holds the halves that end in text: transformers' speech encoder, and a text encoder and the one text
decoder that both share (``transformer.py``). Loaded through ``checkpoints``, so int8 never needs
more memory than it saves. One row for each text that is wanted: rows of different languages, of one
encoding or of several, are decoded together and finish each for itself. What is worth saying, and
what is nonsense, others decide.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from babblefish.engine import generation
from babblefish.engine.beam_search import Hypothesis
from babblefish.engine.checkpoints import (
    DTYPES,
    Checkpoint,
    PieceLoader,
    return_memory,
    without_weights,
)
from babblefish.engine.generation import NO_RULES, Rules
from babblefish.engine.precision import Precision, choose, this_machine
from babblefish.engine.stages import SPEECH_RATE
from babblefish.engine.torchaudio_import import import_torchaudio
from babblefish.engine.transformer import Encoding, Shape, TextDecoder, TextEncoder
from babblefish.errors import WeightsError

import_torchaudio()  # before transformers' speech models look for it

from transformers import (  # noqa: E402
    GenerationConfig,
    SeamlessM4TFeatureExtractor,
    SeamlessM4TTokenizer,
    SeamlessM4Tv2Config,
    SeamlessM4Tv2ForSpeechToText,
    SeamlessM4Tv2ForTextToText,
)

_EMBEDDING = "shared.weight"
_ALIASES: dict[str, str] = dict.fromkeys(
    ("lm_head.weight", "text_decoder.embed_tokens.weight", "text_encoder.embed_tokens.weight"),
    _EMBEDDING,
)
"""weights that the checkpoint holds once"""


@dataclass(frozen=True, slots=True)
class Row:
    """One text to decode."""

    item: int
    """of the encoding"""
    language: str
    """Seamless's code"""
    limit: int
    """tokens"""


class SeamlessModel:
    """Loaded once per process; calls come one at a time."""

    def __init__(
        self, folder: Path, precision: Precision | Literal["auto"] = "auto", threads: int = 2,
        device: str = "cpu",
    ) -> None:  # fmt: skip
        """Raises WeightsError("missing" | "broken"), OSError or ValueError for files that
        transformers cannot read."""
        torch.set_num_threads(max(1, threads))
        self._device = torch.device(device)
        config = SeamlessM4Tv2Config.from_pretrained(folder)
        speech, text = networks(config)
        if precision == "auto":
            precision = choose(this_machine(device), _parameters(speech) + _parameters(text) / 2)
        self.precision = precision
        self._dtype = DTYPES[precision]
        loader = PieceLoader(Checkpoint(folder), precision, device, _ALIASES)
        weights = _TextWeights(
            loader, math.sqrt(config.hidden_size) if config.scale_embedding else 1
        )
        self._decoder = TextDecoder(self._shape(config, "decoder"), weights)
        self._text_encoder = TextEncoder(self._shape(config, "encoder"), weights)
        loader.fill(speech.speech_encoder, "speech_encoder")
        return_memory()
        self.speech_encoder = speech.speech_encoder
        self._lengths = speech._compute_sub_sample_lengths_from_attention_mask
        self._padding = _Padding(self.speech_encoder.adapter.layers[0])
        self._read_languages(folder)
        self._extract = SeamlessM4TFeatureExtractor.from_pretrained(folder)
        self.tokenizer = SeamlessM4TTokenizer.from_pretrained(folder)
        start, end = config.decoder_start_token_id, config.eos_token_id
        assert isinstance(start, int) and isinstance(end, int), "Seamless has one of each"
        self._start, self._end = start, end
        self._special = set(self.tokenizer.all_special_ids) | set(self.languages.values())

    def _read_languages(self, folder: Path) -> None:
        generation = GenerationConfig.from_pretrained(folder)
        codes = getattr(generation, "text_decoder_lang_to_code_id", None)
        if not codes:
            raise WeightsError("broken", f"{folder}/generation_config.json names no languages.")
        self.languages: dict[str, int] = dict(codes)
        """Seamless's code of each language it writes → its token"""

    def _shape(self, config: SeamlessM4Tv2Config, half: Literal["encoder", "decoder"]) -> Shape:
        layers = getattr(config, f"{half}_layers")
        heads = getattr(config, f"{half}_attention_heads")
        padding: Any = config.pad_token_id
        return Shape(layers, heads, config.hidden_size, padding, self._device, self._dtype)

    @torch.inference_mode()
    def encode_speech(self, clips: Sequence[np.ndarray]) -> Encoding:
        """clips: each (n,) float32 at SPEECH_RATE, at least 0.1 s. One pass for all of them."""
        features = self._extract(
            list(clips), sampling_rate=SPEECH_RATE, padding=True, return_tensors="pt"
        )
        mask = features["attention_mask"].to(self._device)
        states = self.speech_encoder(
            input_features=features["input_features"].to(self._device, self._dtype),
            attention_mask=self._padding.set(mask),
        )[0]
        steps = torch.arange(states.shape[1], device=self._device)
        return Encoding(states, steps < self._lengths(mask)[:, None])

    @torch.inference_mode()
    def encode_text(self, texts: Sequence[str], language: str) -> Encoding:
        """language: Seamless's code. Texts of at most a few hundred tokens; one pass for all."""
        return self._text_encoder.encode(
            self.tokenizer(list(texts), src_lang=language)["input_ids"]
        )

    def decode(
        self, encoding: Encoding, rows: Sequence[Row], *, beam: int = 1, rules: Rules = NO_RULES,
        between: Callable[[], None] = lambda: None,
    ) -> list[Hypothesis]:  # fmt: skip
        """One text for each of ``rows``.

        between: called before each token; what it raises ends the decoding.
        """
        wanted = [
            generation.Row(row.item, (self._start, self.languages[row.language]), row.limit)
            for row in rows
        ]
        return generation.generate(
            self._decoder, encoding, wanted, end=self._end, beam=beam, rules=rules, between=between
        )

    def text(self, tokens: Sequence[int]) -> str:
        return self.tokenizer.decode([t for t in tokens if t not in self._special]).strip()

    def count_tokens(self, text: str) -> int:
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"])


_LINEAR = {
    "self_attention.inputs": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "self_attention.output": ("self_attn.out_proj",),
    "attention.queries": ("cross_attention.q_proj",),
    "attention.inputs": ("cross_attention.k_proj", "cross_attention.v_proj"),
    "attention.output": ("cross_attention.out_proj",),
    "ffn.inner": ("ffn.fc1",),
    "ffn.outer": ("ffn.fc2",),
}
_NORMS = {
    "self_attention.norm": "self_attn_layer_norm",
    "attention.norm": "cross_attention_layer_norm",
    "ffn.norm": "ffn_layer_norm",
}


class _TextWeights:
    """``transformer.Weights`` from a checkpoint's names."""

    def __init__(self, loader: PieceLoader, scale: float) -> None:
        self._loader, self._scale = loader, scale

    def linear(self, name: str) -> torch.nn.Module:
        if name == "decoder.output":
            return self._loader.linear("lm_head")
        half, number, part = name.split(".", 2)
        below = f"text_{half}.layers.{number}"
        return self._loader.linear(*(f"{below}.{path}" for path in _LINEAR[part]))

    def norm(self, name: str) -> torch.nn.Module:
        half, *where = name.split(".", 2)
        if len(where) == 1:
            return self._loader.norm(f"text_{half}.layer_norm")
        return self._loader.norm(f"text_{half}.layers.{where[0]}.{_NORMS[where[1]]}")

    def embedding(self, name: str) -> Callable[[torch.Tensor], torch.Tensor]:
        return self._embedding

    @cached_property
    def _embedding(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """one for both halves"""
        return self._loader.embedding("text_decoder.embed_tokens", self._scale)


def networks(config: SeamlessM4Tv2Config) -> tuple[Any, Any]:
    """(speech to text, text to text), without weights."""
    return (
        without_weights(lambda: SeamlessM4Tv2ForSpeechToText(config)),
        without_weights(lambda: SeamlessM4Tv2ForTextToText(config)),
    )


def _parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


class _Padding:
    """Keeps what pads shorter clips of a batch out of them.

    The adapter's convolutions look across the end of a clip, where a clip alone has zeros and one
    in a batch has whatever the layers before made of its padding: it would be understood
    differently in company. So zeros are put there.
    """

    def __init__(self, adapter: Any) -> None:
        self._mask: torch.Tensor | None = None
        for convolution in (adapter.residual_conv, adapter.self_attn_conv):
            convolution.register_forward_pre_hook(self._clear)

    def set(self, mask: torch.Tensor) -> torch.Tensor:
        """mask: (clips, steps) of the batch that comes; returns it."""
        self._mask = None if bool(mask.all()) else mask
        return mask

    def _clear(self, _: Any, args: tuple[torch.Tensor]) -> tuple[torch.Tensor] | None:
        """args: (clips, channels, steps)"""
        if self._mask is None:
            return None
        return (args[0] * self._mask[:, None].to(args[0].dtype),)
