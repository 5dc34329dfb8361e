"""People's own voices, as the rest of the laptop sees them: clauses in, sound out.

The models run on a thread of their own (``synthesis_thread.py``), references are prepared on
another, so that the event loop only hands things over. Knows no web and no pairing.
"""

from __future__ import annotations

import asyncio
import os
import platform
import random
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from babblefish.accelerator import checkpoints
from babblefish.accelerator.reference_voices import ReferenceVoices
from babblefish.accelerator.sampling import Sampling
from babblefish.accelerator.scheduling import Job, Limits, Request
from babblefish.accelerator.synthesis_thread import SynthesisThread, new_frames
from babblefish.accelerator.text import readable
from babblefish.accelerator_protocol import (
    ClauseSpoken,
    Health,
    PutVoice,
    Synthesize,
    VoiceDeleted,
    VoiceStored,
)
from babblefish.engine.precision import Precision, usable_device
from babblefish.errors import BabbleFishError, SynthesisError


@dataclass(frozen=True, slots=True)
class SynthesisSettings:
    weights_dir: Path
    name: str = ""
    """of this laptop, as people see it"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Precision | Literal["auto"] = "auto"
    steps: int = 0
    """of F5's differential equation; 0 takes as many as the device does in time"""
    strength: float = 2.0
    """of guidance towards text and reference"""
    most_waiting: int = 16
    """requests; more are refused"""
    most_voices: int = 64
    most_rows: int = 0
    """said together; 0 chooses by the device"""
    memory_mb: int = 3000
    """of the GPU, at most"""
    networks: int = 2
    """checkpoints of different languages that stay loaded"""
    compiled: bool = False


class Synthesiser:
    def __init__(self, settings: SynthesisSettings) -> None:
        """Raises SettingsError("device")."""
        self._settings = settings
        self._device = usable_device(settings.device)
        self._voices = ReferenceVoices(settings.most_voices)
        self._preparing = ThreadPoolExecutor(1, "references")
        self._requests: dict[str, Request] = {}
        self._languages = checkpoints.speakers_of(settings.weights_dir)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_ready = asyncio.Event()
        self._trouble: BabbleFishError | None = None
        rows = settings.most_rows or (8 if self._device == "cuda" else 1)
        self._thread = SynthesisThread(
            settings.weights_dir,
            self._device,
            None if settings.precision == "auto" else settings.precision,
            Limits(rows, 8 * 2000),
            Sampling(settings.steps, settings.strength) if settings.steps else None,
            compiled=settings.compiled,
            networks=settings.networks,
            ready=self._tell_ready,
        )

    async def start(self) -> None:
        """Begin to load; ``health`` tells when it is done, ``ready`` waits for it."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def ready(self) -> None:
        """Raises WeightsError or SynthesisError that says why it cannot speak."""
        await self._is_ready.wait()
        if self._trouble is not None:
            raise self._trouble

    async def close(self) -> None:
        """Whoever waits is told so; voices are forgotten."""
        self._thread.close()
        for request in list(self._requests.values()):
            request.tell(SynthesisError("cancelled", "The laptop is being closed."))
        if self._thread.is_alive():
            await asyncio.get_running_loop().run_in_executor(self._preparing, self._thread.join, 30)
        self._voices.clear()
        self._preparing.shutdown(wait=False)

    def health(self) -> Health:
        waiting, wait = self._thread.waiting()
        figures = self._thread.figures
        used, total = _memory(self._device)
        return Health(
            ready=self._is_ready.is_set() and self._trouble is None,
            message=self._thread.message[:500],
            name=self._settings.name[:80],
            device=_device_name(self._device)[:120],
            languages=sorted(self._languages),
            memory_used_mb=used,
            memory_total_mb=total,
            waiting=waiting,
            expected_wait_s=min(3600.0, wait),
            real_time_factor=figures.real_time_factor,
            first_clause_s=figures.first_clause_s,
            voices=len(self._voices),
        )

    async def put_voice(self, voice: PutVoice) -> VoiceStored:
        """Raises SynthesisError("bad_reference") that says what is wrong with it."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._preparing, self._voices.put, voice)
        return VoiceStored(speaker_id=voice.speaker_id, digest=voice.digest)

    async def delete_voice(self, speaker_id: str) -> VoiceDeleted:
        """Forget a voice with all that was made of it; what it was saying is given up."""
        for request in list(self._requests.values()):
            if request.reference.speaker == speaker_id:
                self._thread.give_up(request)
                request.tell(SynthesisError("unknown_voice", "This voice was deleted."))
        return VoiceDeleted(speaker_id=speaker_id, existed=self._voices.delete(speaker_id))

    async def speak(self, request: Synthesize) -> AsyncIterator[ClauseSpoken]:
        """The clauses in order, each as soon as it is there. Closing the iterator gives up what
        is not said yet.

        Raises SynthesisError("not_ready" | "unknown_language" | "unknown_voice" | "busy" |
        "bad_request" | "synthesis_failed" | "cancelled").
        """
        heard: asyncio.Queue[ClauseSpoken | SynthesisError] = asyncio.Queue()
        accepted = self._accept(request, heard)
        try:
            while True:
                clause = await heard.get()
                if isinstance(clause, SynthesisError):
                    raise clause
                yield clause
                if clause.last:
                    return
        finally:
            self._thread.give_up(accepted)
            self._requests.pop(accepted.id, None)

    def _accept(self, asked: Synthesize, heard: asyncio.Queue) -> Request:
        if not self._is_ready.is_set() or self._trouble is not None:
            raise SynthesisError("not_ready", self._thread.message or "Not ready yet.")
        checkpoint = self._languages.get(asked.language)
        if checkpoint is None:
            raise SynthesisError("unknown_language", "This laptop does not speak this language.")
        if asked.request_id in self._requests:
            raise SynthesisError("bad_request", "A request of this name is being worked on.")
        reference = self._voices.get(asked.speaker_id, asked.reference)
        waiting, wait = self._thread.waiting()
        if waiting >= self._settings.most_waiting or wait > asked.deadline_ms / 1000:
            raise SynthesisError("busy", "This laptop has too much to say already.")
        texts = [readable(words, asked.language) for words in asked.clauses or [asked.text]]
        if not any(texts):
            raise SynthesisError("bad_request", "There is nothing to say.")
        loop = self._loop
        assert loop is not None
        now = time.monotonic()
        request = Request(
            asked.request_id, asked.speaker_name, reference, checkpoint.key, now,
            now + asked.deadline_ms / 1000,
            lambda result: loop.call_soon_threadsafe(heard.put_nowait, result) and None,
            len(texts),
        )  # fmt: skip
        self._requests[request.id] = request
        self._thread.submit([_job(request, i, words) for i, words in enumerate(texts)])
        return request

    def _tell_ready(self, trouble: BabbleFishError | None) -> None:
        """Called on the synthesis thread."""
        self._trouble = trouble
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._is_ready.set)


def _job(request: Request, clause: int, words: str) -> Job:
    frames = new_frames(words, request.reference.pace)
    return Job(request, clause, words, frames, random.getrandbits(32))


def _memory(device: str) -> tuple[int | None, int | None]:
    """Megabytes in use and in all, of a GPU."""
    if device != "cuda":
        return None, None
    import torch

    free, total = torch.cuda.mem_get_info()
    return (total - free) >> 20, total >> 20


def _device_name(device: str) -> str:
    if device != "cuda":
        return f"CPU, {os.cpu_count()} cores ({platform.machine()})"
    import torch

    return torch.cuda.get_device_name()
