"""A weights folder in which every profile is installed: real weights of what package registries
carry, toys of what only the hub has, built by the libraries' own classes."""

from __future__ import annotations

from pathlib import Path

import pytest

from babblefish.engine import models, profiles
from babblefish.engine.profiles import Profile
from babblefish.settings import Settings
from tests import tiny_mms, tiny_nllb, tiny_pyannote, tiny_seamless, tiny_whisper

VOICES = ("pol", "deu")


def build(folder: Path, real: Path) -> Path:
    """real: folder of the compact profile's weights."""
    for name in ("whisper-base", "silero", "kokoro", "ge2e"):
        (folder / name).symlink_to(real / name)
    tiny_seamless.build(folder)
    tiny_nllb.build(folder)
    tiny_whisper.build(folder, real / "whisper-base")
    tiny_mms.build(folder, VOICES)
    tiny_pyannote.build(folder)
    return folder


def profile(name: str, folder: Path, patch: pytest.MonkeyPatch) -> Profile:
    """What ``name`` is on two cores. The catalogue is not asked: it can tell toys by their size."""
    found = models.Chosen("base", "600M", VOICES, has_pyannote=True)
    patch.setattr(models, "chosen", lambda profile, weights_dir: found)
    return profiles.PROFILES[name](Settings(weights_dir=folder, device="cpu"), 2)
