"""The networks that are loaded: one for each checkpoint in use, and the vocoder behind them.

A language that is spoken for the first time has its network loaded, which takes a moment; the one
not used for longest makes room. Everything here runs on one thread.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from babblefish.accelerator import checkpoints, sound, text
from babblefish.accelerator.f5 import CheckpointFiles, F5Network, Vocoder, best_precision, mel_of
from babblefish.accelerator.sampling import Row, Sampling
from babblefish.engine.precision import Precision
from babblefish.errors import WeightsError

STEPS = (32, 16, 12, 10, 7)
"""that are worth choosing from: fewer than 7 are not speech any more, more than 32 are not heard"""
_SOON = 0.5
"""seconds that a first clause may take; fewer steps where it would take longer"""
_TYPICAL_FRAMES = 800
"""of a reference of 7 s and a first clause"""
_FEW = 5e6
"""parameters; networks smaller than this wait for their threads more than they compute"""
_WARM_UP = "Good morning, everybody."


class Networks:
    def __init__(
        self, weights_dir: Path, device: str, precision: Precision | None, most: int,
        *, compiled: bool = False, memory_mb: int = 0,
    ) -> None:  # fmt: skip
        """precision: None takes what is best here. most: networks that stay loaded. memory_mb: of
        a GPU, not to be exceeded; 0: all of it."""
        self.precision: Precision = precision or best_precision(device)
        self._weights_dir, self._device, self._most = weights_dir, device, most
        self._compiled, self._memory_mb = compiled, memory_mb
        self._loaded: OrderedDict[str, F5Network] = OrderedDict()
        self._vocoder: Vocoder | None = None

    def start(self, tell: Callable[[str], None]) -> float:
        """Load what the first language needs, and try it: on numbers of 16 bits that overflow,
        as on some older GPUs, 32 are used. tell: what is being done, for people.

        Returns seconds that one step takes for a frame.
        Raises WeightsError, SynthesisError.
        """
        self._bound_memory()
        tell("Loading the vocoder")
        first = next(iter(checkpoints.speakers_of(self._weights_dir).values()), None)
        if first is None:
            raise WeightsError(
                "missing",
                "There are no weights of F5-TTS yet. Fetch them where there is a network: "
                f"{checkpoints.command(['base'])}. {checkpoints.NOTE}",
            )
        self._vocoder = Vocoder(self._weights_dir / checkpoints.VOCOS.folder, self._device)
        while True:
            network = self.get(first.key, tell)
            if self._device == "cpu" and network.parameters < _FEW:
                torch.set_num_threads(1)
            tell("Warming up")
            mel, seconds = self._try(network)
            if torch.isfinite(mel).all():
                self._vocoder.speak(mel)
                return seconds
            if self.precision == "fp32":
                raise WeightsError(
                    "broken", f"{first.model.name} yields no numbers. Fetch it again."
                )
            self.precision = "fp32"
            self._loaded.clear()

    def get(self, key: str, tell: Callable[[str], None]) -> F5Network:
        """Raises WeightsError, torch.OutOfMemoryError."""
        if key in self._loaded:
            self._loaded.move_to_end(key)
            return self._loaded[key]
        checkpoint = checkpoints.named(key)
        while len(self._loaded) >= self._most:
            self._loaded.popitem(last=False)
        self.empty_cache()
        tell(f"Checking {checkpoint.model.name}")
        checkpoints.verify(checkpoint, self._weights_dir)
        tell(f"Loading {checkpoint.model.name}")
        files = CheckpointFiles(
            checkpoint.weights(self._weights_dir), checkpoint.vocabulary(self._weights_dir),
            checkpoint.generation,
        )  # fmt: skip
        network = F5Network(files, self._device, self.precision, compiled=self._compiled)
        self._loaded[key] = network
        tell("")
        return network

    def speak(
        self, key: str, rows: Sequence[Row], sampling: Sampling, check: Callable[[], None]
    ) -> list[np.ndarray]:
        """(n,) float32 at 24 kHz for each row. check: as in ``sampling.sample``.

        Raises torch.OutOfMemoryError.
        """
        network = self._loaded[key]
        assert self._vocoder is not None
        return [self._vocoder.speak(mel) for mel in network.sample(rows, sampling, check)]

    def free(self, keep: str = "") -> None:
        """Unload all networks but one."""
        for key in [key for key in self._loaded if key != keep]:
            del self._loaded[key]
        self.empty_cache()

    def empty_cache(self) -> None:
        """What nobody uses, back to the device."""
        if self._device == "cuda":
            torch.cuda.empty_cache()

    def _try(self, network: F5Network) -> tuple[torch.Tensor, float]:
        seconds = 1.0 if self._device == "cpu" else 6.0
        hum = 0.1 * np.sin(np.arange(int(seconds * sound.RATE)) * (2 * np.pi * 150 / sound.RATE))
        mel = mel_of(hum.astype(np.float32))
        symbols = text.symbols(_WARM_UP, network.vocabulary)
        row = Row(mel, network.vocabulary.numbers(symbols), len(mel) + 120, 0)
        network.sample([row], Sampling(1))
        begun = time.perf_counter()
        tried = network.sample([row], Sampling(2))[0]
        return tried, (time.perf_counter() - begun) / (2 * row.frames)

    def _bound_memory(self) -> None:
        if self._device == "cuda" and self._memory_mb:
            total = torch.cuda.get_device_properties(0).total_memory >> 20
            torch.cuda.set_per_process_memory_fraction(min(1.0, self._memory_mb / total))


def steps_for(seconds_per_step_and_frame: float) -> int:
    """As many steps as leave a first clause quick; at least the fewest that are speech."""
    for steps in STEPS:
        if steps * _TYPICAL_FRAMES * seconds_per_step_and_frame <= _SOON:
            return steps
    return STEPS[-1]


def is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
