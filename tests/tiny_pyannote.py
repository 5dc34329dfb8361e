"""pyannote/embedding without the weights: the real network with random ones, in a checkpoint that
holds what the published one holds.

Lightning 1.2.7 saved that one in the middle of training: with the optimiser's state, the weights of
the loss function, and callbacks whose keys are classes.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

from babblefish.engine.torchaudio_import import import_torchaudio

import_torchaudio()
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from pyannote.audio.core.task import Problem, Resolution, Specifications
    from pyannote.audio.models.embedding.xvector import XVectorSincNet
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint  # noqa: E402

_VOICES = 10
"""that the loss function knows; the published one 7205"""


def build(weights_dir: Path, dimension: int = 512) -> Path:
    """Returns the path of the checkpoint, where ``PyannoteEncoder`` looks for it."""
    path = Path(weights_dir) / "pyannote-embedding" / "pytorch_model.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        torch.save(checkpoint(network(dimension)), path)
    return path


def network(dimension: int = 512) -> XVectorSincNet:
    """With random weights, and statistics as if it had been trained."""
    model = XVectorSincNet(dimension=dimension)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean = torch.randn(module.num_features) * 0.1
            module.running_var = torch.rand(module.num_features) + 0.5
    model.specifications = Specifications(
        problem=Problem.REPRESENTATION,
        resolution=Resolution.CHUNK,
        duration=2.0,
        classes=[f"id{number:05d}" for number in range(_VOICES)],
    )
    return model.eval()


def checkpoint(model: XVectorSincNet) -> dict[str, Any]:
    """What Lightning's Trainer.save_checkpoint would write."""
    weights = dict(model.state_dict())
    weights["loss_func.W"] = torch.randn(model.dimension, _VOICES)
    adam = torch.optim.Adam(model.parameters())
    torch.stack([parameter.sum() for parameter in model.parameters()]).sum().backward()
    adam.step()
    saved: dict[str, Any] = {
        "epoch": 1,
        "global_step": 2,
        "pytorch-lightning_version": "1.2.7",
        "state_dict": weights,
        "callbacks": {
            ModelCheckpoint: {"best_model_path": Path("/somewhere/best.ckpt")},
            EarlyStopping: {"wait_count": 0, "best_score": torch.tensor(0.03)},
        },
        "optimizer_states": [adam.state_dict()],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": dict(model.hparams),
    }
    model.on_save_checkpoint(saved)
    saved["pyannote.audio"]["versions"] = {"torch": "1.8.1+cu102", "pyannote.audio": "0.0.1"}
    return saved
