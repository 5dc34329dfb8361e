"""Live original voices as one listener hears them, 20 ms at a time.

Microphones and loudspeakers run on different clocks, and phones deliver sound in bursts. What
arrives too fast waits, and the delay is worked off where nobody hears it, in the pauses between
words: a word is dropped only when a whole second waits. Knows no utterances and no clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

FRAME = 960
"""samples in 20 ms at 48 kHz"""
_CUSHION = 2
"""frames that absorb the jitter between two 20 ms clocks"""
_SPARE = 3
"""frames waiting from which pauses are shortened"""
_MOST = 50
"""frames waiting at most"""
_LOUDNESS_DECAY = 0.99
"""per frame"""
_PAUSE = 0.12
"""part of a voice's loudness (peak) below which a frame is a pause"""
_PAUSE_PEAK = 200
"""int16; below this it is one in any case"""
_FORGET = 250
"""frames without sound after which a voice is forgotten"""
_GLIDE = 0.35
"""part of the way to a new volume in one frame"""
_DUCK = 0.5
"""further factor on voices in other languages while a translation plays"""


@dataclass(slots=True)
class _Voice:
    frames: deque[np.ndarray] = field(default_factory=deque)
    understood: bool = False
    gain: float = 0.0
    loudness: float = 0.0
    silent: int = 0
    """frames since there was something to play"""
    primed: bool = False

    def put(self, frame: np.ndarray) -> None:
        self.frames.append(frame)
        if len(self.frames) > _MOST:
            self.frames.popleft()

    def take(self) -> np.ndarray | None:
        """The next frame, None while there is nothing to play."""
        self.primed = self.primed or len(self.frames) >= _CUSHION
        if not self.primed or not self.frames:
            self.silent += 1
            self.primed = self.primed and self.silent < 3
            return None
        self.silent = 0
        frame = self.frames.popleft()
        while self._is_pause(frame) and len(self.frames) >= _SPARE:
            frame = self.frames.popleft()
        return frame

    def _is_pause(self, frame: np.ndarray) -> bool:
        peak = float(np.abs(frame).max())
        self.loudness = max(peak, self.loudness * _LOUDNESS_DECAY)
        return peak < max(_PAUSE_PEAK, _PAUSE * self.loudness)


class Originals:
    """The voices that one listener hears live."""

    heard = True
    """False: what is put here goes nowhere"""

    def __init__(self, level: float) -> None:
        """level: volume, 0..1, of voices in languages that the listener does not speak."""
        self.level = level
        self._voices: dict[str, _Voice] = {}

    @property
    def waiting(self) -> int:
        """Frames waiting, of all voices."""
        return sum(len(voice.frames) for voice in self._voices.values())

    def put(self, speaker: str, frame: np.ndarray, understood: bool) -> None:
        """Sound of one microphone: int16 (FRAME,), shared, never written to."""
        voice = self._voices.setdefault(speaker, _Voice())
        voice.understood = understood
        voice.put(frame)

    def clear(self) -> None:
        self._voices.clear()

    def mix(self, translating: bool) -> np.ndarray | None:
        """The next 20 ms, float32 (FRAME,) on int16's scale; None when nobody is heard.

        translating: a translation plays at the same time.
        """
        mixed = None
        for speaker, voice in list(self._voices.items()):
            frame = voice.take()
            if frame is None:
                if voice.silent > _FORGET:
                    del self._voices[speaker]
                continue
            target = 1.0 if voice.understood else self.level
            if translating and not voice.understood:
                target *= _DUCK
            before, voice.gain = voice.gain, voice.gain + (target - voice.gain) * _GLIDE
            if before < 1e-3 and voice.gain < 1e-3:
                continue
            ramped = frame * np.linspace(before, voice.gain, FRAME, dtype=np.float32)
            mixed = ramped if mixed is None else mixed + ramped
        return mixed
