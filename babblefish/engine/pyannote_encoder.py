"""Voiceprints with the x-vector network that pyannote publishes as ``pyannote/embedding``.

It learnt from interviews in all sorts of rooms (VoxCeleb). Says what a voice sounds like, not whose
it is: that is ``identification.Identifier``'s business.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from babblefish.engine.stages import SpeakerEncoderCapabilities
from babblefish.engine.torchaudio_import import import_torchaudio
from babblefish.engine.voiced import voiced
from babblefish.errors import SpeakerError, WeightsError

SAME_SPEAKER: Mapping[float, float] = {1.5: 0.33, 3.0: 0.38, 5.0: 0.41}
"""Seconds of speech → cosine similarity from which two voiceprints are one person. Not measured
here, where the weights could not be had. pyannote publishes an equal-error rate (2.8 % on
VoxCeleb 1, by cosine distance alone), but no threshold, and advises to tune it on one's own
recordings (pyannote-audio issue 697). Anchored to diart, which tells speakers apart with the same
network as they talk: on VoxConverse it does best where a voice counts as new at a cosine distance
above 0.648, in windows of 5 s. That is a similarity of 0.35, and a margin of 0.06 below the
threshold for 5 s; for shorter speech the threshold is lowered by a guess."""
_MIN_SECONDS = 0.8
_SETTINGS = ("sample_rate", "num_channels", "sincnet")
"""of the network, as the checkpoint names them"""


class PyannoteEncoder:
    """A ``SpeakerEncoder``. Sends no telemetry: pyannote.audio would, when a model is loaded."""

    def __init__(self, weights_dir: Path | str, threads: int = 1) -> None:
        """Raises WeightsError("missing" | "broken")."""
        import torch

        from babblefish.engine.vad import SileroVad

        path = Path(weights_dir) / "pyannote-embedding" / "pytorch_model.bin"
        fix = "Run `python app.py models fetch` for the profile in use, see `python app.py models`."
        if not path.is_file():
            raise WeightsError("missing", f"{path} is missing. {fix}")
        architecture = _import_architecture()
        self._torch = torch
        torch.set_num_threads(max(1, threads))
        try:
            self._network = _load(path, architecture)
        except Exception as error:
            raise WeightsError("broken", f"{path} cannot be loaded. Delete it. {fix}") from error
        self._vad = SileroVad(weights_dir, whole_clips=True)
        self.capabilities = SpeakerEncoderCapabilities(
            "pyannote/embedding", self._network.dimension, _MIN_SECONDS, SAME_SPEAKER
        )

    def embed(self, audio: np.ndarray) -> np.ndarray:
        """See ``SpeakerEncoder.embed``; ``min_seconds`` counts speech, not pauses."""
        speech = voiced(audio, self._vad, self.capabilities.min_seconds)
        with self._torch.inference_mode():
            embedding = self._network(self._torch.from_numpy(speech)[None, None])[0].numpy()
        length = float(np.linalg.norm(embedding))
        if not (np.isfinite(length) and length > 1e-6):
            raise SpeakerError("bad_audio", "The audio has no voiceprint.")
        return (embedding / length).astype(np.float32)


def _import_architecture() -> Any:
    """pyannote's network class, its telemetry off: it is on unless told otherwise."""
    import_torchaudio()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it cannot read audio files, which nobody asks for
        from pyannote.audio.models.embedding.xvector import XVectorSincNet
        from pyannote.audio.telemetry import set_telemetry_metrics

    set_telemetry_metrics(False)
    return XVectorSincNet


def _load(path: Path, architecture: Any) -> Any:
    """The network with its weights. Raises anything for a file that is no such checkpoint.

    pyannote's own ``Model.from_pretrained`` would run whatever the file holds, and reports that it
    was called.
    """
    saved = _read(path)
    weights, settings = saved["state_dict"], saved["hyper_parameters"]
    known = {name: settings[name] for name in _SETTINGS if name in settings}
    model = architecture(dimension=len(weights["embedding.weight"]), **known)
    # the file also holds what it was trained with, such as the voices of VoxCeleb
    model.load_state_dict({name: weights[name] for name in model.state_dict()})
    return model.eval().requires_grad_(False)


class _StandIn:
    """Takes the place of everything in a checkpoint that is neither a number nor a tensor."""

    def __new__(cls, *_: object) -> _StandIn:
        return super().__new__(cls)

    def __init__(self, *_: object) -> None:
        """Whatever it stands for was made with."""

    def __setstate__(self, state: object) -> None:
        """And whatever that remembered."""


def _read(path: Path) -> dict[str, Any]:
    """A checkpoint as training saved it, read without running anything from it: its pickle names
    classes of Lightning and pyannote, instead of which it gets stand-ins."""
    import torch
    from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

    with safe_globals([(_StandIn, name) for name in get_unsafe_globals_in_checkpoint(path)]):
        return torch.load(path, map_location="cpu", weights_only=True)
