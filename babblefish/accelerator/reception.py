"""Takes what the server asks for, whichever way it came: bounds, figures, the last requests.

In front of the synthesiser and behind HTTP, WebSocket and the owner's page. Keeps neither text nor
names.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import traceback
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from babblefish.accelerator.metrics import Metrics
from babblefish.accelerator.synthesiser import Speaks
from babblefish.accelerator_protocol import (
    ClauseSpoken,
    Failed,
    Health,
    PutVoice,
    Synthesize,
    VoiceDeleted,
    VoiceStored,
    digest_of,
)
from babblefish.errors import BabbleFishError, SynthesisError

log = logging.getLogger(__name__)

Transport = Literal["http", "websocket", "page"]
_REMEMBERED = 12


@dataclass
class Spoken:
    """One request, as the owner's page lists it."""

    at: float
    """Unix time of its arrival"""
    transport: Transport
    language: str
    clauses: int
    """that were spoken"""
    seconds: float
    """of speech"""
    first_s: float | None
    """from its arrival to the first clause"""
    took_s: float | None
    """until it was over; None: it is being spoken"""
    outcome: str
    """"speaking", "done", "cancelled" or a code of ``Failed`` """


class Reception:
    """For the event loop. Every method raises SynthesisError with a code of ``Failed``."""

    def __init__(self, synthesiser: Speaks, name: str, most_requests: int) -> None:
        self._synthesiser, self._name, self._most = synthesiser, name, most_requests
        self._open = 0
        self._voices: set[str] = set()
        self.metrics = Metrics(self.health)
        self.last: deque[Spoken] = deque(maxlen=_REMEMBERED)
        """the newest first"""

    def health(self) -> Health:
        return self._synthesiser.health().model_copy(update={"name": self._name})

    async def put_voice(self, voice: PutVoice) -> VoiceStored:
        async with self._guarded():
            if voice.digest != digest_of(voice.clip, voice.text, voice.sample_rate):
                raise SynthesisError(
                    "bad_reference", "The digest is not that of this clip and text: send it again."
                )
            self._voices.add(voice.speaker_id)
            stored = await self._synthesiser.put_voice(voice)
            self.metrics.voices.labels("stored").inc()
            return stored

    async def delete_voice(self, speaker_id: str) -> VoiceDeleted:
        async with self._guarded():
            deleted = await self._synthesiser.delete_voice(speaker_id)
            self._voices.discard(speaker_id)
            self.metrics.voices.labels("deleted").inc(deleted.existed)
            return deleted

    async def forget_all(self) -> int:
        """Delete every voice; how many there were."""
        existed = [await self.delete_voice(speaker) for speaker in list(self._voices)]
        return sum(deleted.existed for deleted in existed)

    async def speak(
        self, request: Synthesize, transport: Transport
    ) -> AsyncGenerator[ClauseSpoken]:
        """Clause by clause. Closing it cancels the work."""
        began = time.monotonic()
        entry = Spoken(time.time(), transport, request.language, 0, 0.0, None, None, "speaking")
        async with self._guarded():
            if self._open >= self._most:
                self.metrics.requests.labels(transport, "busy").inc()
                raise SynthesisError(
                    "busy", f"This laptop has {self._most} requests to do. Try another one."
                )
            self._open += 1
            self.last.appendleft(entry)
            try:
                speaking = self._synthesiser.speak(request)
                async with contextlib.aclosing(speaking) as clauses:
                    async for clause in clauses:
                        self._note(entry, clause, time.monotonic() - began)
                        yield clause
            except (GeneratorExit, asyncio.CancelledError):
                entry.outcome = "done" if entry.outcome == "done" else "cancelled"
                raise
            except BabbleFishError as error:
                entry.outcome = error.code
                raise
            except Exception:
                entry.outcome = "synthesis_failed"
                raise
            finally:
                self._open -= 1
                entry.took_s = time.monotonic() - began
                self._count(entry)

    def _note(self, entry: Spoken, clause: ClauseSpoken, after: float) -> None:
        if entry.first_s is None:
            entry.first_s = after
            self.metrics.first_clause.observe(after)
        entry.clauses += 1
        # base64 of two bytes a sample
        entry.seconds += len(clause.audio) * 3 / 4 / 2 / clause.sample_rate
        if clause.last:
            entry.outcome = "done"

    def _count(self, entry: Spoken) -> None:
        self.metrics.requests.labels(entry.transport, entry.outcome).inc()
        if entry.outcome == "done" and entry.took_s is not None:
            self.metrics.request.observe(entry.took_s)
            if entry.seconds:
                self.metrics.factor.observe(entry.took_s / entry.seconds)

    @contextlib.asynccontextmanager
    async def _guarded(self) -> AsyncIterator[None]:
        """Counts what goes wrong; what nobody foresaw has a code, too, and one line in the log."""
        try:
            yield
        except BabbleFishError as error:
            self.metrics.errors.labels(error.code).inc()
            raise
        except Exception as error:
            log.error("A request failed: %s %s", type(error).__name__, _where(error))
            self.metrics.errors.labels("synthesis_failed").inc()
            raise SynthesisError(
                "synthesis_failed", "This laptop could not do it; its terminal says more."
            ) from error


def _where(error: Exception) -> str:
    """File and line only: what an unforeseen error says may hold speech."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"at {Path(frame.filename).name}:{frame.lineno}"


def failed(error: BabbleFishError, request_id: str = "") -> Failed:
    """What the server is told of ``error``."""
    code = error.code if isinstance(error, SynthesisError) else "bad_request"
    return Failed(request_id=request_id, code=code, message=error.message[:500])
