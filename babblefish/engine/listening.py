"""Voice activity for many microphones through one worker.

Frames are gathered for some milliseconds and sent together, one of each stream, so that thirty
microphones cost hardly more than one. Knows no segmenter and no rooms.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

import numpy as np
import structlog

from babblefish.engine.job_queue import Priority
from babblefish.engine.stages import VadCapabilities
from babblefish.engine.workers import WorkerPool
from babblefish.errors import WorkerError

log = structlog.get_logger(__name__)

_TRIES = 3
GATHER_S = 0.016
"""between calls, half a frame: each costs a processor's attention twice"""
PATIENT_S = 0.032
"""the same for streams that nobody hears at once"""


class VadStream:
    """One microphone's state. Made by ``VoiceActivity.open``."""

    def __init__(self, owner: VoiceActivity, capabilities: VadCapabilities) -> None:
        self._owner = owner
        self._capabilities = capabilities
        self.state = np.zeros(capabilities.state_shape, np.float32)

    @property
    def frame_samples(self) -> int:
        return self._capabilities.frame_samples

    async def probability(self, frame: np.ndarray, patience: float = GATHER_S) -> float:
        """Speech probability of the next ``frame_samples`` float32 samples at 16 kHz.

        Call again only after the answer: frames of one stream build on each other. patience:
        seconds after the last call for which it is kept for company; 0 where others wait behind
        it, of a recording or after a hitch.
        """
        if not frame.any():
            return 0.0  # digital silence: a muted microphone costs nothing
        return await self._owner._ask(self, frame, patience)


class VoiceActivity:
    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        self._waiting: deque[tuple[VadStream, np.ndarray, asyncio.Future[float]]] = deque()
        self._sender: asyncio.Task | None = None
        self._sent_at = 0.0
        self._patience = PATIENT_S
        """the least of those that wait"""
        self._sooner = asyncio.Event()

    def open(self) -> VadStream:
        return VadStream(self, self._pool.capabilities)

    async def _ask(self, stream: VadStream, frame: np.ndarray, patience: float) -> float:
        answer: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting.append((stream, frame, answer))
        if patience < self._patience:
            self._patience = patience
            self._sooner.set()
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send(), name="voice activity")
        return await answer

    async def _send(self) -> None:
        while self._waiting:
            await self._gather()
            batch = [w for w in self._waiting if not w[2].done()]
            self._waiting.clear()
            if not batch:
                return
            frames = np.stack([frame for _, frame, _ in batch])
            states = np.stack([stream.state for stream, _, _ in batch])
            try:
                probabilities, states = await self._call(frames, states)
            except Exception as error:
                for _, _, answer in batch:
                    if not answer.done():
                        answer.set_exception(error)
                continue
            for i, (stream, _, answer) in enumerate(batch):
                stream.state = states[i]
                if not answer.done():
                    answer.set_result(float(probabilities[i]))

    async def _gather(self) -> None:
        """Wait until it is worth a call."""
        now = asyncio.get_running_loop().time
        while (pause := self._sent_at + self._patience - now()) > 0:
            self._sooner.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._sooner.wait()
        self._patience = PATIENT_S
        self._sent_at = now()

    async def _call(self, frames: np.ndarray, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        for attempt in range(_TRIES):
            try:
                return await self._pool.call(
                    "probabilities", frames, states, priority=Priority.NOW, timeout=10.0
                )
            except WorkerError as error:
                if attempt == _TRIES - 1 or error.code == "closed":
                    raise
                log.warning("voice activity failed; trying again", code=error.code)
        raise AssertionError("unreachable")
