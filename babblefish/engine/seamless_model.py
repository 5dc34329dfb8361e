"""The network of SeamlessM4T v2: what speech or text becomes, in any number of languages at once.

Holds the halves that end in text: speech encoder, text encoder and the one text decoder that both
share. Loaded through ``checkpoints``, so int8 never needs more memory than it saves. Decoding is
transformers' own ``generate``, one row for each text that is wanted: rows of different languages,
of one encoding or of several, go through it together and finish each for itself. What is worth
saying, and what is nonsense, others decide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from babblefish.engine.checkpoints import DTYPES, Checkpoint, PieceLoader, without_weights
from babblefish.engine.precision import Precision, choose, this_machine
from babblefish.engine.stages import SPEECH_RATE
from babblefish.engine.torchaudio_import import import_torchaudio
from babblefish.errors import WeightsError

import_torchaudio()  # before transformers' speech models look for it

from transformers import (  # noqa: E402
    GenerationConfig,
    GenerationMixin,
    SeamlessM4TFeatureExtractor,
    SeamlessM4TTokenizer,
    SeamlessM4Tv2Config,
    SeamlessM4Tv2ForSpeechToText,
    SeamlessM4Tv2ForTextToText,
    StoppingCriteria,
    StoppingCriteriaList,
)
from transformers.modeling_outputs import BaseModelOutput  # noqa: E402

_PROMPT = ("end of sequence", "language")
"""what each text begins with, one token each"""
_SHARED = "shared.weight"
_ALIASES = {
    "lm_head.weight": _SHARED,
    "text_decoder.embed_tokens.weight": _SHARED,
    "text_encoder.embed_tokens.weight": _SHARED,
}
"""weights that the checkpoint holds once"""


@dataclass(frozen=True, slots=True)
class Encoding:
    """What the decoder attends to: of one utterance or text, or of several."""

    states: torch.Tensor
    """(items, steps, width)"""
    mask: torch.Tensor
    """(items, steps), 1 where an item has something; of speech, at the rate of the features"""
    speech: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One text to decode."""

    item: int
    """of the encoding"""
    language: str
    """Seamless's code"""
    limit: int
    """tokens"""


