"""Loads a checkpoint into a model piece by piece, in the precision wanted.

A model is built without weights (on torch's ``meta`` device) and each of its layers is filled from
the safetensors files, quantised at once where ``int8`` is asked for: a full-precision copy of the
whole never exists. Knows no particular network.
"""

from __future__ import annotations

import ctypes
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from babblefish.engine.precision import Precision
from babblefish.errors import WeightsError

DTYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "int8": torch.float32,
}  # fmt: skip
"""of activations, and of weights that are not quantised"""
_LARGEST = 127
"""of an int8 weight"""
_MOST_AT_ONCE = 8
"""layers that are read at a time; each takes up to a hundred megabytes meanwhile"""
_STORED = torch.bfloat16
"""of embedding tables beside quantised layers: they are looked up, never multiplied with"""


def without_weights(build: Callable[[], nn.Module]) -> nn.Module:
    """The module that ``build`` makes, with no memory behind its parameters."""
    with torch.device("meta"):
        return build().eval()


class Checkpoint:
    """The safetensors files of one model, as ``save_pretrained`` writes them."""

    def __init__(self, folder: Path) -> None:
        """Raises WeightsError("missing" | "broken")."""
        self._folder = folder
        index, single = folder / "model.safetensors.index.json", folder / "model.safetensors"
        try:
            if index.is_file():
                self._files: Mapping[str, str] = json.loads(index.read_text())["weight_map"]
            elif single.is_file():
                with safe_open(single, "pt") as file:
                    self._files = dict.fromkeys(file.keys(), single.name)
            else:
                raise WeightsError("missing", f"{single} is missing.")
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise WeightsError("broken", f"{folder} cannot be read.") from error

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def read(self, name: str) -> torch.Tensor:
        """One tensor as it was stored, copied into memory of its own.

        Opens the file anew each time: pages of a file that stays mapped count as memory in use.
        Raises WeightsError("broken").
        """
        try:
            with safe_open(self._folder / self._files[name], "pt") as file:
                return file.get_tensor(name).clone()
        except (OSError, KeyError, SafetensorError) as error:
            raise WeightsError("broken", f"{self._folder} lacks {name}.") from error


