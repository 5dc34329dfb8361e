"""Silero voice activity detection on onnxruntime, many streams per call.

Says how likely it is that a 32 ms frame holds speech; where an utterance starts and ends is the
segmenter's decision, not this module's. Nothing is remembered between calls: the network's
recurrent state, and the tail of the previous frame that it wants to see again, travel in the
state that the caller hands back. A clip that is there as a whole needs one run.
"""

from __future__ import annotations

from functools import cached_property
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
_AT_ONCE = 1024
"""frames of a clip that are looked at together, which bounds the memory a long one takes"""
_STATE = _RECURRENT[0] * _RECURRENT[1] + _CONTEXT


class SileroVad:
    """A ``VoiceActivityDetector``. One stream's state: (320,) float32, zeros at the start."""

    capabilities = VadCapabilities(frame_samples=FRAME, state_shape=(_STATE,))

    def __init__(
        self, weights_dir: Path | str, threads: int = 1, *, whole_clips: bool = False
    ) -> None:
        """whole_clips: get ready for ``whole`` at once, not when it is first called.

        Raises WeightsError("missing" | "broken").
        """
        path = Path(weights_dir) / "silero" / "silero_vad.onnx"
        if not path.is_file():
            raise WeightsError("missing", f"{path} is missing. Run `make run` to fetch it.")
        self._path, self._threads = path, threads
        try:
            self._session = _session(str(path), threads)
        except Exception as error:
            raise self._broken() from error
        self._rate = np.array(SPEECH_RATE, dtype=np.int64)
        if whole_clips:
            self.whole(np.zeros(FRAME, np.float32))

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
        states = states.astype(np.float32, copy=False)
        window = np.concatenate([states[:, -_CONTEXT:], _clean(frames)], axis=1)
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

    def whole(self, samples: np.ndarray) -> np.ndarray:
        """Speech probability of each whole or begun FRAME of a clip, (n,) float32 samples: what
        ``probabilities`` says frame by frame, in an eighth of the time."""
        samples = _clean(samples)
        padded = np.pad(samples, (_CONTEXT, -len(samples) % FRAME))
        if len(padded) < FRAME + _CONTEXT:
            return np.zeros(0, np.float32)
        frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME + _CONTEXT)[::FRAME]
        hidden = cell = np.zeros((1, 1, _RECURRENT[1]), np.float32)
        found = []
        for start in range(0, len(frames), _AT_ONCE):
            window = np.ascontiguousarray(frames[start : start + _AT_ONCE])
            probability, hidden, cell = self._clip_session.run(
                None, {"frames": window, "hidden": hidden, "cell": cell}
            )
            found.append(probability)
        return np.concatenate(found)

    @cached_property
    def _clip_session(self) -> onnxruntime.InferenceSession:
        import onnx  # a quarter of a second, which a worker for microphones need not pay

        from babblefish.engine.vad_graph import whole_clip

        try:
            graph = whole_clip(onnx.load(str(self._path)))
        except ValueError as error:
            raise self._broken() from error
        return _session(graph.SerializeToString(), self._threads)

    def _broken(self) -> WeightsError:
        return WeightsError(
            "broken", f"{self._path} cannot be loaded. Delete it and run `make run` again."
        )


def _clean(samples: np.ndarray) -> np.ndarray:
    numbers = np.nan_to_num(samples.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    return np.clip(numbers, -1.0, 1.0)


def _session(model: str | bytes, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