@dataclass(frozen=True, slots=True)
class Decoded:
    tokens: list[int]
    """without the prompt and what follows the end"""
    score: float
    """mean natural logarithm of the tokens' probabilities"""
    complete: bool
    """False: it ran into the limit"""


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
        _fill(speech, text, PieceLoader(Checkpoint(folder), precision, device, _ALIASES))
        self._from_speech, self._from_text = speech, text
        self._dtype = DTYPES[precision]
        self._padding = _Padding(speech.speech_encoder.adapter.layers[0])
        generation = GenerationConfig.from_pretrained(folder)
        codes = getattr(generation, "text_decoder_lang_to_code_id", None)
        if not codes:
            raise WeightsError("broken", f"{folder}/generation_config.json names no languages.")
        self.languages: dict[str, int] = dict(codes)
        """Seamless's code of each language it writes → its token"""
        self._from_speech.generation_config = self._from_text.generation_config = generation
        self._extract = SeamlessM4TFeatureExtractor.from_pretrained(folder)
        self.tokenizer = SeamlessM4TTokenizer.from_pretrained(folder)
        assert isinstance(config.eos_token_id, int), "Seamless has one"
        self._end = config.eos_token_id
        self._special = set(self.tokenizer.all_special_ids) | set(self.languages.values())

    @torch.inference_mode()
    def encode_speech(self, clips: Sequence[np.ndarray]) -> Encoding:
        """clips: each (n,) float32 at SPEECH_RATE, at least 0.1 s. One pass for all of them."""
        features = self._extract(
            list(clips), sampling_rate=SPEECH_RATE, padding=True, return_tensors="pt"
        )
        mask = features["attention_mask"].to(self._device)
        states = self._from_speech.speech_encoder(
            input_features=features["input_features"].to(self._device, self._dtype),
            attention_mask=self._padding.set(mask),
        )[0]
        return Encoding(states, mask, True)

    @torch.inference_mode()
    def encode_text(self, texts: Sequence[str], language: str) -> Encoding:
        """language: Seamless's code. Texts of at most a few hundred tokens; one pass for all."""
        found = self.tokenizer(
            list(texts), src_lang=language, padding=True, return_tensors="pt"
        ).to(self._device)
        states = self._from_text.text_encoder(
            input_ids=found["input_ids"], attention_mask=found["attention_mask"]
        )[0]
        return Encoding(states, found["attention_mask"], False)

    @torch.inference_mode()
    def decode(
        self, encoding: Encoding, rows: Sequence[Row], *, beam: int = 1,
        between: Callable[[], None] = lambda: None, **options: Any,
    ) -> list[Decoded]:  # fmt: skip
        """One text for each of ``rows``.

        between: called after each token; what it raises ends the decoding. options: others of
        transformers' generation, such as ``no_repeat_ngram_size``.
        """
        items = torch.tensor([row.item for row in rows], device=self._device)
        model: Any = self._from_speech if encoding.speech else self._from_text
        prompts = [[self._end, self.languages[row.language]] for row in rows]
        stops = _Stops([len(_PROMPT) + row.limit for row in rows], between)
        usual: Any = GenerationMixin  # Seamless's own generate takes one language only
        found = usual.generate(
            model,
            encoder_outputs=BaseModelOutput(last_hidden_state=encoding.states[items]),
            attention_mask=encoding.mask[items],
            decoder_input_ids=torch.tensor(prompts, device=self._device),
            max_new_tokens=max(row.limit for row in rows), num_beams=beam, do_sample=False,
            output_scores=True, return_dict_in_generate=True,
            stopping_criteria=StoppingCriteriaList([stops]), **options,
        )  # fmt: skip
        steps = model.compute_transition_scores(
            found.sequences, found.scores, getattr(found, "beam_indices", None),
            normalize_logits=beam == 1,
        )  # fmt: skip
        texts = found.sequences[:, len(_PROMPT) :].tolist()
        return [
            self._decoded(tokens[: row.limit], scores)
            for row, tokens, scores in zip(rows, texts, steps.tolist(), strict=True)
        ]

    def text(self, tokens: Sequence[int]) -> str:
        return self.tokenizer.decode([t for t in tokens if t not in self._special]).strip()

    def count_tokens(self, text: str) -> int:
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _decoded(self, tokens: list[int], scores: list[float]) -> Decoded:
        complete = self._end in tokens
        length = tokens.index(self._end) if complete else len(tokens)
        judged = scores[: length + complete]
        return Decoded(tokens[:length], float(np.mean(judged)) if judged else 0.0, complete)


def networks(config: SeamlessM4Tv2Config) -> tuple[Any, Any]:
    """(speech to text, text to text), without weights."""
    return (
        without_weights(lambda: SeamlessM4Tv2ForSpeechToText(config)),
        without_weights(lambda: SeamlessM4Tv2ForTextToText(config)),
    )


def _parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _fill(speech: Any, text: Any, loader: PieceLoader) -> None:
    """Weights into speech to text and text to text, which share decoder, embedding and output."""
    loader.fill(speech.speech_encoder, "speech_encoder")
    loader.fill(speech.text_decoder, "text_decoder")
    speech.lm_head = loader.linear(speech.lm_head, "lm_head")
    embedding = speech.text_decoder.embed_tokens
    text.text_encoder.embed_tokens = torch.nn.Identity()  # so that it is not read again
    loader.fill(text.text_encoder, "text_encoder")
    text.text_encoder.embed_tokens = embedding
    text.text_decoder, text.lm_head = speech.text_decoder, speech.lm_head
    speech.shared = text.shared = embedding
    for model in (speech, text):
        _make_positions(model, embedding.weight.device, loader.dtype)


def _make_positions(model: torch.nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """Tables that no checkpoint holds, since they follow from the configuration."""
    for module in model.modules():
        weights = getattr(module, "weights", None)
        if isinstance(weights, torch.Tensor) and weights.is_meta:
            positions: Any = module
            del positions.weights
            positions.make_weights(
                positions.num_positions + positions.offset, positions.embedding_dim,
                positions.padding_idx,
            )  # fmt: skip
            positions.weights = positions.weights.to(device, dtype)


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


class _Stops(StoppingCriteria):
    """Ends each row at its own limit, and all of them where ``between`` raises."""

    def __init__(self, lengths: Sequence[int], between: Callable[[], None]) -> None:
        self._lengths, self._between = torch.tensor(lengths), between

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        self._between()
        hypotheses = len(input_ids) // len(self._lengths)  # of each row, when there are beams
        lengths = self._lengths.repeat_interleave(hypotheses)
        return (lengths <= input_ids.shape[1]).to(input_ids.device)
