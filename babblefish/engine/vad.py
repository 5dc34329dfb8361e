"""Silero voice activity detection on onnxruntime, many streams per call.

Says how likely it is that a 32 ms frame holds speech; where an utterance starts and ends is the
segmenter's decision, not this module's. Nothing is remembered between calls: the network's
recurrent state, and the tail of the previous frame that it wants to see again, travel in the
state that the caller hands back.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from babblefish.engine.stages import SPEECH_RATE, VadCapabilities
from babblefish.errors import AudioError, WeightsError

FRAME = 512
"""samples, 32 ms"""
_CONTEXT = 64
"""samples of the previous frame that the network sees in front of each frame"""
_RECURRENT = (2, 128)
_STATE = _RECURRENT[0] * _RECURRENT[1] + _CONTEXT


class SileroVad:
    """A ``VoiceActivityDetector``. One stream's state: (320,) float32, zeros at the start."""

    capabilities = VadCapabilities(frame_samples=FRAME, state_shape=(_STATE,))

    def __init__(self, weights_dir: Path | str, threads: int = 1) -> None:
        """Raises WeightsError("missing" | "broken")."""
        path = Path(weights_dir) / "silero" / "silero_vad.onnx"
        if not path.is_file():
            raise WeightsError("missing", f"{path} is missing. Run `make run` to fetch it.")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = threads
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise WeightsError(
                "broken", f"{path} cannot be loaded. Delete it and run `make run` again."
            ) from error
        self._rate = np.array(SPEECH_RATE, dtype=np.int64)

    def probabilities(
        self, frames: np.ndarray, states: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """One frame of each of n streams: (n, 512) and (n, 320) → (n,) and (n, 320) float32.

        Samples that are no number count as silence, so that one broken packet cannot spoil a
        stream's state for good. Raises AudioError("bad_audio") for other shapes or types.
        """
        frames, states = np.asarray(frames), np.asarray(states)
        n = len(frames) if frames.ndim else 0
        if frames.shape != (n, FRAME) or states.shape != (n, _STATE):
            raise AudioError(
                "bad_audio",
                f"Voice detection wants frames (n, {FRAME}) and states (n, {_STATE}), "
                f"not {frames.shape} and {states.shape}.",
            )
        if not np.issubdtype(frames.dtype, np.floating):
            raise AudioError("bad_audio", f"Audio must be floating point, not {frames.dtype}.")
        if n == 0:
            return np.zeros(0, np.float32), np.zeros((0, _STATE), np.float32)
        samples = np.nan_to_num(frames.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
        states = states.astype(np.float32, copy=False)
        window = np.concatenate([states[:, -_CONTEXT:], np.clip(samples, -1.0, 1.0)], axis=1)
        recurrent = states[:, :-_CONTEXT].reshape(n, *_RECURRENT).transpose(1, 0, 2)
        output, recurrent = map(
            np.asarray,
            self._session.run(
                None,
                {"input": window, "state": np.ascontiguousarray(recurrent), "sr": self._rate},
            ),
        )
        flat = recurrent.transpose(1, 0, 2).reshape(n, -1)
        return output[:, 0], np.concatenate([flat, window[:, -_CONTEXT:]], axis=1)


def voice_in(vad: SileroVad, samples: np.ndarray) -> np.ndarray:
    """Speech probability of each whole or begun FRAME of (n,) float32 samples."""
    frames = np.pad(samples, (0, -len(samples) % FRAME)).reshape(-1, 1, FRAME)
    state = np.zeros((1, *vad.capabilities.state_shape), np.float32)
    found = np.zeros(len(frames), np.float32)
    for number, frame in enumerate(frames):
        (found[number],), state = vad.probabilities(frame, state)
    return found
