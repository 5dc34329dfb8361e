"""F5-TTS from its files: the network that one checkpoint holds, and the vocoder behind it.

Checkpoints are read tensor by tensor into the precision wanted, so that a laptop never holds a
second copy; how large a network is follows from the shapes in the file. Reads only what is on
disk, writes nothing, prints nothing. All of it runs on the thread that calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors import SafetensorError, safe_open

from babblefish.accelerator import f5_library
from babblefish.accelerator.attention import MaskedAttention
from babblefish.accelerator.checkpoints import Generation
from babblefish.accelerator.sampling import CHANNELS, Row, Sampling, sample
from babblefish.engine.checkpoints import DTYPES
from babblefish.engine.precision import Precision
from babblefish.errors import WeightsError

RATE = 24_000
"""Hertz, of references and of what is spoken"""
HOP = 256
"""samples of one mel frame"""
FRAMES_PER_SECOND = RATE / HOP

_GENERATIONS: dict[Generation, dict[str, Any]] = {
    "v0": {"text_mask_padding": False, "pe_attn_head": 1},
    "v1": {"text_mask_padding": True, "pe_attn_head": None},
}


def best_precision(device: str) -> Precision:
    """16 bits where the device is quicker with them: of processors those with AMX; AVX-512's are
    slower than 32 bits, measured."""
    if device == "cuda":
        return "fp16" if torch.cuda.get_device_capability()[0] >= 7 else "fp32"
    return "bf16" if torch.cpu.get_capabilities().get("amx_bf16") else "fp32"


def mel_of(samples: np.ndarray) -> torch.Tensor:
    """A reference as the network hears it. samples: (n,) float32 at ``RATE``.

    Returns (n // HOP, CHANNELS) float32 on the CPU.
    """
    wave = torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32))[None]
    with torch.no_grad():
        mel = f5_library.mel_spectrogram(wave)[0].T
    return mel[: len(samples) // HOP].contiguous()


class Vocabulary:
    """What a checkpoint reads: letters, and syllables of Chinese."""

    def __init__(self, path: Path) -> None:
        """Raises WeightsError("missing" | "broken")."""
        try:
            self._numbers, self.size = f5_library.tokenizer(str(path), "custom")
        except FileNotFoundError as error:
            raise WeightsError("missing", f"{path} is missing.") from error
        except (OSError, ValueError) as error:
            raise WeightsError("broken", f"{path} cannot be read.") from error

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._numbers

    def numbers(self, symbols: Sequence[str]) -> torch.Tensor:
        """(n,) int64; what it does not know becomes a space."""
        return torch.tensor([self._numbers.get(symbol, 0) for symbol in symbols], dtype=torch.long)


@dataclass(frozen=True, slots=True)
class CheckpointFiles:
    weights: Path
    """.safetensors, or .pt"""
    vocabulary: Path
    generation: Generation


class F5Network:
    """One checkpoint, on its device."""

    def __init__(
        self, files: CheckpointFiles, device: str, precision: Precision, *, compiled: bool = False
    ) -> None:
        """compiled: torch.compile the transformer's blocks: a minute at first, quicker after.

        Raises WeightsError("missing" | "broken"), torch.OutOfMemoryError.
        """
        self.vocabulary = Vocabulary(files.vocabulary)
        self.device, self.precision = device, precision
        self.network = _load(files, self.vocabulary, device, DTYPES[precision])
        self.parameters = sum(weight.numel() for weight in self.network.parameters())
        if compiled:
            for block in self.network.transformer_blocks:
                block.compile(dynamic=True)

    def sample(
        self, rows: Sequence[Row], sampling: Sampling, check: Callable[[], None] = lambda: None
    ) -> list[torch.Tensor]:
        """As ``sampling.sample``."""
        return sample(self.network, rows, sampling, check)


class Vocoder:
    """Vocos: mel frames to sound, in 32 bits."""

    def __init__(self, folder: Path, device: str) -> None:
        """folder: with config.yaml and pytorch_model.bin.

        Raises WeightsError("missing" | "broken").
        """
        config, weights = folder / "config.yaml", folder / "pytorch_model.bin"
        _check_there(config, weights)
        try:
            parts = yaml.safe_load(config.read_text())
            if any(not parts[part]["class_path"].startswith("vocos.") for part in parts):
                raise WeightsError("broken", f"{config} does not describe a Vocos vocoder.")
            vocoder = f5_library.Vocos.from_hparams(str(config))
            state = torch.load(weights, map_location="cpu", weights_only=True, mmap=True)
            vocoder.load_state_dict(state)
        except WeightsError:
            raise
        except Exception as error:  # torch.load and load_state_dict raise what they like
            raise WeightsError("broken", f"{folder} holds no vocoder that can be read.") from error
        self._device = device
        self._vocoder = vocoder.float().eval().to(device)

    @torch.inference_mode()
    def speak(self, mel: torch.Tensor) -> np.ndarray:
        """(frames, CHANNELS) → (n,) float32 at ``RATE``, ``HOP`` samples a frame."""
        spectrum = mel.T[None].float().to(self._device)
        return self._vocoder.decode(spectrum)[0].float().cpu().numpy()


def _load(files: CheckpointFiles, vocabulary: Vocabulary, device: str, dtype: torch.dtype) -> Any:
    """The DiT of a checkpoint."""
    _check_there(files.weights)
    with _reading(files.weights):
        shapes = {name: tuple(value.shape) for name, value in _tensors(files.weights)}
        arguments = _architecture(shapes, files)
        if arguments["text_num_embeds"] != vocabulary.size:
            raise WeightsError(
                "broken",
                f"{files.vocabulary.name} has {vocabulary.size} symbols, and "
                f"{files.weights.name} was trained with {arguments['text_num_embeds']}: they "
                "do not belong together.",
            )
        with torch.device("meta"):
            network = f5_library.DiT(**arguments, mel_dim=CHANNELS)
        state = {
            name: value.to(device, torch.float32 if _is_exact(name) else dtype, copy=True)
            for name, value in _tensors(files.weights)
        }
        network.load_state_dict(state, strict=True, assign=True)
    _complete(network, device, dtype)
    for block in network.transformer_blocks:
        block.attn.processor = MaskedAttention(arguments["pe_attn_head"])
    return network.eval().requires_grad_(False)


def _is_exact(name: str) -> bool:
    """What stays in 32 bits: positions and times would be rounded to their neighbours."""
    return name.startswith(("rotary_embed.", "time_embed."))


def _complete(network: Any, device: str, dtype: torch.dtype) -> None:
    """Fill what no checkpoint holds, and fit 32 bit times to 16 bit layers."""
    text = network.text_embed
    if text.extra_modeling:
        width = text.text_embed.weight.shape[1]
        positions = f5_library.rotary_positions(width, text.precompute_max_pos)
        text.freqs_cis = positions.to(device, dtype)
    network.time_embed.register_forward_hook(lambda module, inputs, output: output.to(dtype))


def _architecture(shapes: dict[str, tuple[int, ...]], files: CheckpointFiles) -> dict[str, Any]:
    """The arguments of DiT. Raises WeightsError("broken")."""
    try:
        embeddings, text_width = shapes["text_embed.text_embed.weight"]
        inner, width = shapes["transformer_blocks.0.attn.to_q.weight"]
        head = 2 * shapes["rotary_embed.inv_freq"][0]
        hidden = shapes["transformer_blocks.0.ff.ff.0.0.weight"][0]
    except KeyError as error:
        raise WeightsError("broken", f"{files.weights} is no checkpoint of F5-TTS.") from error
    return {
        "dim": width, "depth": _count(shapes, "transformer_blocks."), "heads": inner // head,
        "dim_head": head, "ff_mult": hidden / width, "text_dim": text_width,
        "text_num_embeds": embeddings - 1, "conv_layers": _count(shapes, "text_embed.text_blocks."),
        **_GENERATIONS[files.generation],
    }  # fmt: skip


def _count(shapes: dict[str, tuple[int, ...]], prefix: str) -> int:
    return len({name[len(prefix) :].split(".")[0] for name in shapes if name.startswith(prefix)})


def _tensors(path: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """What belongs to the transformer, by the names that it has there."""
    if path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            for stored in file.keys():  # noqa: SIM118 - a file, not a mapping
                if name := _name(stored):
                    yield name, file.get_tensor(stored)
        return
    whole = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    state = whole.get("ema_model_state_dict") or whole.get("model_state_dict") or whole
    for stored, value in state.items():
        if name := _name(stored):
            yield name, value


def _name(stored: str) -> str:
    """Empty for what is no part of the transformer."""
    name = stored.removeprefix("ema_model.")
    return name.removeprefix("transformer.") if name.startswith("transformer.") else ""


def _check_there(*paths: Path) -> None:
    for path in paths:
        if not path.is_file():
            raise WeightsError("missing", f"{path} is missing. Fetch it again.")


class _reading:
    """Errors of reading ``path`` as WeightsErrors."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, WeightsError | torch.OutOfMemoryError | MemoryError):
            return
        if isinstance(error, Exception | SafetensorError):
            raise WeightsError(
                "broken", f"{self._path} cannot be read, or is cut off. Fetch it again."
            ) from error
