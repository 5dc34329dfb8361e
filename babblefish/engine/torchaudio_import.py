"""Makes ``import torchaudio`` work beside a torch of another build.

Registries carry torchaudio and torchcodec only as builds for CUDA. Beside a CPU build of torch
their native library cannot be loaded, and importing torchaudio raises OSError, which breaks
transformers' speech models and pyannote.audio. What these use of torchaudio (filter banks,
resampling) is pure Python, so it is imported with its native part declared absent.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


def import_torchaudio() -> ModuleType:
    """torchaudio, without its native part where that cannot be loaded. Call before importing
    transformers' speech models or pyannote.audio. Raises ImportError when it is not installed."""
    try:
        return importlib.import_module("torchaudio")
    except OSError:
        for name in [n for n in sys.modules if n.partition(".")[0] == "torchaudio"]:
            del sys.modules[name]
        sys.modules["torchaudio._extension"] = _absent()
        return importlib.import_module("torchaudio")


def _absent() -> ModuleType:
    extension = ModuleType("torchaudio._extension", "torchaudio without its native library")

    def check_cuda_version() -> None:
        """Nothing to check without a native library."""

    def fail_if_no_align(function: Any) -> Any:
        def refuse(*_: Any, **__: Any) -> None:
            raise RuntimeError(f"{function.__name__} needs torchaudio's native library.")

        return refuse

    vars(extension).update(
        _IS_TORCHAUDIO_EXT_AVAILABLE=False, _IS_ALIGN_AVAILABLE=False,
        _check_cuda_version=check_cuda_version, fail_if_no_align=fail_if_no_align,
    )  # fmt: skip
    return extension
