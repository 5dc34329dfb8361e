"""A microphone's recent sound, and where in it somebody speaks, by position since the start.

Knows no clock and no utterances.
"""

from __future__ import annotations

from collections import deque

import numpy as np


class SampleBuffer:
    """Frames of one length; the past is forgotten on request."""

    def __init__(self) -> None:
        self._frames: deque[tuple[np.ndarray, float]] = deque()
        self._first = 0
        self._end = 0

    @property
    def end(self) -> int:
        return self._end

    def append(self, frame: np.ndarray, probability: float = 0.0) -> None:
        """probability: of speech in ``frame``."""
        self._frames.append((frame, probability))
        self._end += len(frame)

    def forget(self, before: int) -> None:
        while self._frames and self._first + len(self._frames[0][0]) <= before:
            self._first += len(self._frames.popleft()[0])

    def read(self, start: int, end: int) -> np.ndarray:
        """A copy of [start, end), as far as it is still there."""
        if not self._frames:
            return np.zeros(0, np.float32)
        whole = np.concatenate([frame for frame, _ in self._frames])
        return whole[max(0, start - self._first) : max(0, end - self._first)].copy()

    def activity(self, start: int, end: int) -> np.ndarray:
        """(frames,) float32: probability of speech in each frame that begins in [start, end)."""
        found, position = [], self._first
        for frame, probability in self._frames:
            if start <= position < end:
                found.append(probability)
            position += len(frame)
        return np.array(found, np.float32)
