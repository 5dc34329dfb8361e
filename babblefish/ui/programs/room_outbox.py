"""What waits to be sent to one program: bounded, and what matters least goes first.

Passing messages and live sound are dropped when they pile up, the sound of clips when it is too
much; a text that is final, never. Who reads nothing for long is cut off, and comes back for the
rest. Knows no rooms.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from babblefish import metrics
from babblefish.audio import to_int16
from babblefish.ui.programs import room_messages
from babblefish.ui.programs.room_messages import Message

STUCK_S = 20.0
"""for which one message may take to be sent"""
_MOST_PASSING = 100
_MOST_FRAMES = 50
"""one second"""
_MOST_SOUND = 8 * 1024 * 1024
"""bytes of clips, as they are before they are sent"""
_MOST_FINAL = 5000
"""more than a room keeps for those who come back"""
_KEPT_ENCODED = 16
"""clips that others may want in the same form"""


class Wire(Protocol):
    """The connection. Both raise when it is gone."""

    async def send_text(self, text: str) -> None: ...
    async def send_bytes(self, data: bytes) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """Of a clip."""

    samples: np.ndarray
    """int16 (n,) at ``room_messages.SOUND_RATE``, not empty"""
    kind: int
    rate: int
    binary: bool
    name: tuple[object, ...]
    """equal for equal sounds"""


@dataclass(slots=True, eq=False)
class _Waiting:
    kind: Literal["final", "passing", "frame"]
    message: Message | bytes
    sound: Sound | None = None


class Encoder:
    """Clips as they travel, made on a thread of its own; several listeners share one."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "clips")
        self._made: OrderedDict[tuple[object, ...], str | np.ndarray] = OrderedDict()
        self._number = 0

    async def encode(self, message: Message, sound: Sound) -> list[str | bytes]:
        """``message`` with its sound: in it, or behind it."""
        self._number += 1
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._thread, self._encode, message, sound, self._number & 0xFFFFFFFF
        )

    def _encode(self, message: Message, sound: Sound, number: int) -> list[str | bytes]:
        made = self._made_of(sound)
        message |= {"sample_rate": sound.rate, "seconds": round(len(sound.samples) / 48_000, 2)}
        if isinstance(made, str):
            return [room_messages.to_text(message | {"tts_audio": made})]
        binary = room_messages.binary_sound(sound.kind, sound.rate, number, made)
        return [room_messages.to_text(message | {"clip": number}), binary]

    def _made_of(self, sound: Sound) -> str | np.ndarray:
        key = (*sound.name, sound.rate, sound.binary)
        if key in self._made:
            self._made.move_to_end(key)
            return self._made[key]
        at_rate = room_messages.at_rate(sound.samples, sound.rate)
        made = to_int16(at_rate) if sound.binary else room_messages.base64_wav(at_rate, sound.rate)
        self._made[key] = made
        while len(self._made) > _KEPT_ENCODED:
            self._made.popitem(last=False)
        return made


class Outbox:
    """Everything but ``run`` is instant."""

    def __init__(self, wire: Wire, encoder: Encoder) -> None:
        self._wire, self._encoder = wire, encoder
        self._waiting: deque[_Waiting] = deque()
        self._arrived, self._empty = asyncio.Event(), asyncio.Event()
        self._empty.set()
        self._counts = {"final": 0, "passing": 0, "frame": 0}
        self._sound = 0
        self.stuck = asyncio.Event()
        """set when too much waits that must not be dropped, or nothing is read"""
        self.dropped = 0
        """messages, frames and clips that were not sent"""

    def tell(self, message: Message, *, passing: bool = False) -> None:
        self._put(_Waiting("passing" if passing else "final", message))

    def tell_sound(self, message: Message, sound: Sound) -> None:
        """A message that is never dropped, and sound that may be."""
        self._put(_Waiting("final", message, sound))

    def frame(self, data: bytes) -> None:
        self._put(_Waiting("frame", data))

    def _put(self, new: _Waiting) -> None:
        self._waiting.append(new)
        self._counts[new.kind] += 1
        self._sound += len(new.sound.samples) * 2 if new.sound else 0
        if self._counts["passing"] > _MOST_PASSING:
            self._drop("passing")
        if self._counts["frame"] > _MOST_FRAMES:
            self._drop("frame")
        while self._sound > _MOST_SOUND:
            self._silence_oldest()
        if self._counts["final"] > _MOST_FINAL:
            self.stuck.set()
        self._empty.clear()
        self._arrived.set()

    def _drop(self, kind: Literal["passing", "frame"]) -> None:
        oldest = next(waiting for waiting in self._waiting if waiting.kind == kind)
        self._waiting.remove(oldest)
        self._counts[kind] -= 1
        self.dropped += 1
        metrics.dropped("program_message")

    def _silence_oldest(self) -> None:
        oldest = next(waiting for waiting in self._waiting if waiting.sound is not None)
        assert oldest.sound is not None and isinstance(oldest.message, dict)
        self._sound -= len(oldest.sound.samples) * 2
        oldest.sound = None
        oldest.message["audio_dropped"] = True
        self.dropped += 1
        metrics.dropped("program_message")

    async def run(self) -> None:
        """Send until the connection is gone, which raises, or nothing is read any more."""
        while True:
            while self._waiting:
                await self._send(self._waiting.popleft())
            self._empty.set()
            self._arrived.clear()
            await self._arrived.wait()

    async def _send(self, waiting: _Waiting) -> None:
        self._counts[waiting.kind] -= 1
        message, sound = waiting.message, waiting.sound
        if isinstance(message, bytes):
            parts: list[str | bytes] = [message]
        elif sound is None:
            parts = [room_messages.to_text(message)]
        else:
            self._sound -= len(sound.samples) * 2
            parts = await self._encoder.encode(message, sound)
        for part in parts:
            text = isinstance(part, str)
            await self._in_time(self._wire.send_text(part) if text else self._wire.send_bytes(part))

    async def _in_time(self, sending: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(STUCK_S):
                await sending
        except TimeoutError:
            self.stuck.set()
            raise

    async def drained(self, seconds: float) -> None:
        """Until everything is sent, or ``seconds`` have passed. ``run`` must be running."""
        try:
            async with asyncio.timeout(seconds):
                await self._empty.wait()
        except TimeoutError:
            return
