"""F5-TTS without the weights: real checkpoints of its own classes, tiny and random, that hiss
instead of speaking.

They have what the real ones have, down to the names in the files, so that the same code loads
them; levels are made plausible, so that what guards the sound has something to look at.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file

from babblefish.accelerator import checkpoints
from babblefish.accelerator.f5_library import CFM, DiT, Vocos, tokenizer
from babblefish.engine.models import Source, sha256

SIZES: dict[str, Any] = {
    "dim": 32, "depth": 2, "heads": 2, "dim_head": 16, "ff_mult": 2, "text_dim": 16,
    "conv_layers": 2,
}  # fmt: skip
V0 = {"text_mask_padding": False, "pe_attn_head": 1}
_VOCOS: dict[str, Any] = {
    "feature_extractor": {
        "class_path": "vocos.feature_extractors.MelSpectrogramFeatures",
        "init_args": {"sample_rate": 24000, "n_fft": 1024, "hop_length": 256, "n_mels": 100,
                      "padding": "center"},
    },
    "backbone": {
        "class_path": "vocos.models.VocosBackbone",
        "init_args": {"input_channels": 100, "dim": 32, "intermediate_dim": 64, "num_layers": 1},
    },
    "head": {
        "class_path": "vocos.heads.ISTFTHead",
        "init_args": {"dim": 32, "n_fft": 1024, "hop_length": 256, "padding": "center"},
    },
}  # fmt: skip
_LEVEL = 0.1
"""root mean square of what is spoken"""


def vocabulary_file() -> Path:
    """The one of the base checkpoint, which the library carries."""
    return Path(str(files("f5_tts").joinpath("infer/examples/vocab.txt")))


def network(seed: int = 0, vocabulary: Path | None = None, **sizes: Any) -> Any:
    """A CFM of the library that depends on everything it is given."""
    torch.manual_seed(seed)
    symbols, count = tokenizer(str(vocabulary or vocabulary_file()), "custom")
    arguments = {**SIZES, **sizes}
    transformer = DiT(**arguments, text_num_embeds=count, mel_dim=100)
    for name, parameter in transformer.named_parameters():
        if not parameter.any():  # what training starts from zero
            torch.nn.init.normal_(parameter, std=0.2 if name.endswith(("gamma", "beta")) else 0.05)
    return CFM(transformer=transformer, vocab_char_map=symbols).eval()


def write_checkpoint(
    path: Path, seed: int = 0, *, vocabulary: Path | None = None, **sizes: Any
) -> None:
    """``path`` (.safetensors or .pt) and vocab.txt beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    source = vocabulary or vocabulary_file()
    (path.parent / "vocab.txt").write_bytes(source.read_bytes())
    state = network(seed, source, **sizes).state_dict()
    kept = {f"ema_model.{name}": value.contiguous() for name, value in state.items()}
    kept |= {"initted": torch.tensor(True), "step": torch.tensor(1250000)}
    if path.suffix == ".pt":
        torch.save({"ema_model_state_dict": kept}, path)
    else:
        save_file(kept, path)


def write_vocoder(folder: Path, seed: int = 0, **sizes: Any) -> None:
    """config.yaml and pytorch_model.bin, as charactr/vocos-mel-24khz has them."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {name: {**part, "init_args": dict(part["init_args"])} for name, part in _VOCOS.items()}
    config["backbone"]["init_args"] |= sizes
    if "dim" in sizes:
        config["head"]["init_args"]["dim"] = sizes["dim"]
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    torch.manual_seed(seed)
    vocoder = Vocos.from_hparams(str(folder / "config.yaml")).eval()
    with torch.inference_mode():
        loud = vocoder.decode(torch.randn(1, 100, 200)).pow(2).mean().sqrt()
        vocoder.head.out.bias[:513] += torch.log(_LEVEL / loud)
    torch.save(vocoder.state_dict(), folder / "pytorch_model.bin")


def install(
    weights_dir: Path, *keys: str, vocoder: dict[str, Any] | None = None, **sizes: Any
) -> None:
    """Checkpoints, by their keys, and the vocoder, as if they were fetched. vocoder, sizes: of the
    networks, instead of tiny ones."""
    chosen = [checkpoints.named(key) for key in keys or ("base",)]
    write_vocoder(weights_dir / checkpoints.VOCOS.folder, **(vocoder or {}))
    for number, checkpoint in enumerate(chosen):
        old = {} if checkpoint.generation == "v1" else V0
        path = checkpoint.weights(weights_dir)
        write_checkpoint(path, number, **{**old, **sizes})
        (path.parent / "vocab.txt").rename(checkpoint.vocabulary(weights_dir))
    for model in (checkpoints.VOCOS, *(checkpoint.model for checkpoint in chosen)):
        folder = weights_dir / model.folder
        there = [folder / file.name for file in model.files]
        known = {path.name: (path.stat().st_size, sha256(path)) for path in there}
        Source("0" * 40, known).save(folder)
