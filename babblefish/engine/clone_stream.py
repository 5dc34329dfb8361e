"""One translation in the speaker's own voice, clause by clause, as it comes from a laptop.

Works beside what is being said and never raises into it: what goes wrong ends the stream. Knows
neither playing nor waiting.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

import numpy as np
import structlog

from babblefish.accelerator_protocol import MOST_TEXT
from babblefish.audio import match_loudness
from babblefish.engine.cloning_messages import CloneReference, CloneRequest
from babblefish.engine.stages import PLAYOUT_RATE
from babblefish.errors import BabbleFishError

if TYPE_CHECKING:
    from babblefish.engine.engine import Engine
    from babblefish.engine.two_tier import OwnVoice

log = structlog.get_logger(__name__)

_MOST_CLAUSES = 100
"""of one request"""
_EDGE = 10 ** (-40 / 20)
"""of the loudest part of a clause: what is softer at its beginning or end is silence"""
_LEAD_S, _TAIL_S = 0.02, 0.06
"""of that silence is kept"""
_HOP = PLAYOUT_RATE // 100


class CloneStream:
    """Starts at once; ``close`` it."""

    def __init__(
        self, engine: Engine, own: OwnVoice, language: str, texts: Sequence[str], deadline: float
    ) -> None:
        """deadline: seconds from now for the first clause."""
        self.over = False
        """nothing more will come"""
        self.kept_up = True
        """each clause came before those before it would have been heard"""
        self._engine, self._own, self._language = engine, own, language
        self._texts, self._deadline = tuple(texts), deadline
        self._arrived: list[np.ndarray] = []
        self._changed = asyncio.Event()
        self._task = own.trust.start(self._run())

    @property
    def complete(self) -> bool:
        return len(self._arrived) == len(self._texts)

    def get(self, number: int) -> np.ndarray | None:
        """A clause, float32 (n,) at PLAYOUT_RATE, if it is there and may still be heard."""
        if number < len(self._arrived) and self._own.allowed():
            return self._arrived[number]
        return None

    async def changed(self) -> None:
        """Returns when something has come, or the stream is over. For one caller at a time."""
        if not self.over:
            await self._changed.wait()
            self._changed.clear()

    async def finished(self) -> bool:
        """Whether all of it has come, when nothing more will."""
        while not self.over:
            await self.changed()
        return self.complete

    def close(self) -> None:
        """Nobody needs the rest. Waits for nothing."""
        if not self.over:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            reference = await self._own.reference()
            for request in self._requests(reference) if reference else ():
                await self._take(request)
        except BabbleFishError as error:
            log.info("not in the own voice", code=error.code)
        except Exception as error:  # a defect of ours must not silence anybody
            log.exception("the own voice failed", error=type(error).__name__)
        finally:
            self.over = True
            self._changed.set()

    async def _take(self, request: CloneRequest) -> None:
        if not self._own.allowed():
            return
        heard_until = None
        async with aclosing(self._own.cloning.speak(request, self._deadline)) as clauses:
            async for clause in clauses:
                samples = await self._engine.calculate(ready, clause.samples)
                if not self._own.allowed():
                    return
                now = time.monotonic()
                self.kept_up &= heard_until is None or now <= heard_until
                heard_until = max(now, heard_until or now) + len(samples) / PLAYOUT_RATE
                self._arrived.append(samples)
                self._changed.set()

    def _requests(self, reference: CloneReference) -> Iterator[CloneRequest]:
        """One, but for a very long text."""
        some: list[str] = []
        for text in self._texts:
            if some and (
                len(some) == _MOST_CLAUSES
                or sum(map(len, some)) + len(some) + len(text) > MOST_TEXT
            ):
                yield self._request(reference, some)
                some = []
            some.append(text)
        if some:
            yield self._request(reference, some)

    def _request(self, reference: CloneReference, texts: Sequence[str]) -> CloneRequest:
        return CloneRequest(
            secrets.token_hex(8), reference.speaker, self._own.name, self._language, tuple(texts),
            reference,
        )  # fmt: skip


def ready(samples: np.ndarray) -> np.ndarray:
    """To be heard in place of a neutral clause: as loud, and without silence around it."""
    whole = samples[: len(samples) // _HOP * _HOP].reshape(-1, _HOP)
    levels = np.sqrt(np.mean(np.square(whole), axis=1)) if len(whole) else np.zeros(1)
    loud = np.flatnonzero(levels > _EDGE * levels.max())
    if len(loud):
        start = max(0, loud[0] * _HOP - int(_LEAD_S * PLAYOUT_RATE))
        samples = samples[start : (loud[-1] + 1) * _HOP + int(_TAIL_S * PLAYOUT_RATE)]
    return match_loudness(samples)
