"""A phone without a browser: joins through the real HTTP routes, talks and listens over WebRTC.

Its microphone sends 20 ms frames in real time, a faint hiss when nobody speaks; what arrives is
kept undecoded with the moment of its arrival, so that twenty phones cost one process little.
All moments are of ``time.monotonic``, which is also the event loop's clock: "last voiced sample
spoken" and "first translated sample received" are on one clock. Judges nothing.
"""

from __future__ import annotations

import asyncio
import bisect
import itertools
import math
from collections import deque
from dataclasses import dataclass, field

import av
import httpx
import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from babblefish.envelope import from_json, to_json
from babblefish.errors import BabbleFishError
from babblefish.protocol import (
    ClientEvent,
    Leave,
    OriginalLevel,
    Resume,
    ServerEvent,
    Welcome,
)
from babblefish.ui.sdp import microphone_bit_rate
from babblefish.ui.sound import FRAME, FRAME_SECONDS, RATE, SILENT_PACKET, OpusTrack
from bench.server import RoomLink

_CONNECT_SECONDS = 60.0
_DEFAULT_BIT_RATE = 32_000
"""what browsers send unless asked for more"""
_HISS_LEVEL = 16
"""int16 units RMS: a quiet room, -66 dBFS"""
_AUDIBLE = 150
"""int16 units from which a sample counts as sound: -47 dBFS"""
_SILENCE = np.zeros(FRAME, np.int16)


class Refused(RuntimeError):
    """The server did not let a phone in."""


@dataclass(slots=True)
class Spoken:
    """One sound on its way out of a microphone."""

    samples: np.ndarray
    """int16, 48 kHz"""
    begun: float = 0.0
    """the moment of its first sample"""
    finished: asyncio.Event = field(default_factory=asyncio.Event)


class _Mouth:
    """The microphone's clock and what it picks up."""

    def __init__(self, hisses: bool) -> None:
        self._queue: deque[Spoken] = deque()
        self._offset = 0
        self._due: float | None = None
        self._count = 0
        self.latest = 0.0
        """the longest that a frame left late: above some 50 ms, this machine was too busy"""
        hiss = np.random.default_rng(3).normal(0, _HISS_LEVEL, 50 * FRAME)
        self._hiss = hiss.astype(np.int16).reshape(50, FRAME) if hisses else None

    def say(self, samples: np.ndarray) -> Spoken:
        spoken = Spoken(samples)
        self._queue.append(spoken)
        return spoken

    async def next_frame(self) -> np.ndarray:
        now = asyncio.get_running_loop().time()
        if self._due is None:
            self._due = math.ceil(now / FRAME_SECONDS) * FRAME_SECONDS
        if self._due > now:
            await asyncio.sleep(self._due - now)
        else:
            self.latest = max(self.latest, now - self._due)
        frame = self._fill(self._due)
        self._due += FRAME_SECONDS
        return frame

    def _fill(self, due: float) -> np.ndarray:
        """The frame that is complete at ``due``: its first sample was made 20 ms before."""
        self._count += 1
        frame = _SILENCE if self._hiss is None else self._hiss[self._count % len(self._hiss)]
        if not self._queue:
            return frame
        spoken = self._queue[0]
        if self._offset == 0:
            spoken.begun = due - FRAME_SECONDS
        part = spoken.samples[self._offset : self._offset + FRAME]
        self._offset += FRAME
        frame = frame.copy()
        frame[: len(part)] = np.clip(frame[: len(part)].astype(np.int32) + part, -32768, 32767)
        if self._offset >= len(spoken.samples):
            self._queue.popleft()
            self._offset = 0
            spoken.finished.set()
        return frame


class Recording:
    """Everything that one phone received. Stands where aiortc keeps its jitter buffer."""

    def __init__(self) -> None:
        self._packets: list[tuple[float, int, bytes]] = []
        """(arrival, RTP timestamp, Opus payload)"""
        self._codec = av.CodecContext.create("libopus", "r")
        self._codec.format, self._codec.layout = "s16", "mono"
        self._codec.sample_rate = RATE
        self._decoded: list[np.ndarray] = []
        self._arrivals: list[float] = []

    def add(self, packet) -> tuple[bool, None]:
        """Take one aiortc RtpPacket, its Opus payload in ``_data``."""
        now = asyncio.get_running_loop().time()
        self._packets.append((now, packet.timestamp, bytes(packet._data)))
        return False, None

    def frames(self, after: float, before: float) -> list[tuple[float, np.ndarray]]:
        """(arrival, int16 samples at 48 kHz) of what arrived between two moments."""
        self._decode()
        first = bisect.bisect_left(self._arrivals, after)
        last = bisect.bisect_left(self._arrivals, before)
        return list(zip(self._arrivals[first:last], self._decoded[first:last], strict=True))

    def sound(self, after: float, before: float) -> np.ndarray:
        """int16 at 48 kHz, all that arrived between two moments."""
        return np.concatenate([_SILENCE[:0], *(s for _, s in self.frames(after, before))])

    def first_sound(self, after: float, before: float) -> float | None:
        """When the first audible sample could have been heard, by a phone without buffers."""
        for arrival, samples in self.frames(after, before):
            audible = np.flatnonzero(np.abs(samples.astype(np.int32)) >= _AUDIBLE)
            if len(audible):
                return arrival + int(audible[0]) / RATE
        return None

    def seconds_audible(self, after: float, before: float) -> float:
        return FRAME_SECONDS * sum(
            int(np.abs(samples.astype(np.int32)).max(initial=0)) >= _AUDIBLE
            for _, samples in self.frames(after, before)
        )

    def longest_gap(self, after: float, before: float) -> float:
        """The longest time without a packet."""
        arrivals = [after, *(at for at, _ in self.frames(after, before)), before]
        return max(b - a for a, b in itertools.pairwise(arrivals))

    def _decode(self) -> None:
        for arrival, _, data in self._packets[len(self._decoded) :]:
            samples = _SILENCE
            if data != SILENT_PACKET or self._sounding():
                decoded = self._codec.decode(av.Packet(data))
                samples = np.concatenate(
                    [np.frombuffer(f.planes[0], np.int16)[: f.samples] for f in decoded]
                    or [_SILENCE]
                )
            self._decoded.append(samples)
            self._arrivals.append(arrival)

    def _sounding(self) -> bool:
        """Whether the codec still has something to fade out."""
        return bool(self._decoded) and bool(self._decoded[-1].any())


