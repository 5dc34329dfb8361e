"""Turns an NLLB-200 checkpoint as Hugging Face distributes it into the CTranslate2 model that
``nllb.py`` runs: int8, a quarter of the size.

Runs once, when weights are fetched, and imports torch and transformers only then. It downloads
nothing and translates nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from babblefish.engine.torchaudio_import import import_torchaudio
from babblefish.errors import WeightsError

TOKENIZER = "tokenizer.json"
VOCABULARY = "shared_vocabulary.json"
_FETCH = "`python app.py models fetch whisper-nllb`"
_NEEDED = (("config.json",), (TOKENIZER,), ("model.safetensors", "pytorch_model.bin"))
"""files of a checkpoint; of several, one is enough"""


def convert_nllb(source: Path, target: Path, quantization: str = "int8") -> None:
    """``source``: the checkpoint's folder. ``target``: the folder to make; it is complete or not
    there at all, and one that exists is replaced. Takes 4.4 GB of memory and about a minute for
    the model of 600 million parameters.

    quantization: any that CTranslate2 knows; "float32" keeps the weights as they are.
    Raises WeightsError("conversion" | "disk").
    """
    for names in _NEEDED:
        if not any((source / name).is_file() for name in names):
            raise _unusable(f"{source / names[0]} is missing")
    partial = target.with_name(f"{target.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)  # of a conversion that was killed
        partial.mkdir(parents=True)
        _convert(source, partial / "new", quantization)
        if target.exists():
            os.replace(target, partial / "old")
        os.replace(partial / "new", target)
    except WeightsError:
        raise
    except MemoryError as error:
        raise WeightsError(
            "conversion",
            "Converting the weights takes 4.5 GB of memory, and there is less. "
            f"Close other programs and run {_FETCH} again.",
        ) from error
    except Exception as error:
        # transformers raises OSError too, but for checkpoints it cannot read: without a number.
        if isinstance(error, OSError) and error.errno is not None:
            raise WeightsError(
                "disk",
                f"{target} cannot be written: {error.strerror}. "
                f"Make room (600M parameters need 0.7 GB) and run {_FETCH} again.",
            ) from error
        raise _unusable(f"{source} cannot be converted ({type(error).__name__})") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _convert(source: Path, folder: Path, quantization: str) -> None:
    with contextlib.suppress(ImportError):
        import_torchaudio()  # transformers' models import it, and may find one that cannot be
    from ctranslate2.converters import TransformersConverter

    with _offline_and_quiet():
        TransformersConverter(str(source), copy_files=[TOKENIZER]).convert(
            str(folder), quantization=quantization
        )
    if not _same_numbers(folder):
        raise _unusable(f"The tokenizer in {source} does not belong to its model")


def _same_numbers(folder: Path) -> bool:
    """Whether the model numbers its tokens as the tokenizer does. transformers builds the list of
    tokens anew from several files; were it off by one, every translation would be nonsense."""
    from tokenizers import Tokenizer

    model = json.loads((folder / VOCABULARY).read_text(encoding="utf-8"))
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER)).get_vocab()
    return {token: number for number, token in enumerate(model) if token in tokenizer} == tokenizer


@contextlib.contextmanager
def _offline_and_quiet() -> Iterator[None]:
    """Whatever transformers would like to ask the hub, it goes by the files that are there; and
    shows no progress bars of its own."""
    from huggingface_hub import constants
    from transformers.utils import logging

    offline, bars = constants.HF_HUB_OFFLINE, logging.is_progress_bar_enabled()
    constants.HF_HUB_OFFLINE = True
    logging.disable_progress_bar()
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = offline
        if bars:
            logging.enable_progress_bar()


def _unusable(what: str) -> WeightsError:
    return WeightsError("conversion", f"{what}. Fetch the weights again: run {_FETCH}.")
