"""A phone made of aiortc: one audio track, one data channel, everything received is kept."""

from __future__ import annotations

import asyncio
import fractions
import json

import av
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

from tests.patience import PATIENCE

FRAME = 960


class Microphone(MediaStreamTrack):
    """Plays ``samples`` (int16, 48 kHz) once from the first ``recv``, then silence."""

    kind = "audio"

    def __init__(self, samples: np.ndarray | None = None) -> None:
        super().__init__()
        self.samples = np.zeros(0, np.int16) if samples is None else samples
        self._sent = 0
        self._start: float | None = None

    def say(self, samples: np.ndarray) -> None:
        """Go on with ``samples`` (int16, 48 kHz) instead of silence."""
        self.samples = np.concatenate([np.zeros(self._sent, np.int16), samples])

    async def recv(self) -> av.AudioFrame:
        now = asyncio.get_running_loop().time()
        if self._start is None:
            self._start = now
        await asyncio.sleep(self._start + self._sent / 48000 - now)
        if self.readyState != "live":
            raise MediaStreamError
        part = self.samples[self._sent : self._sent + FRAME]
        part = np.pad(part, (0, FRAME - len(part)))
        frame = av.AudioFrame.from_ndarray(part.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts = 48000, self._sent
        frame.time_base = fractions.Fraction(1, 48000)
        self._sent += FRAME
        return frame


class Peer:
    def __init__(self, samples: np.ndarray | None = None, label: str = "text") -> None:
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.microphone = Microphone(samples)
        self.pc.addTrack(self.microphone)
        self.channel = self.pc.createDataChannel(label)
        self.opened = asyncio.Event()
        self.closed = asyncio.Event()
        self.events: list[dict] = []
        self.heard: list[tuple[float, np.ndarray]] = []
        """loop time of arrival, int16 (n,)"""
        self._listener: asyncio.Task | None = None
        self.channel.on("open", self.opened.set)
        self.channel.on("close", self.closed.set)
        self.channel.on("message", self._message)
        self.pc.on("track", self._track)
        self.pc.on("connectionstatechange", self._state)

    async def offer(self) -> str:
        """The offer's SDP, candidates included."""
        await self.pc.setLocalDescription(await self.pc.createOffer())
        return self.pc.localDescription.sdp

    async def accept(self, sdp: str, resume: bool = True) -> None:
        """Take the answer and wait for the open data channel."""
        await self.pc.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
        async with asyncio.timeout(PATIENCE):
            await self.opened.wait()
        if resume:
            self.send({"type": "resume", "after": 0})

    def send(self, event: dict | str) -> None:
        self.channel.send(event if isinstance(event, str) else json.dumps(event))

    async def event(self, kind: str, seconds: float = PATIENCE) -> dict:
        """The first event of ``kind``, waiting for it if need be."""
        async with asyncio.timeout(seconds):
            while True:
                for event in self.events:
                    if event["type"] == kind:
                        return event
                await asyncio.sleep(0.02)

    async def until_closed(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.closed.wait()

    def sound(self) -> np.ndarray:
        return np.concatenate([s for _, s in self.heard]) if self.heard else np.zeros(0, np.int16)

    async def close(self) -> None:
        await self.pc.close()
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)

    def _message(self, message: str) -> None:
        self.events.append(json.loads(message))

    def _state(self) -> None:
        if self.pc.connectionState in ("closed", "failed"):
            self.closed.set()

    def _track(self, track) -> None:
        self._listener = asyncio.create_task(self._listen(track))

    async def _listen(self, track) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                frame = await track.recv()
                samples = frame.to_ndarray().reshape(-1, len(frame.layout.channels))[:, 0]
                self.heard.append((loop.time(), samples))
        except MediaStreamError:
            return


async def sample_offer() -> str:
    """The SDP of a phone that never comes."""
    peer = Peer()
    try:
        return await peer.offer()
    finally:
        await peer.close()
