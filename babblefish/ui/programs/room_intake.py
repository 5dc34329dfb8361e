"""A program's microphone: its sound goes on to the room no faster than it is spoken.

A program may send a recording at once; what comes early waits here, up to a minute of it, and
nothing is lost. Knows no room and no clock: it is told the time.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from babblefish.errors import TransportError
from babblefish.ui.programs.room_messages import INPUT_RATE

MOST_WAITING_S = 60.0
_BURST_S = 1.0
"""that may go on at once: networks deliver sound in bursts"""
_SPEED = 1.05
"""a program's clock may be a little faster than this machine's"""


class Intake:
    def __init__(self) -> None:
        self._waiting: deque[np.ndarray] = deque()
        self._samples = 0
        self._allowed, self._at = _BURST_S, None

    @property
    def waiting(self) -> float:
        """Seconds."""
        return self._samples / INPUT_RATE

    def put(self, data: bytes) -> None:
        """data: int16 little endian at INPUT_RATE, mono. Raises TransportError("bad_audio" |
        "too_fast")."""
        if len(data) % 2:
            raise TransportError(
                "bad_audio",
                "Sound is sent as 16-bit samples: a message has an even number of bytes.",
            )
        samples = np.frombuffer(data, "<i2").astype(np.int16, copy=False)
        if self.waiting + len(samples) / INPUT_RATE > MOST_WAITING_S:
            raise TransportError(
                "too_fast",
                f"Sound came more than {MOST_WAITING_S:.0f} seconds early. Send it as fast as it "
                "is spoken; recordings are better sent to /transcribe-translate.",
            )
        if len(samples):
            self._waiting.append(samples)
            self._samples += len(samples)

    def take(self, now: float) -> np.ndarray:
        """int16 (n,): what may go on now. now: seconds, on any clock."""
        passed = 0.0 if self._at is None else now - self._at
        self._allowed, self._at = min(_BURST_S, self._allowed + passed * _SPEED), now
        most = int(self._allowed * INPUT_RATE)
        taken: list[np.ndarray] = []
        while self._waiting and most > 0:
            first = self._waiting.popleft()
            if len(first) > most:
                self._waiting.appendleft(first[most:])
                first = first[:most]
            taken.append(first)
            most -= len(first)
        sound = np.concatenate(taken) if taken else np.zeros(0, np.int16)
        self._samples -= len(sound)
        self._allowed -= len(sound) / INPUT_RATE
        return sound
