"""Text → speech for programs: clause by clause, as each is ready, after whatever rooms need.

Knows voices and the engine's pools; no formats, no HTTP and no keys.
"""

from __future__ import annotations

import re
import time
import unicodedata
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import structlog

from babblefish.engine import clauses
from babblefish.engine.clauses import Clause
from babblefish.engine.job_queue import Priority
from babblefish.engine.speaking import checked_speech
from babblefish.engine.stages import PLAYOUT_RATE
from babblefish.engine.tempo import stretched
from babblefish.engine.voices import similar
from babblefish.errors import BabbleFishError, SynthesisError, WorkerError
from babblefish.ui.programs.voice_names import Chosen

if TYPE_CHECKING:
    from babblefish.engine.engine import Engine

log = structlog.get_logger(__name__)

MOST_CHARACTERS = 20_000
"""of one text: some twenty minutes of speech"""
SPEEDS = (0.25, 4.0)
_CLAUSE_SECONDS = 60.0
"""of work, after which a voice counts as hung"""
_LONGEST_WORD = re.compile(r"(\w{120})(?=\w)")
_LEAST_TEMPO, _MOST_TEMPO = 0.5, 2.0


def readable(text: str) -> str:
    """``text`` without control characters, in words that a voice can take at once.

    Raises SynthesisError("nothing_to_say") where it holds nothing that could be read aloud.
    """
    kept = "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in _UNSPOKEN)
    if not any(c.isalnum() for c in kept):
        raise _nothing_to_say()
    return _LONGEST_WORD.sub(r"\1 ", kept)


async def say(
    engine: Engine, text: str, chosen: Chosen, speed: float = 1.0
) -> AsyncGenerator[np.ndarray, None]:
    """The clauses of ``text``, pauses included, each float32 (n,) at PLAYOUT_RATE with n ≥ 1;
    closing it stops the work. text: as ``readable`` returns it. speed: one of SPEEDS' range.

    A voice that fails is given the clause once more, and then a plainer voice goes on.
    Raises WorkerError, SynthesisError("unspeakable") where no voice could, and
    SynthesisError("nothing_to_say") where no clause had any sound.
    """
    reading = _Reading(engine, chosen, speed)
    heard_until: float | None = None
    parts: Sequence[Clause] = clauses.split(text, chosen.language)
    for clause in parts:
        samples = await reading.clause(clause, heard_until)
        if not len(samples):
            continue
        if clause is not parts[-1]:
            pause = np.zeros(int(clause.pause_after / speed * PLAYOUT_RATE), np.float32)
            samples = np.concatenate([samples, pause])
        now = time.monotonic()
        heard_until = max(heard_until or now, now) + len(samples) / PLAYOUT_RATE
        yield samples
    if heard_until is None:
        raise _nothing_to_say()


class _Reading:
    """One text, read by one voice as long as that can."""

    def __init__(self, engine: Engine, chosen: Chosen, speed: float) -> None:
        self._engine, self._speed = engine, speed
        self._pool, self._language, self._voice = chosen.pool, chosen.language, chosen.voice

    async def clause(self, clause: Clause, due: float | None) -> np.ndarray:
        """due: when it is needed, on the monotonic clock; None: now."""
        try:
            return await self._try(clause, due)
        except BabbleFishError as error:
            if isinstance(error, WorkerError) and error.code in ("closed", "overloaded"):
                raise
            log.warning("a voice failed for a program; trying again", code=error.code)
        try:
            return await self._try(clause, due)
        except BabbleFishError as error:
            if not self._turn_plain():
                raise _unspeakable(error) from error
        try:
            return await self._try(clause, due)
        except BabbleFishError as error:
            raise _unspeakable(error) from error

    async def _try(self, clause: Clause, due: float | None) -> np.ndarray:
        slowest, fastest = self._pool.capabilities.speeds
        speed = min(fastest, max(slowest, self._speed))
        raw = await self._pool.call(
            "synthesise", clause.text, self._language, self._voice, speed,
            priority=Priority.BATCH, deadline=due, timeout=_CLAUSE_SECONDS,
        )  # fmt: skip
        samples = checked_speech(raw, clause.text, speed)
        tempo = min(_MOST_TEMPO, max(_LEAST_TEMPO, self._speed / speed))
        if tempo == 1.0:
            return samples
        return await self._engine.calculate(stretched, samples, tempo)

    def _turn_plain(self) -> bool:
        """Whether there is a plainer voice than the one in use."""
        plain = self._engine.plain_synthesiser(self._language)
        if plain is None or plain is self._pool:
            return False
        self._pool = plain
        self._voice = similar(self._voice, plain.capabilities.voices[self._language])
        return True


_UNSPOKEN = ("Cc", "Cs", "Co", "Cn")


def _nothing_to_say() -> SynthesisError:
    return SynthesisError("nothing_to_say", "There is nothing in this text to read aloud.")


def _unspeakable(error: BabbleFishError) -> BabbleFishError:
    if isinstance(error, WorkerError):
        return error
    return SynthesisError(
        "unspeakable", "No voice here could read this text. Is it in the language of the voice?"
    )
