"""MMS voices without the weights: real VITS checkpoints, tiny and random, that buzz instead of
speaking.

They have what the real ones have, down to the files; durations and pitch are made plausible, so
that speed and voices can be measured.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from babblefish.engine.torchaudio_import import import_torchaudio

import_torchaudio()

from transformers import VitsConfig, VitsModel, VitsTokenizer  # noqa: E402
from transformers.utils import logging  # noqa: E402

logging.disable_progress_bar()

LETTERS = {
    "pol": "aąbcćdeęfghijklłmnńoóprsśtuwyzźż",
    "deu": "abcdefghijklmnopqrstuvwxyzäöüß",
    "ron": "aăâbcdefghiîjklmnopqrsştţuvwxyz",
    "eng": "abcdefghijklmnopqrstuvwxyz0123",
    "rus": "абвгдежзийклмнопрстуфхцчшщъыьэюяё",
}
"""ISO 639-3 → letters; as in the real ones, they are read in small, without full stops, and one of
them is the blank too"""
_SIGNS = " '-_"
_SIZES: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 1, "ffn_dim": 32, "flow_size": 16,
    "spectrogram_bins": 17, "prior_encoder_num_flows": 2, "prior_encoder_num_wavenet_layers": 1,
    "posterior_encoder_num_wavenet_layers": 1, "upsample_initial_channel": 32,
    "upsample_rates": (8, 4, 4), "upsample_kernel_sizes": (16, 8, 8),
    "resblock_kernel_sizes": (3,), "resblock_dilation_sizes": ((1, 3),),
    "depth_separable_num_layers": 1, "duration_predictor_num_flows": 2,
    "duration_predictor_filter_channels": 16,
}  # fmt: skip
_FRAMES_PER_TOKEN = 5.0
"""40 ms: there are two tokens to a letter"""


def build(
    weights_dir: Path,
    languages: Iterable[str] = ("pol", "deu"),
    *,
    sizes: dict[str, Any] | None = None,
    frames_per_token: float = _FRAMES_PER_TOKEN,
    **tokenizer: Any,
) -> None:
    """Voices of ``languages`` (names of folders, so also ``urd-script_arabic``) below
    ``weights_dir``. sizes: of the networks, instead of tiny ones; tokenizer: further settings."""
    for number, name in enumerate(languages):
        folder = Path(weights_dir) / "mms-tts" / name
        folder.mkdir(parents=True, exist_ok=True)
        iso = name.partition("-")[0]
        letters = _SIGNS[0] + LETTERS.get(iso, LETTERS["eng"]) + _SIGNS[1:]
        vocabulary = {letter: token for token, letter in enumerate(letters[::-1])}
        (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
        settings = {"language": iso, "phonemize": False, "is_uroman": False} | tokenizer
        reader = VitsTokenizer(str(folder / "vocab.json"), pad_token=letters[-1], **settings)
        reader.save_pretrained(folder)
        config = VitsConfig(
            vocab_size=len(vocabulary), **(_SIZES if sizes is None else sizes), noise_scale=0.2
        )
        with torch.random.fork_rng([]):
            torch.manual_seed(number)
            model = VitsModel(config).eval()
        _slow_down(model, frames_per_token)
        model.save_pretrained(folder)


@torch.no_grad()
def _slow_down(model: VitsModel, frames: float) -> None:
    """Tokens of about ``frames`` each, where random weights would give them one or two."""
    predictor: Any = model.duration_predictor
    predictor.flows[0].translate[0] = -float(torch.tensor(frames).log())
    for flow in predictor.flows[1:]:
        flow.conv_proj.weight.mul_(0.01)
        flow.conv_proj.bias.zero_()
    model.config.noise_scale_duration = model.noise_scale_duration = 0.2
