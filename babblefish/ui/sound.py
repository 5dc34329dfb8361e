"""Opus in and out of one connection, without detours.

``Intake`` stands where aiortc keeps its jitter buffer: it puts packets in order, decodes them at
once and hands 48 kHz mono on. The stock buffer holds back 80 ms, and after one lost packet
300 ms for the rest of the call; it also decodes in a thread and crosses four queues per frame.
``OpusTrack`` sends frames that it encoded itself, on the caller's clock, so that nothing waits
for an executor. Knows no rooms, members or signalling.
"""

from __future__ import annotations

import fractions
import math
from collections.abc import Awaitable, Callable

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av.error import FFmpegError

RATE = 48_000
FRAME = 960
"""samples in 20 ms"""
FRAME_SECONDS = FRAME / RATE
TIME_BASE = fractions.Fraction(1, RATE)
BIT_RATE = 48_000
"""bit/s of what phones are sent"""
SILENT_PACKET = b"\xf8\xff\xfe"
"""20 ms of digital silence as mono Opus, in the mode ``OpusEncoder`` uses"""

_RESYNC_SECONDS = 0.2
_CATCH_UP_SECONDS = FRAME_SECONDS / 2
_SETTLE_FRAMES = 10
"""silent frames still encoded after sound, so that the codec fades out as it would"""
_HOLD_PACKETS = 3
"""newer packets that may wait for a missing one: 60 ms"""
_RESTART_DISTANCE = 200
_MAX_GAP = RATE


class Pace:
    """An absolute 20 ms schedule: no drift; after a delay, frames at double pace until the
    schedule is met again; after a long one, a new schedule. All calls tick together, which
    wakes the process once for all of them."""

    def __init__(self) -> None:
        self._due: float | None = None
        self._sent = 0.0

    def wait(self, now: float) -> float:
        """Seconds to sleep before the next frame, given the loop's time."""
        if self._due is None or now - self._due > _RESYNC_SECONDS:
            self._due = math.ceil(now / FRAME_SECONDS) * FRAME_SECONDS
        start = max(now, self._due, self._sent + _CATCH_UP_SECONDS)
        self._due += FRAME_SECONDS
        self._sent = start
        return start - now


class OpusEncoder:
    """48 kHz mono int16 frames → Opus packets. ``application=audio`` codes a frame in 0.1 ms;
    the voice mode takes three times as long and hears no better at this rate."""

    def __init__(self, bit_rate: int = BIT_RATE) -> None:
        self._codec = av.CodecContext.create("libopus", "w")
        self._codec.bit_rate = bit_rate
        self._codec.format = "s16"
        self._codec.layout = "mono"
        self._codec.sample_rate = RATE
        self._codec.time_base = TIME_BASE
        self._codec.options = {"application": "audio", "compression_level": "5"}
        self._pts = 0
        self._quiet = _SETTLE_FRAMES

    def encode(self, samples: np.ndarray) -> bytes:
        """int16 (960,) → one packet."""
        if samples.any():
            self._quiet = 0
        elif self._quiet >= _SETTLE_FRAMES:
            return SILENT_PACKET
        else:
            self._quiet += 1
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, FRAME), format="s16", layout="mono")
        frame.sample_rate = RATE
        frame.pts = self._pts
        self._pts += FRAME
        packets = self._codec.encode(frame)
        return bytes(packets[0]) if packets else SILENT_PACKET


class OpusTrack(MediaStreamTrack):
    """Sends what ``next_frame`` returns as it returns it; the pace is ``next_frame``'s."""

    kind = "audio"

    def __init__(
        self, next_frame: Callable[[], Awaitable[np.ndarray]], bit_rate: int = BIT_RATE
    ) -> None:
        super().__init__()
        self._next_frame = next_frame
        self._encoder = OpusEncoder(bit_rate)
        self._pts = 0

    async def recv(self) -> av.Packet:
        samples = await self._next_frame()
        if self.readyState != "live":
            raise MediaStreamError
        packet = av.Packet(self._encoder.encode(samples))
        packet.pts = self._pts
        packet.time_base = TIME_BASE
        self._pts += FRAME
        return packet


class Intake:
    """RTP packets of one microphone → ``hear(int16 (n,) 48 kHz mono)``, in order.

    A lost packet is replaced by the fading frame before it; packets more than 60 ms late are
    dropped. Implements ``add`` of aiortc's JitterBuffer and never returns a frame.
    """

    def __init__(self, hear: Callable[[np.ndarray], None]) -> None:
        self._hear = hear
        self._codec = av.CodecContext.create("libopus", "r")
        self._codec.format = "s16"
        self._codec.layout = "mono"
        self._codec.sample_rate = RATE
        self._expected = -1
        """sequence number that is played next; -1 before the first"""
        self._timestamp = 0
        self._waiting: dict[int, tuple[int, bytes]] = {}
        self._last = np.zeros(FRAME, np.int16)
        self._concealed = 0
        self.packets = 0
        self.lost = 0

    def add(self, packet) -> tuple[bool, None]:
        """Take one aiortc RtpPacket, its Opus payload in ``_data``."""
        self.packets += 1
        self.push(packet.sequence_number, packet.timestamp, packet._data)
        return False, None

    def push(self, sequence: int, timestamp: int, data: bytes) -> None:
        ahead = (sequence - self._expected) & 0xFFFF
        if self._expected < 0 or _RESTART_DISTANCE < ahead < 0x10000 - _RESTART_DISTANCE:
            self._waiting.clear()
            self._expected, self._timestamp = sequence, timestamp
        elif ahead >= 0x8000:
            return
        self._waiting[sequence] = (timestamp, data)
        self._release()
        while len(self._waiting) > _HOLD_PACKETS:
            self.lost += 1
            self._expected = (self._expected + 1) & 0xFFFF
            self._release()

    def _release(self) -> None:
        while (item := self._waiting.pop(self._expected, None)) is not None:
            self._expected = (self._expected + 1) & 0xFFFF
            self._play(*item)

    def _play(self, timestamp: int, data: bytes) -> None:
        gap = (timestamp - self._timestamp) & 0xFFFFFFFF
        if 0 < gap <= _MAX_GAP:
            self._conceal(gap)
        self._timestamp = timestamp
        try:
            frames = self._codec.decode(av.Packet(data)) if data else []
        except FFmpegError:
            frames = []
        for frame in frames:
            samples = np.frombuffer(memoryview(frame.planes[0]), np.int16)[: frame.samples]
            self._timestamp = (self._timestamp + len(samples)) & 0xFFFFFFFF
            self._last, self._concealed = samples, 0
            self._hear(samples)

    def _conceal(self, gap: int) -> None:
        while gap > 0:
            self._concealed += 1
            fade = 0.5**self._concealed if self._concealed <= 3 else 0.0
            samples = (self._last * fade).astype(np.int16)[:gap]
            self._hear(samples)
            gap -= len(samples)
