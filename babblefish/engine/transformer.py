"""Text encoder and text decoder as NLLB-200 and Seamless have them: transformers that normalise
before each part, with sinusoidal positions.

transformers' own classes do the same; these take less time for a step of decoding, since queries,
keys and values come from one multiplication and the cache is never copied. Weights come from any
``Weights``, in any precision. How tokens are chosen is ``generation.py``'s business.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import nn
from torch.nn.functional import relu, scaled_dot_product_attention

_MOST_AT_ONCE = 8
"""layers that are loaded at a time; each takes up to a hundred megabytes meanwhile"""


T = TypeVar("T")


class Weights(Protocol):
    """Where layers come from. Names: ``encoder`` or ``decoder``, for all but the last two below a
    number, such as ``decoder.3.attention.queries``."""

    def linear(self, name: str) -> nn.Module:
        """``self_attention.inputs`` (queries, keys and values, in this order), ``….output``,
        ``attention.queries``, ``….inputs`` (keys and values), ``….output``, ``ffn.inner``,
        ``ffn.outer``; ``output``: the logits of all tokens."""
        ...

    def norm(self, name: str) -> nn.Module:
        """``self_attention.norm``, ``attention.norm``, ``ffn.norm``; and ``norm``, the last."""
        ...

    def embedding(self, name: str) -> Callable[[torch.Tensor], torch.Tensor]:
        """``embedding``: tokens of any shape → their vectors, scaled."""
        ...


@dataclass(frozen=True, slots=True)
class Shape:
    layers: int
    heads: int
    width: int
    padding: int
    """token; positions count from the one behind it"""
    device: torch.device
    dtype: torch.dtype


@dataclass(frozen=True, slots=True)
class Encoding:
    """What a decoder attends to: of one utterance or text, or of several."""

    states: torch.Tensor
    """(items, steps, width)"""
    mask: torch.Tensor
    """(items, steps) bool: False where a shorter item is padded"""

    @property
    def attended(self) -> torch.Tensor | None:
        """The mask as attention takes it, (items, 1, 1, steps); None where nothing is padded."""
        return None if bool(self.mask.all()) else self.mask[:, None, None]


class TextEncoder:
    def __init__(self, shape: Shape, weights: Weights) -> None:
        self._shape = shape
        self._embed = weights.embedding("encoder.embedding")
        self._layers = together(
            [_named(EncoderLayer, shape.heads, weights, n) for n in range(shape.layers)]
        )
        self._norm = weights.norm("encoder.norm")

    def encode(self, rows: Sequence[Sequence[int]]) -> Encoding:
        """rows: tokens of each text. One pass for all of them."""
        longest, device = max(map(len, rows)), self._shape.device
        padded = [[*row, *[self._shape.padding] * (longest - len(row))] for row in rows]
        lengths = torch.tensor([len(row) for row in rows], device=device)
        mask = torch.arange(longest, device=device) < lengths[:, None]
        states = self._embed(torch.tensor(padded, device=device))
        states = states + positions(self._shape, 0, longest)
        attended = Encoding(states, mask).attended
        for layer in self._layers:
            states = layer(states, attended)
        return Encoding(self._norm(states), mask)


class TextDecoder:
    def __init__(self, shape: Shape, weights: Weights) -> None:
        self.shape = shape
        # The largest come first, while nothing else is in memory beside what loading them takes.
        self._output = weights.linear("decoder.output")
        self._embed = weights.embedding("decoder.embedding")
        self._layers = together(
            [_named(DecoderLayer, shape.heads, weights, n) for n in range(shape.layers)]
        )
        self._norm = weights.norm("decoder.norm")

    def begin(self, encoding: Encoding, items: Sequence[int], longest: int) -> Texts:
        """Texts to be written about ``items`` of ``encoding``, one each, of at most ``longest``
        tokens, prompts included."""
        return Texts(self, encoding, items, longest)

    def step(self, texts: Texts, tokens: torch.Tensor) -> torch.Tensor:
        """tokens: (texts, n), the next of each. Returns logits of what follows the last of them,
        (texts, vocabulary) float32."""
        start, count = texts.length, tokens.shape[1]
        states = self._embed(tokens) + positions(self.shape, start, count)
        for number, layer in enumerate(self._layers):
            states = layer(states, texts, number)
        texts.length += count
        return self._output(self._norm(states[:, -1])).float()

    def attend(self, states: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Of each layer, keys and values of what was encoded."""
        return [layer.attend(states) for layer in self._layers]


