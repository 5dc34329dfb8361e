"""How F5 turns noise into speech: the steps of its differential equation, for several utterances
at once.

The same steps as the library's ``CFM.sample`` takes, with what that lacks: each utterance has
noise of its own, so that it sounds the same whoever is in its batch; the text of each is embedded
by itself, since the library's embedding of a padded batch swallows characters of the shorter ones;
the sum is kept in 32 bits; and it can be given up between two steps. Knows no files, no clock.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from babblefish.accelerator.f5_library import epss_timesteps

CHANNELS = 100
"""of a mel frame"""
SWAY = -1.0
"""steps are denser at the beginning, as the library does it"""


@dataclass(frozen=True, slots=True)
class Sampling:
    steps: int
    """evaluations of the network for one utterance"""
    strength: float = 2.0
    """of guidance away from what the network would say without text and reference; 0 halves the
    work, and words get lost"""


@dataclass(frozen=True, eq=False, slots=True)
class Row:
    """One utterance to be spoken."""

    mel: torch.Tensor
    """(reference frames, CHANNELS) float32: what the reference sounds like"""
    tokens: torch.Tensor
    """(n,) int64: text of the reference, then the text to be spoken"""
    frames: int
    """reference and new speech together"""
    seed: int


def times(steps: int) -> torch.Tensor:
    """(steps + 1,) float32 from 0 to 1, as the library spaces them."""
    even = epss_timesteps(steps, device="cpu", dtype=torch.float32)
    return even + SWAY * (torch.cos(math.pi / 2 * even) - 1 + even)


def noise(row: Row) -> torch.Tensor:
    """(row.frames, CHANNELS) float32; the same on every machine and in every batch."""
    generator = torch.Generator().manual_seed(row.seed)
    return torch.randn(row.frames, CHANNELS, generator=generator)


@torch.inference_mode()
def sample(
    network: Any, rows: Sequence[Row], sampling: Sampling, check: Callable[[], None] = lambda: None
) -> list[torch.Tensor]:
    """(new frames, CHANNELS) float32 on the CPU for each row.

    network: a DiT of the library. check: called before each step; what it raises ends the work.
    Raises torch.OutOfMemoryError.
    """
    device, dtype = _home(network)
    lengths = torch.tensor([row.frames for row in rows], device=device)
    batch = _Batch(network, rows, sampling.strength, device, dtype)
    state = pad_sequence([noise(row) for row in rows], batch_first=True).to(device)
    try:
        for now, later in itertools.pairwise(times(sampling.steps).tolist()):
            check()
            state = state + (later - now) * batch.velocity(state, now)
    finally:
        network.clear_cache()
    spoken = state.cpu()
    return [
        spoken[i, len(row.mel) : length]
        for i, (row, length) in enumerate(zip(rows, lengths.tolist(), strict=True))
    ]


class _Batch:
    """What stays the same from step to step."""

    def __init__(
        self, network: Any, rows: Sequence[Row], strength: float, device: torch.device,
        dtype: torch.dtype,
    ) -> None:  # fmt: skip
        self._network, self._strength, self._dtype = network, strength, dtype
        longest = max(row.frames for row in rows)
        lengths = torch.tensor([row.frames for row in rows], device=device)
        mask = torch.arange(longest, device=device)[None] < lengths[:, None]
        self._mask = None if bool(mask.all()) else mask
        """(rows, frames) bool: where there is something; None: everywhere"""
        condition = torch.zeros(len(rows), longest, CHANNELS)
        for i, row in enumerate(rows):
            condition[i, : len(row.mel)] = row.mel
        self._condition = condition.to(device, dtype)
        self._texts = [row.tokens.to(device)[None] for row in rows]
        embed = network.text_embed
        with_text = [self._embedded(embed, i, rows[i].frames, False) for i in range(len(rows))]
        network.text_cond = pad_sequence(with_text, batch_first=True)
        if strength:
            without = [self._embedded(embed, i, rows[i].frames, True) for i in range(len(rows))]
            network.text_uncond = pad_sequence(without, batch_first=True)
        else:
            network.text_uncond = network.text_cond  # looked at, not used

    def _embedded(self, embed: Any, row: int, frames: int, drop: bool) -> torch.Tensor:
        """(frames, text width)"""
        return embed(self._texts[row], seq_len=frames, drop_text=drop)[0]

    def velocity(self, state: torch.Tensor, now: float) -> torch.Tensor:
        """Where the network would go from here: (rows, frames, CHANNELS) float32."""
        time = torch.tensor(now, device=state.device)
        flow = self._network(
            x=state.to(self._dtype), cond=self._condition, text=None, time=time, mask=self._mask,
            cfg_infer=bool(self._strength), cache=True,
        ).float()  # fmt: skip
        if not self._strength:
            return flow
        with_text, without = flow.chunk(2)
        return with_text + (with_text - without) * self._strength


def _home(network: Any) -> tuple[torch.device, torch.dtype]:
    weight = network.proj_out.weight
    return weight.device, weight.dtype
