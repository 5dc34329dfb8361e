"""The checkpoints of F5-TTS that are known here: which languages each one speaks, under which
licence, and where its files come from.

The list is the one that F5-TTS itself keeps of what its community shares (its file
``infer/SHARED.md``). Nothing here reaches the network but ``fetch``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from babblefish.engine.catalogue import HubFile, Model, WeightFile
from babblefish.engine.models import Progress, check, files_of, silent, state
from babblefish.errors import WeightsError

Generation = Literal["v0", "v1"]
"""of F5's base network, which a checkpoint was trained from; its file does not tell"""
FOLDER = "f5"
"""below the weights directory"""
_BASE_SIZE, _SMALL_SIZE, _VOCABULARY_SIZE = 1_350_000_000, 640_000_000, 14_000
_NC = "CC-BY-NC-4.0"


@dataclass(frozen=True, slots=True)
class F5Checkpoint:
    key: str
    """of the command line, such as fr"""
    languages: tuple[str, ...]
    """ISO 639-1"""
    generation: Generation
    model: Model
    """its files: weights, vocabulary"""

    def weights(self, weights_dir: Path) -> Path:
        return weights_dir / self.model.files[0].path

    def vocabulary(self, weights_dir: Path) -> Path:
        return weights_dir / self.model.files[1].path


def _checkpoint(
    key: str, name: str, languages: str, licence: str, repo: str, weights: str,
    vocabulary: str = "vocab.txt", generation: Generation = "v0", size: int = _BASE_SIZE,
) -> F5Checkpoint:  # fmt: skip
    def file(path: str, size: int) -> WeightFile:
        local = f"{FOLDER}/{key}/{path.rpartition('/')[2]}"
        return WeightFile(local, size, hub=HubFile(repo, "main", path))

    return F5Checkpoint(
        key, tuple(languages.split()), generation,
        Model(
            name, licence, "-NC-" not in licence,
            (file(weights, size), file(vocabulary, _VOCABULARY_SIZE)), key=key,
        ),
    )  # fmt: skip


VOCOS = Model(
    "Vocos, the vocoder of all of them", "MIT", True,
    tuple(
        WeightFile(f"{FOLDER}/vocos/{name}", size,
                   hub=HubFile("charactr/vocos-mel-24khz", "main", name))
        for name, size in (("pytorch_model.bin", 54_400_000), ("config.yaml", 460))
    ),
    key="vocos",
)  # fmt: skip
BASE = _checkpoint(
    "base", "F5-TTS v1 Base", "en zh", _NC, "SWivid/F5-TTS",
    "F5TTS_v1_Base/model_1250000.safetensors", "F5TTS_v1_Base/vocab.txt", "v1",
)  # fmt: skip
CHECKPOINTS = (
    BASE,
    _checkpoint("ar", "F5-TTS Small, Arabic (SILMA AI)", "ar", "Apache-2.0",
                "silma-ai/silma-tts", "model.pt", size=_SMALL_SIZE),
    _checkpoint("de", "F5-TTS Base, German (hvoss-techfak)", "de", _NC,
                "hvoss-techfak/F5-TTS-German", "model_f5tts_german.pt"),
    _checkpoint("es", "F5-TTS Base, Spanish (jpgallegoar)", "es", "CC0-1.0",
                "jpgallegoar/F5-Spanish", "model_1200000.safetensors"),
    _checkpoint("fi", "F5-TTS Base, Finnish (AsmoKoskinen)", "fi", _NC,
                "AsmoKoskinen/F5-TTS_Finnish_Model",
                "model_common_voice_fi_vox_populi_fi_20241206.safetensors"),
    _checkpoint("fr", "F5-TTS Base, French (RASPIAUDIO)", "fr", _NC,
                "RASPIAUDIO/F5-French-MixedSpeakers-reduced", "model_last_reduced.pt"),
    _checkpoint("hi", "F5-TTS Small, Hindi (SPRING Lab)", "hi", "CC-BY-4.0",
                "SPRINGLab/F5-Hindi-24KHz", "model_2500000.safetensors", size=_SMALL_SIZE),
    _checkpoint("it", "F5-TTS Base, Italian (alien79)", "it", _NC,
                "alien79/F5-TTS-italian", "model_159600.safetensors"),
    _checkpoint("ja", "F5-TTS Base, Japanese (Jmica)", "ja", _NC, "Jmica/F5TTS",
                "JA_21999120/model_21999120.pt", "JA_21999120/vocab_japanese.txt"),
    _checkpoint("lv", "F5-TTS Base, Latvian (RaivisDejus)", "lv", "CC0-1.0",
                "RaivisDejus/F5-TTS-Latvian", "model.safetensors"),
    _checkpoint("ru", "F5-TTS Base, Russian (HotDro4illa)", "ru", _NC,
                "hotstone228/F5-TTS-Russian", "model_last.safetensors"),
)  # fmt: skip
NOTE = (
    "F5-TTS's own weights, and most of those made from them, may not be used commercially "
    "(CC-BY-NC-4.0). Those marked otherwise are what their authors say."
)
"""for where somebody chooses checkpoints"""


