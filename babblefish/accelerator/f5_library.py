"""The classes of F5-TTS and Vocos, imported without what only training needs.

``f5_tts.model`` imports its trainer, and with it accelerate, datasets and wandb; here the package
is entered without running that. ``f5_tts.infer`` is not used at all: it keeps reference clips in
temporary files and prints what is said in them. The only module that imports f5_tts.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

from babblefish.engine.torchaudio_import import import_torchaudio
from babblefish.errors import WeightsError

_PACKAGE = "f5_tts.model"


def _enter_package() -> None:
    if _PACKAGE in sys.modules:
        return
    root = importlib.import_module("f5_tts")
    package = ModuleType(_PACKAGE, "F5-TTS's networks, without its trainer")
    package.__path__ = [f"{path}/model" for path in root.__path__]
    sys.modules[_PACKAGE] = package


try:
    import_torchaudio()
    _enter_package()
    _cfm = importlib.import_module(f"{_PACKAGE}.cfm")
    _dit = importlib.import_module(f"{_PACKAGE}.backbones.dit")
    _modules = importlib.import_module(f"{_PACKAGE}.modules")
    _utils = importlib.import_module(f"{_PACKAGE}.utils")
    _vocos = importlib.import_module("vocos")
except ImportError as error:
    raise WeightsError(
        "library",
        f"F5-TTS is not installed here ({error.name} is missing). Run `make accelerator`, or "
        "install requirements-accelerator.txt.",
    ) from error

CFM: Any = _cfm.CFM
DiT: Any = _dit.DiT
Vocos: Any = _vocos.Vocos
convert_char_to_pinyin: Any = _utils.convert_char_to_pinyin
epss_timesteps: Any = _utils.get_epss_timesteps
tokenizer: Any = _utils.get_tokenizer
rotary_positions: Any = _modules.precompute_freqs_cis
mel_spectrogram: Any = _modules.get_vocos_mel_spectrogram