class Phone:
    """``async with`` a participant; leaves the room at the end of the block."""

    def __init__(
        self, base: str, link: RoomLink, name: str, speaks: str, hears: str,
        *, microphone: bool = True, original_level: float = 0.0,
    ) -> None:  # fmt: skip
        """original_level 0 keeps untranslated voices out of what is heard."""
        self.name, self.speaks, self.hears = name, speaks, hears
        self.member = ""
        self.events: list[tuple[float, ServerEvent]] = []
        self.recording = Recording()
        self._base, self._link = base, link
        self._microphone, self._original_level = microphone, original_level
        self._mouth = _Mouth(microphone)
        self._key = ""
        self._arrived = asyncio.Event()
        self._pc: RTCPeerConnection | None = None

    async def __aenter__(self) -> Phone:
        try:
            await self._join()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._channel.readyState == "open":
            self.send(Leave())
            await asyncio.sleep(0.05)
        await self._close()

    async def _close(self) -> None:
        if self._pc is not None:
            await self._pc.close()

    async def _join(self) -> None:
        body = {"name": self.name, "speaks": self.speaks, "hears": self.hears,
                "microphone": self._microphone}  # fmt: skip
        async with httpx.AsyncClient(base_url=self._base, timeout=_CONNECT_SECONDS) as http:
            joined = await self._post(http, "join", self._link.token, body)
            self.member, self._key = joined["member"], joined["key"]
            self._pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
            self._pc.addTrack(OpusTrack(self._mouth.next_frame))
            receiver = self._pc.getReceivers()[0]
            # The buffer is aiortc's seam between packets and its decoder thread.
            receiver._RTCRtpReceiver__jitter_buffer = self.recording
            self._channel = self._pc.createDataChannel("text")
            self._channel.on("message", self._message)
            opened = asyncio.Event()
            self._channel.on("open", opened.set)
            await self._pc.setLocalDescription(await self._pc.createOffer())
            offer = {"sdp": self._pc.localDescription.sdp, "type": "offer"}
            answer = await self._post(http, "offer", self._key, offer)
        rate = microphone_bit_rate(answer["sdp"]) or _DEFAULT_BIT_RATE
        self._pc.getSenders()[0].replaceTrack(OpusTrack(self._mouth.next_frame, rate))
        await self._pc.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
        async with asyncio.timeout(_CONNECT_SECONDS):
            await opened.wait()
            self.send(Resume(0))
            self.send(OriginalLevel(self._original_level))
            await self.until(lambda: any(isinstance(e, Welcome) for _, e in self.events))

    async def _post(
        self, http: httpx.AsyncClient, action: str, bearer: str, body: dict
    ) -> dict[str, str]:
        path = f"/api/rooms/{self._link.code}/{action}"
        answer = await http.post(path, json=body, headers={"Authorization": f"Bearer {bearer}"})
        if answer.status_code != 200:
            raise Refused(f"{action} was answered with {answer.status_code}: {answer.text[:300]}")
        return answer.json()

    def send(self, event: ClientEvent) -> None:
        self._channel.send(to_json(event))

    def say(self, samples: np.ndarray) -> Spoken:
        """Speak int16 48 kHz samples, after what is being said already."""
        return self._mouth.say(samples)

    @property
    def latest(self) -> float:
        """The longest that a frame of the microphone left late, in seconds."""
        return self._mouth.latest

    async def until(self, condition) -> None:
        """Wait for ``condition()``, looked at after each event; bound it with a timeout."""
        while not condition():
            self._arrived.clear()
            await self._arrived.wait()

    def between(self, kind: type, after: float, before: float) -> list[tuple[float, ServerEvent]]:
        """(arrival, event) of one kind."""
        return [
            (at, event) for at, event in self.events
            if isinstance(event, kind) and after <= at < before
        ]  # fmt: skip

    def _message(self, message: str) -> None:
        try:
            self.events.append((asyncio.get_running_loop().time(), from_json(message)))
        except BabbleFishError:
            return
        self._arrived.set()