class Texts:
    """Unfinished texts: what the decoder remembers of each."""

    def __init__(
        self, decoder: TextDecoder, encoding: Encoding, items: Sequence[int], longest: int
    ) -> None:
        shape = decoder.shape
        self.length = 0
        """tokens of each text"""
        self._size = len(items), shape.heads, longest, shape.width // shape.heads
        self._memory = torch.empty(
            (shape.layers, 2, *self._size), device=shape.device, dtype=shape.dtype
        )
        """keys and values of the tokens so far"""
        self._all = decoder.attend(encoding.states), encoding.attended
        self._items = torch.tensor(items, device=shape.device)
        self._choose()

    def keep(self, numbers: Sequence[int]) -> None:
        """Go on with these texts, in this order; a text may go on as several."""
        if list(numbers) == list(range(self._memory.shape[2])):
            return
        chosen = torch.tensor(numbers, device=self._items.device)
        used = self._memory[:, :, :, :, : self.length].index_select(2, chosen)
        if len(numbers) > self._memory.shape[2]:
            self._size = len(numbers), *self._size[1:]
            self._memory = self._memory.new_empty((*self._memory.shape[:2], *self._size))
        self._memory = self._memory[:, :, : len(numbers)]
        self._memory[:, :, :, :, : self.length] = used
        items = self._items[chosen]
        if not torch.equal(items, self._items):
            self._items = items
            self._choose()

    def remember(
        self, layer: int, keys: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """keys, values: (texts, heads, n, width of a head), of the tokens that come. Returns those
        of all tokens."""
        end = self.length + keys.shape[2]
        memory = self._memory[layer]
        memory[0, :, :, self.length : end] = keys
        memory[1, :, :, self.length : end] = values
        return memory[0, :, :, :end], memory[1, :, :, :end]

    def _choose(self) -> None:
        layers, attended = self._all
        count = layers[0][0].shape[0]
        if self._items.tolist() == list(range(count)):
            self.encoded, self.attended = layers, attended
            return
        self.encoded = [(keys[self._items], values[self._items]) for keys, values in layers]
        """of each layer, keys and values of what each text is about"""
        self.attended = None if attended is None else attended[self._items]
        """see ``Encoding.attended``; of each text"""


class EncoderLayer:
    def __init__(self, heads: int, weights: Weights, name: str) -> None:
        self._heads = heads
        self._attention = _Parts(weights, f"encoder.{name}.self_attention", "inputs", "output")
        self._ffn = _Parts(weights, f"encoder.{name}.ffn", "inner", "outer")

    def __call__(self, states: torch.Tensor, attended: torch.Tensor | None) -> torch.Tensor:
        normal = self._attention.norm(states)
        queries, keys, values = _split(self._attention.first(normal), 3, self._heads)
        found = scaled_dot_product_attention(queries, keys, values, attended)
        states = states + self._attention.last(_joined(found))
        return states + self._ffn.forward(states)


class DecoderLayer:
    def __init__(self, heads: int, weights: Weights, name: str) -> None:
        self._heads = heads
        self._own = _Parts(weights, f"decoder.{name}.self_attention", "inputs", "output")
        self._other = _Parts(weights, f"decoder.{name}.attention", "queries", "output")
        self._inputs = weights.linear(f"decoder.{name}.attention.inputs")
        self._ffn = _Parts(weights, f"decoder.{name}.ffn", "inner", "outer")

    def __call__(self, states: torch.Tensor, texts: Texts, number: int) -> torch.Tensor:
        inputs = self._own.first(self._own.norm(states))
        queries, keys, values = _split(inputs, 3, self._heads)
        keys, values = texts.remember(number, keys, values)
        # The only step with several tokens is the first, which has no past.
        found = scaled_dot_product_attention(queries, keys, values, is_causal=states.shape[1] > 1)
        states = states + self._own.last(_joined(found))
        (queries,) = _split(self._other.first(self._other.norm(states)), 1, self._heads)
        keys, values = texts.encoded[number]
        found = scaled_dot_product_attention(queries, keys, values, texts.attended)
        states = states + self._other.last(_joined(found))
        return states + self._ffn.forward(states)

    def attend(self, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        keys, values = _split(self._inputs(states), 2, self._heads)
        return keys.contiguous(), values.contiguous()


class _Parts:
    """A norm and two linear layers."""

    def __init__(self, weights: Weights, name: str, first: str, last: str) -> None:
        self.norm = weights.norm(f"{name}.norm")
        self.first, self.last = weights.linear(f"{name}.{first}"), weights.linear(f"{name}.{last}")

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return self.last(relu(self.first(self.norm(states))))


def positions(shape: Shape, start: int, count: int) -> torch.Tensor:
    """(count, width): sines and cosines of positions from ``start`` on, as fairseq numbers them."""
    half = shape.width // 2
    rates = torch.exp(torch.arange(half) * -(math.log(10_000) / (half - 1)))
    angles = torch.arange(start, start + count)[:, None] + shape.padding + 1
    table = angles * rates
    return torch.cat([table.sin(), table.cos()], 1).to(shape.device, shape.dtype)


def together(tasks: Sequence[Callable[[], T]]) -> list[T]:
    """Results of ``tasks``, several at a time."""
    with ThreadPoolExecutor(min(_MOST_AT_ONCE, torch.get_num_threads()), "weights") as pool:
        return list(pool.map(lambda task: task(), tasks))


def _named(
    kind: Callable[[int, Weights, str], T], heads: int, weights: Weights, number: int
) -> Callable[[], T]:
    return lambda: kind(heads, weights, str(number))


def _split(states: torch.Tensor, parts: int, heads: int) -> Iterable[torch.Tensor]:
    """(rows, n, parts * width) → as many of (rows, heads, n, width of a head)."""
    rows, count, width = states.shape
    return states.view(rows, count, parts, heads, width // parts // heads).permute(2, 0, 3, 1, 4)


def _joined(states: torch.Tensor) -> torch.Tensor:
    """(rows, heads, n, width of a head) → (rows, n, width)."""
    return states.transpose(1, 2).flatten(2)
