"""People's own voices, as the rest of the laptop sees them: clauses in, sound out.

The models run on a thread of their own (``synthesis_thread.py``), references are prepared on
another, so that the event loop only hands things over. Knows no web and no pairing.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import random
import time
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from babblefish.accelerator import checkpoints
from babblefish.accelerator.f5 import FRAMES_PER_SECOND, RATE
from babblefish.accelerator.networks import Networks
from babblefish.accelerator.reference_voices import ReferenceVoices
from babblefish.accelerator.sampling import Sampling
from babblefish.accelerator.scheduling import Job, Limits, Request
from babblefish.accelerator.synthesis_thread import SynthesisThread, new_frames
from babblefish.accelerator.text import pieces, readable
from babblefish.accelerator_protocol import (
    ClauseSpoken,
    Health,
    PutVoice,
    Synthesize,
    VoiceDeleted,
    VoiceStored,
    encode_audio,
)
from babblefish.engine.precision import Precision, usable_device
from babblefish.errors import BabbleFishError, SettingsError, SynthesisError

_LONGEST_SECONDS = 27.0
"""of a reference and what is said after it; F5 was trained on stretches of up to 30"""
_BUFFER = 12_000
"""frames that a GPU of 4 GB takes at once"""


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
    """clauses that are said together; 0: 8 on a GPU, one on a processor, which gains nothing"""
    memory_mb: int = 3000
    """of a GPU, at most; 0: all of it"""
    networks: int = 2
    """checkpoints of different languages that stay loaded"""
    listen: bool | None = None
    """to what was said, with a recogniser where one is installed; None: where that is quick"""
    compiled: bool = False
    """torch.compile: the first sentences take a minute"""


class Synthesiser:
    """Call everything from one event loop."""

    def __init__(self, settings: SynthesisSettings) -> None:
        """Raises SettingsError("device" | "precision")."""
        self._settings = settings
        self._device = usable_device(settings.device)
        if settings.precision == "int8":
            raise SettingsError("precision", "F5-TTS computes in fp32, bf16 or fp16.")
        self._voices = ReferenceVoices(settings.most_voices)
        self._preparing = ThreadPoolExecutor(1, "references")
        self._requests: dict[str, Request] = {}
        self._languages: dict[str, checkpoints.F5Checkpoint] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._settled = asyncio.Event()
        self._trouble: BabbleFishError | None = None
        self._closed = False
        networks = Networks(
            settings.weights_dir,
            self._device,
            None if settings.precision == "auto" else settings.precision,
            settings.networks,
            compiled=settings.compiled,
            memory_mb=settings.memory_mb,
        )
        rows = settings.most_rows or (8 if self._device == "cuda" else 1)
        sampling = Sampling(settings.steps, settings.strength)
        self._thread = SynthesisThread(
            networks, settings.weights_dir, Limits(rows, _BUFFER), sampling, self._tell_ready,
            listen=settings.listen,
        )  # fmt: skip

    async def start(self) -> None:
        """Begin to load; ``health`` tells how it goes, ``ready`` waits for it."""
        self._loop = asyncio.get_running_loop()
        await self.refresh()
        self._thread.start()

    async def ready(self) -> None:
        """Raises WeightsError or SynthesisError that says why it cannot speak."""
        await self._settled.wait()
        if self._trouble is not None:
            raise self._trouble

    async def refresh(self) -> None:
        """Look again which languages can be spoken, after weights were fetched."""
        loop = asyncio.get_running_loop()
        self._languages = await loop.run_in_executor(
            self._preparing, checkpoints.speakers_of, self._settings.weights_dir
        )

    async def close(self) -> None:
        """Whoever waits is told so; voices are forgotten. May be called twice."""
        if self._closed:
            return
        self._closed = True
        self._thread.close()
        for request in list(self._requests.values()):
            self._end(request, SynthesisError("cancelled", "The laptop is being closed."))
        if self._thread.is_alive():
            await asyncio.get_running_loop().run_in_executor(self._preparing, self._thread.join, 30)
        self._voices.clear()
        self._preparing.shutdown(wait=False)

    @property
    def _can_speak(self) -> bool:
        return self._settled.is_set() and self._trouble is None and not self._closed

    def health(self) -> Health:
        waiting, wait = self._thread.waiting()
        figures = self._thread.figures
        used, total = _memory(self._device) if self._can_speak else (None, None)
        return Health(
            ready=self._can_speak,
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
                self._end(request, SynthesisError("unknown_voice", "This voice was deleted."))
        loop = asyncio.get_running_loop()
        existed = await loop.run_in_executor(self._preparing, self._voices.delete, speaker_id)
        return VoiceDeleted(speaker_id=speaker_id, existed=existed)

    async def speak(self, request: Synthesize) -> AsyncGenerator[ClauseSpoken]:
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
        if not self._can_speak:
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
        loop, now = asyncio.get_running_loop(), time.monotonic()
        request = Request(
            id=asked.request_id, speaker_name=asked.speaker_name, reference=reference,
            language=asked.language, checkpoint=checkpoint.key, arrived=now,
            begin_by=now + asked.deadline_ms / 1000, clauses=len(texts),
            tell=functools.partial(_hand_over, loop, heard),
        )  # fmt: skip
        request.done = {i: _silence(request, i) for i, words in enumerate(texts) if not words}
        self._requests[request.id] = request
        self._thread.submit(
            [job for i, words in enumerate(texts) for job in _jobs(request, i, words)]
        )
        return request

    def _end(self, request: Request, error: SynthesisError) -> None:
        self._thread.give_up(request)
        request.tell(error)

    def _tell_ready(self, trouble: BabbleFishError | None) -> None:
        """Called on the synthesis thread."""
        self._trouble = trouble
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._settled.set)


def _hand_over(
    loop: asyncio.AbstractEventLoop, heard: asyncio.Queue, result: ClauseSpoken | SynthesisError
) -> None:
    with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits
        loop.call_soon_threadsafe(heard.put_nowait, result)


def _jobs(request: Request, clause: int, words: str) -> list[Job]:
    if not words:
        return []
    speaking_pace = request.reference.pace
    left = max(5.0, _LONGEST_SECONDS - len(request.reference.mel) / FRAMES_PER_SECOND)
    said = pieces(words, left * 0.7 * speaking_pace)
    return [
        Job(request, clause, piece, new_frames(piece, speaking_pace), random.getrandbits(32),
            piece=i, pieces=len(said))
        for i, piece in enumerate(said)
    ]  # fmt: skip


def _silence(request: Request, clause: int) -> ClauseSpoken:
    """For a clause without words: a smiley, say."""
    quiet = np.zeros(RATE // 20, np.float32)
    return ClauseSpoken(
        request_id=request.id, speaker_name=request.speaker_name, clause=clause,
        last=clause + 1 == request.clauses, audio=encode_audio(quiet), sample_rate=RATE,
        latency_ms=0.0,
    )  # fmt: skip


def _memory(device: str) -> tuple[int | None, int | None]:
    """Megabytes in use and in all, of a GPU."""
    if device != "cuda":
        return None, None
    import torch

    free, total = torch.cuda.mem_get_info()
    return (total - free) >> 20, total >> 20


@functools.cache
def _device_name(device: str) -> str:
    if device != "cuda":
        return f"CPU, {os.cpu_count()} cores"
    import torch

    return torch.cuda.get_device_name()
