"""Which numbers a large network computes with on this machine.

``fp32`` is exact and slow; ``bf16`` takes half the memory, and less time where the processor
multiplies it natively; ``int8`` takes a quarter and is the fastest everywhere else, at a small
loss. On a GPU it is 16 bits of whichever kind the GPU knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from babblefish.errors import SettingsError

Precision = Literal["fp32", "bf16", "fp16", "int8"]


@dataclass(frozen=True, slots=True)
class Machine:
    """What decides about precision."""

    device: str
    """cpu or cuda"""
    memory: float
    """bytes available to the network, on its device"""
    native_bf16: bool
    """whether the processor multiplies bf16 by itself"""
    int8: bool
    """whether torch has int8 kernels for it"""


def choose(machine: Machine, parameters: float) -> Precision:
    """The best precision for a network of so many ``parameters``.

    A third more than the weights must be free: for activations, and for what else grows.
    """
    fits = {name: parameters * size * 4 / 3 <= machine.memory for name, size in _BYTES.items()}
    if machine.device != "cpu":
        return "bf16" if machine.native_bf16 else "fp16"
    if machine.native_bf16 and fits["bf16"]:
        return "bf16"
    if machine.int8:
        return "int8"
    return "fp32" if fits["fp32"] else "bf16"


_BYTES: dict[Precision, int] = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}


def this_machine(device: str) -> Machine:
    """Raises nothing: what cannot be found out counts as absent. Imports torch."""
    import psutil
    import torch

    if device != "cpu":
        free, _ = torch.cuda.mem_get_info()
        return Machine(device, free, torch.cuda.is_bf16_supported(), False)
    cpu = torch.cpu.get_capabilities()
    native = bool(cpu.get("avx512_bf16") or cpu.get("amx_bf16") or cpu.get("bf16"))
    engines = torch.backends.quantized.supported_engines
    return Machine(
        "cpu",
        psutil.virtual_memory().available,
        native,
        any(e in engines for e in ("x86", "qnnpack")),
    )


def checked(wanted: str, device: str) -> None:
    """Raises SettingsError("precision") for what ``device`` cannot compute with."""
    if wanted == "int8" and device != "cpu":
        raise SettingsError(
            "precision",
            "int8 is for the CPU. Start with --precision fp16 or bf16 on a GPU, or with "
            "--device cpu.",
        )


def usable_device(wanted: str) -> str:
    """cpu or cuda, for ``wanted`` or for auto. Imports torch.

    Raises SettingsError("device") where there is no GPU that torch can use.
    """
    import torch

    if wanted == "cpu":
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    if wanted == "auto":
        return "cpu"
    raise SettingsError(
        "device",
        "No GPU can be used: this torch is built for the CPU, or there is no driver. Start with "
        "--device cpu, or install a CUDA build of the same torch version.",
    )
