"""Voiceprints, with the GE2E network that Resemblyzer publishes.

A voiceprint only ever labels: nothing here knows names, consent or rights, and nothing is stored.
``identification.py`` decides who spoke.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from babblefish.audio import rms
from babblefish.engine.ge2e_calibration import GE2E
from babblefish.engine.stages import SPEECH_RATE, SpeakerEncoderCapabilities
from babblefish.errors import WeightsError

_MELS = 40
_WINDOW, _HOP = 400, 160
"""samples of a spectrogram frame, and between frames"""
_PARTIAL = 160
"""frames that the network looks at together, 1.6 s"""
_STEP = 77
"""frames between two such looks, about 1.3 a second"""
_LEVEL_DB = -30.0
"""dBFS the network was trained at; it hears loudness as part of a voice"""


class Ge2eEncoder:
    """A ``SpeakerEncoder``."""

    capabilities = SpeakerEncoderCapabilities(
        name="ge2e",
        dimension=256,
        min_seconds=0.8,
        same_speaker={1.5: 0.60, 3.0: 0.69, 5.0: 0.73},
        calibration=GE2E,
    )

    def __init__(self, weights_dir: Path | str, threads: int = 1) -> None:
        """Raises WeightsError("missing" | "broken")."""
        # The server process imports this module for threshold_at: no models' libraries at import.
        import torch
        from faster_whisper.feature_extractor import FeatureExtractor

        from babblefish.engine.vad import SileroVad
        from babblefish.engine.voiced import voiced

        path = Path(weights_dir) / "ge2e" / "pretrained.pt"
        if not path.is_file():
            raise WeightsError("missing", f"{path} is missing. Run `make run` to fetch it.")
        self._torch, self._voiced = torch, voiced
        torch.set_num_threads(max(1, threads))
        self._lstm = torch.nn.LSTM(_MELS, 256, 3, batch_first=True)
        self._linear = torch.nn.Linear(256, 256)
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
            for name, module in (("lstm.", self._lstm), ("linear.", self._linear)):
                module.load_state_dict(
                    {k.removeprefix(name): v for k, v in saved.items() if k.startswith(name)}
                )
        except Exception as error:
            raise WeightsError(
                "broken", f"{path} cannot be loaded. Delete it and run `make run` again."
            ) from error
        self._vad = SileroVad(weights_dir, whole_clips=True)
        self._filters = FeatureExtractor.get_mel_filters(SPEECH_RATE, _WINDOW, _MELS).astype(
            np.float32
        )
        self._hann = np.hanning(_WINDOW + 1)[:-1].astype(np.float32)

    def embed(self, audio: np.ndarray) -> np.ndarray:
        """See ``SpeakerEncoder.embed``; ``min_seconds`` counts speech, not pauses."""
        speech = self._voiced(audio, self._vad, self.capabilities.min_seconds)
        speech = speech * np.float32(10 ** (_LEVEL_DB / 20) / rms(speech))
        partials = self._partials(self._mel(speech))
        with self._torch.no_grad():
            _, (hidden, _) = self._lstm(self._torch.from_numpy(partials))
            embeddings = self._torch.relu(self._linear(hidden[-1])).numpy()
        embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True) + 1e-9
        return _unit(embeddings.mean(axis=0))

    def _mel(self, samples: np.ndarray) -> np.ndarray:
        """Power mel spectrogram, (frames, 40) float32."""
        padded = np.pad(samples, _WINDOW // 2)
        frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP] * self._hann
        power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
        return power.astype(np.float32) @ self._filters.T

    def _partials(self, mel: np.ndarray) -> np.ndarray:
        """Overlapping looks, (n, 160, 40); a last one less than three quarters full is dropped."""
        starts = list(range(0, max(1, len(mel) - _PARTIAL + _STEP), _STEP))
        if len(starts) > 1 and len(mel) - starts[-1] < 0.75 * _PARTIAL:
            starts.pop()
        padded = np.pad(mel, ((0, max(0, starts[-1] + _PARTIAL - len(mel))), (0, 0)))
        return np.stack([padded[start : start + _PARTIAL] for start in starts])


def threshold_at(thresholds: Mapping[float, float], seconds: float) -> float:
    """Similarity from which two voiceprints are one person, between the measured durations."""
    points = sorted(thresholds)
    return float(np.interp(seconds, points, [thresholds[p] for p in points]))


def _unit(vector: np.ndarray) -> np.ndarray:
    return (vector / (np.linalg.norm(vector) + 1e-9)).astype(np.float32)