class PieceLoader:
    """Fills modules from one checkpoint. Several layers are read and quantised at a time."""

    def __init__(
        self, checkpoint: Checkpoint, precision: Precision, device: str = "cpu",
        aliases: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """aliases: name of a parameter → the name that a checkpoint may have stored it under
        instead, for weights that are shared."""
        self._checkpoint, self._precision, self._device = checkpoint, precision, device
        self.dtype = DTYPES[precision]
        self._aliases = dict(aliases or {})

    def fill(self, module: nn.Module, prefix: str) -> None:
        """Load everything below ``module``, whose parameters the checkpoint has under ``prefix``
        and a dot. Raises WeightsError("broken") where the checkpoint lacks one of them."""
        workers = min(_MOST_AT_ONCE, torch.get_num_threads())
        with ThreadPoolExecutor(workers, "weights") as pool:
            tasks = [pool.submit(task) for task in self._tasks(module, prefix)]
            for task in tasks:
                task.result()
        return_memory()

    def linear(self, *paths: str) -> nn.Module:
        """A linear layer whose outputs are those of the layers ``paths``, one after the other."""
        weight = torch.cat([self._read(f"{path}.weight") for path in paths])
        biased = f"{paths[0]}.bias" in self._checkpoint
        bias = torch.cat([self._read(f"{path}.bias") for path in paths]) if biased else None
        if self._precision == "int8":
            return Int8Linear(weight.float(), None if bias is None else bias.float())
        layer = nn.Linear(weight.shape[1], weight.shape[0], biased, device="meta")
        layer.weight = self._parameter(weight, self.dtype)
        if bias is not None:
            layer.bias = self._parameter(bias, self.dtype)
        return layer

    def norm(self, path: str, epsilon: float = 1e-5) -> nn.LayerNorm:
        weight, bias = (self._read(f"{path}.{name}") for name in ("weight", "bias"))
        norm = nn.LayerNorm(len(weight), epsilon, device="meta")
        norm.weight, norm.bias = (self._parameter(w, self.dtype) for w in (weight, bias))
        return norm

    def embedding(self, path: str, scale: float = 1.0) -> Callable[[torch.Tensor], torch.Tensor]:
        """Tokens → their vectors, ``scale`` times as long."""
        dtype = _STORED if self._precision == "int8" else self.dtype
        table = self._read(f"{path}.weight").to(self._device, dtype)
        return lambda tokens: nn.functional.embedding(tokens, table).to(self.dtype) * scale

    def _parameter(self, value: torch.Tensor, dtype: torch.dtype) -> nn.Parameter:
        return nn.Parameter(value.to(self._device, dtype), requires_grad=False)

    def _tasks(self, module: nn.Module, prefix: str) -> Iterator[Callable[[], None]]:
        for name, child in list(module.named_children()):
            path = f"{prefix}.{name}"
            if self._precision == "int8" and (type(child) is nn.Linear or _is_pointwise(child)):
                yield partial(self._quantise, module, name, path)
            else:
                yield from self._tasks(child, path)
        yield partial(self._fill_own, module, prefix)

    def _fill_own(self, module: nn.Module, prefix: str) -> None:
        for name, parameter in list(module.named_parameters(recurse=False)):
            value = self._read(f"{prefix}.{name}", parameter.shape)
            setattr(module, name, self._parameter(value, self.dtype))
        for name, buffer in list(module.named_buffers(recurse=False)):
            if name not in module._non_persistent_buffers_set:
                value = self._read(f"{prefix}.{name}", buffer.shape)
                setattr(module, name, value.to(self._device))

    def _read(self, name: str, shape: torch.Size | None = None) -> torch.Tensor:
        if name not in self._checkpoint:
            name = self._aliases.get(name, name)
        value = self._checkpoint.read(name)
        if shape is not None and value.shape != shape:
            raise WeightsError("broken", f"{name} has the shape {tuple(value.shape)}.")
        return value

    def _quantise(self, parent: nn.Module, name: str, path: str) -> None:
        """Replace a linear layer, or a convolution over one step, which is one too."""
        layer = parent.get_submodule(name)
        assert isinstance(layer, nn.Linear | nn.Conv1d)
        weight = self._read(f"{path}.weight", layer.weight.shape).float()
        bias = None if layer.bias is None else self._read(f"{path}.bias", layer.bias.shape).float()
        if isinstance(layer, nn.Linear):
            setattr(parent, name, Int8Linear(weight, bias))
        else:
            setattr(parent, name, PointwiseConvolution(Int8Linear(weight.squeeze(2), bias)))


# Tensors of quantised types are to leave torch some day; this program pins its version.
warnings.filterwarnings("ignore", message="torch.quantize_per_tensor")


class Int8Linear(nn.Module):
    """A linear layer with int8 weights, each row scaled by itself; its input is quantised as it
    comes."""

    weight = None
    """there is none that others may look at"""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        """weight: (out, in) float32; bias: (out,) float32."""
        super().__init__()
        scales = torch.linalg.vector_norm(weight, torch.inf, 1).clamp(min=1e-8) / _LARGEST
        zeros = torch.zeros(len(scales), dtype=torch.long)
        quantised = torch.quantize_per_channel(weight, scales.double(), zeros, 0, torch.qint8)
        self._packed = torch.ops.quantized.linear_prepack(quantised, bias)

    @classmethod
    def of(cls, weight: torch.Tensor, scales: torch.Tensor, bias: torch.Tensor | None) -> Self:
        """weight: (out, in) int8, ``scales`` (out,) times of which are the numbers meant."""
        layer = cls.__new__(cls)
        nn.Module.__init__(layer)
        zeros = torch.zeros(len(scales), dtype=torch.long)
        made: Any = torch._make_per_channel_quantized_tensor  # pyright: ignore[reportPrivateImportUsage]
        quantised = made(weight, scales.double(), zeros, 0)
        layer._packed = torch.ops.quantized.linear_prepack(quantised, bias)
        return layer

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        # Seven bits of input: eight of both would overflow what AVX2 adds up in.
        return torch.ops.quantized.linear_dynamic(values, self._packed, reduce_range=True)


class PointwiseConvolution(nn.Module):
    """A Conv1d with a kernel of one step: (batch, channels, time) in and out."""

    def __init__(self, linear: nn.Module) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        return self.linear(signal.transpose(1, 2)).transpose(1, 2)


def return_memory() -> None:
    """What was freed meanwhile, back to the system, where the C library can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _is_pointwise(layer: nn.Module) -> bool:
    return type(layer) is nn.Conv1d and layer.kernel_size == (1,) and layer.groups == 1