def named(key: str) -> F5Checkpoint:
    """By its key, or by a language that it speaks. Raises WeightsError("choice")."""
    wanted = key.strip().casefold()
    for checkpoint in CHECKPOINTS:
        if wanted == checkpoint.key or wanted in checkpoint.languages:
            return checkpoint
    known = ", ".join(checkpoint.key for checkpoint in CHECKPOINTS)
    raise WeightsError("choice", f"There is no checkpoint {key}. There are: {known}.")


def installed(weights_dir: Path) -> tuple[F5Checkpoint, ...]:
    """Those that can be loaded now: cheap, by names and lengths; none without the vocoder."""
    if state(VOCOS, weights_dir) != "installed":
        return ()
    return tuple(c for c in CHECKPOINTS if state(c.model, weights_dir) == "installed")


def speakers_of(weights_dir: Path) -> dict[str, F5Checkpoint]:
    """Language → the installed checkpoint that speaks it."""
    found: dict[str, F5Checkpoint] = {}
    for checkpoint in installed(weights_dir):
        for language in checkpoint.languages:
            found.setdefault(language, checkpoint)
    return found


def verify(checkpoint: F5Checkpoint, weights_dir: Path, progress: Progress = silent) -> None:
    """Make sure that its files and the vocoder's are what was fetched. A file is hashed once, and
    again when it changed.

    Raises WeightsError("missing" | "truncated" | "altered").
    """
    fix = f"Fetch it again: {command([checkpoint.key])}."
    work = [
        (file, fix) for model in (VOCOS, checkpoint.model) for file in files_of(model, weights_dir)
    ]
    check(work, weights_dir, progress=progress)


def command(keys: Sequence[str]) -> str:
    """What to type to fetch these."""
    return f"python accelerator_app.py --fetch {','.join(keys)}"


def fetch(
    keys: Sequence[str], weights_dir: Path, *, source_dir: Path | None = None,
    progress: Progress = silent, endpoint: str | None = None,
) -> None:  # fmt: skip
    """Get checkpoints, and the vocoder, where they are not there yet. May be interrupted and run
    again: what came is kept, half a file too. Call ``settings.go_online`` before, unless
    ``source_dir`` is given.

    keys: as ``named`` takes them. source_dir: a folder with copies made by hand, instead of the
    network: repositories by their name, or Hugging Face's own cache. endpoint: address of the hub.
    Raises WeightsError("choice" | "download" | "gated" | "gone" | "altered" | "disk" | "busy").
    """
    from babblefish.engine.fetching import Fetch

    chosen = list(dict.fromkeys(named(key) for key in keys))

    def verify_all() -> None:
        for checkpoint in chosen:
            verify(checkpoint, weights_dir, progress)

    models = [VOCOS, *(checkpoint.model for checkpoint in chosen)]
    Fetch(models, verify_all, weights_dir, source_dir, progress, endpoint).run()
