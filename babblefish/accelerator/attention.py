"""F5's attention with a mask that stays small.

The library repeats the mask for every head and every frame, which for a batch of eight takes more
memory than the network: this does not, and is the same arithmetic otherwise.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

Rotation = tuple[torch.Tensor, torch.Tensor]
"""cosine and sine, (1, 1, frames, head width) float32"""


class MaskedAttention:
    """Takes the place of the library's ``AttnProcessor`` in one layer."""

    def __init__(self, rotated_heads: int | None) -> None:
        """rotated_heads: that know about positions; None: all."""
        self._rotated = rotated_heads

    def __call__(
        self, attention: Any, x: torch.Tensor, mask: torch.Tensor | None = None, rope: Any = None
    ) -> torch.Tensor:
        """x: (rows, frames, width); mask: (rows, frames) bool; rope: as the library has it."""
        rows, frames, _ = x.shape
        query, key, value = (
            project(x).view(rows, frames, attention.heads, -1).transpose(1, 2)
            for project in (attention.to_q, attention.to_k, attention.to_v)
        )
        if attention.q_norm is not None:
            query, key = attention.q_norm(query), attention.k_norm(key)
        if rope is not None:
            angles = rope[0][:, None]
            rotation = angles.cos(), angles.sin()
            query, key = self._rotate(query, rotation), self._rotate(key, rotation)
        seen = None if mask is None else mask[:, None, None]
        found = scaled_dot_product_attention(query, key, value, attn_mask=seen)
        found = attention.to_out[0](found.transpose(1, 2).reshape(rows, frames, -1))
        return found if mask is None else found.masked_fill(~mask[..., None], 0.0)

    def _rotate(self, heads: torch.Tensor, rotation: Rotation) -> torch.Tensor:
        if self._rotated is None:
            return _rotated(heads, rotation)
        turned = _rotated(heads[:, : self._rotated], rotation)
        return torch.cat((turned, heads[:, self._rotated :]), dim=1)


def _rotated(heads: torch.Tensor, rotation: Rotation) -> torch.Tensor:
    cosine, sine = rotation
    pairs = heads.unflatten(-1, (-1, 2))
    turned = torch.stack((-pairs[..., 1], pairs[..., 0]), dim=-1).flatten(-2)
    return (heads * cosine + turned * sine).to(heads.dtype)
