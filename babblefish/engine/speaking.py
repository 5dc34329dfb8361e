"""Says a translation clause by clause: in the speaker's own voice, or plainly where that would be
late or fails.

Natural voices cost half a core or more for every second that they speak. When several people talk
at once on a small machine, what they owe grows, and soon everybody hears the past. The plain voice
costs nothing, so whoever would have to wait too long is spoken for by it; the own voice returns as
soon as it keeps up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog

from babblefish.engine import clauses
from babblefish.engine.backlog import Promise
from babblefish.engine.clauses import Clause
from babblefish.engine.foresight import Foreseen, Foresight
from babblefish.engine.job_queue import Priority
from babblefish.engine.stages import PLAYOUT_RATE
from babblefish.engine.voices import similar
from babblefish.engine.workers import WorkerPool
from babblefish.errors import BabbleFishError, SynthesisError
from babblefish.protocol import Audio, Speech

if TYPE_CHECKING:
    from babblefish.engine.engine import Engine

log = structlog.get_logger(__name__)

PLAIN_AFTER_S = 4.0
"""a translation whose first sound would come this many seconds after its speech is said plainly"""
_OWN_VOICE_TRIES_S = 1.5
"""the own voice gets at least this much time for the first clause, once it was chosen"""
OWN_VOICE = "own"
"""as ``Speech.voice``: a copy of the speaker's own"""
_SECONDS_PER_CHARACTER = 0.6
"""speech slower than this is a synthesiser gone wrong; CJK characters are whole syllables"""


def checked_speech(samples: Any, text: str, speed: float) -> np.ndarray:
    """(n,) float32 that is plausibly ``text`` spoken, else SynthesisError("bad_output")."""
    longest = (4.0 + _SECONDS_PER_CHARACTER * len(text)) / speed * PLAYOUT_RATE
    if (
        isinstance(samples, np.ndarray)
        and samples.ndim == 1
        and np.issubdtype(samples.dtype, np.floating)
        and len(samples) <= longest
        and bool(np.isfinite(samples).all())
    ):
        return samples.astype(np.float32, copy=False)
    raise SynthesisError("bad_output", "The voice returned something that is no speech.")


class Speaking:
    """One utterance into one language. Either ``say``, or ``plan`` and then each ``clause``."""

    def __init__(
        self, engine: Engine, utterance: str, language: str, voice: str,
        pace: Callable[[], float | None], priority: Priority,
    ) -> None:  # fmt: skip
        """voice, pace: as in ``Engine.process``."""
        self._engine, self.utterance = engine, utterance
        self.language, self._voice, self._own_voice = language, voice, voice
        self.pace, self._priority = pace, priority
        self._pool = engine.synthesiser(language)
        self._parts: Sequence[Clause] = ()
        self._foreseen: Foreseen | None = None
        self._elapsed = 0.0
        self.heard_until: float | None = None
        """when (monotonic) what was given so far will have been heard"""

    async def say(
        self, text: str, foresight: Foresight | None, elapsed: float
    ) -> AsyncIterator[Speech]:
        """The clauses of ``text`` as they are ready; nothing more once nobody waits for it.

        elapsed: seconds since work on the utterance began, about where its speech ended.
        Raises BabbleFishError when no voice can.
        """
        parts = self.plan(text, foresight, elapsed)
        with self.promise(parts) as promise:
            for number, clause in enumerate(parts):
                speech = await self.clause(number)
                if speech is None:
                    return
                promise.keep(seconds(clause))
                yield self.given(speech)

    def plan(self, text: str, foresight: Foresight | None, elapsed: float) -> Sequence[Clause]:
        """What will be said, clause by clause; arguments as in ``say``."""
        if self._pool is None:
            return ()
        own = self._engine.backlog(self._pool, self._priority)
        found = foresight.find(text, self.language, self._voice) if foresight else None
        parts = found[1] if found else clauses.split(text, self.language)
        expected = elapsed + own.wait(sum(map(seconds, parts[:1])))
        late = expected > PLAIN_AFTER_S or self._engine.stands_back(self._priority)
        if self._is_live and found is None and late and self._turn_plain():
            # it needs no head start, and long clauses sound better
            parts = clauses.split(text, self.language, ahead=clauses.LONGEST_SECONDS)
        self._parts, self._foreseen, self._elapsed = parts, found[0] if found else None, elapsed
        return parts

    @contextmanager
    def promise(self, parts: Sequence[Clause]) -> Iterator[Promise]:
        """Others shall count on these being said, for the length of the block."""
        if self._pool is None:
            yield Promise(0.0)
            return
        owed = 0.0 if self._is_plain else sum(map(seconds, parts))
        with self._engine.backlog(self._pool, self._priority).promise(owed) as promise:
            yield promise

    def expected(self, number: int) -> float:
        """Seconds until this clause would be there."""
        if self._pool is None or self._is_plain:
            return 0.0
        return self._engine.backlog(self._pool, self._priority).wait(seconds(self._parts[number]))

    async def clause(self, number: int) -> Speech | None:
        """One of the plan's; None once nobody waits for it. Raises BabbleFishError."""
        clause, speed = self._parts[number], self.pace()
        if speed is None:
            return None
        if number == 0:
            samples, speed = await self._begin(clause, speed, self._foreseen, self._elapsed)
        else:
            samples = await self._synthesise(clause, speed)
        return self._speech(number, samples, speed, self._voice, self._is_plain)

    def cloned(self, number: int, samples: np.ndarray, replaces: bool) -> Speech:
        """One of the plan's in the speaker's own voice. samples: float32 (n,) at PLAYOUT_RATE."""
        made = self._speech(number, samples, 1.0, OWN_VOICE, False)
        return replace(made, own_voice=True, replaces=replaces)

    def given(self, speech: Speech) -> Speech:
        """It is on its way to those who hear it, after what was given before."""
        now = time.monotonic()
        self.heard_until = max(self.heard_until or now, now) + speech.audio.seconds
        return speech

    @property
    def _is_live(self) -> bool:
        return self._priority in (Priority.NOW, Priority.PROGRAM)

    @property
    def _plain(self) -> WorkerPool | None:
        """A plainer voice than the one in use."""
        plain = self._engine.plain_synthesiser(self.language)
        return None if plain is self._pool else plain

    @property
    def _is_plain(self) -> bool:
        return self._voice != self._own_voice

    def _speech(
        self, number: int, samples: np.ndarray, speed: float, voice: str, plain: bool
    ) -> Speech:
        clause, last = self._parts[number], number == len(self._parts) - 1
        if not last:
            pause = np.zeros(int(clause.pause_after / speed * PLAYOUT_RATE), np.float32)
            samples = np.concatenate([samples, pause])
        return Speech(
            self.utterance, self.language, number, clause.text, Audio(samples, PLAYOUT_RATE),
            voice, last, plain,
        )  # fmt: skip

    async def _begin(
        self, clause: Clause, speed: float, foreseen: Foreseen | None, elapsed: float
    ) -> tuple[np.ndarray, float]:
        """The first clause and its speed: in the own voice while it is not too late for that."""
        patience = max(_OWN_VOICE_TRIES_S, PLAIN_AFTER_S - elapsed)
        plainer = self._is_live and self._plain is not None
        try:
            async with asyncio.timeout(patience if plainer else None):
                if foreseen and (samples := await _spoken_before(foreseen)) is not None:
                    return samples, foreseen.speed
                return await self._synthesise(clause, speed), speed
        except TimeoutError:
            if foreseen:
                foreseen.give_up()
            self._turn_plain()
            return await self._synthesise(clause, speed), speed

    async def _synthesise(self, clause: Clause, speed: float) -> np.ndarray:
        """Plainly, from here on, if the own voice fails."""
        try:
            return await self._call(clause, speed)
        except BabbleFishError as error:
            if not self._turn_plain():
                raise
            log.warning("a voice failed; speaking plainly", code=error.code)
            return await self._call(clause, speed)

    async def _call(self, clause: Clause, speed: float) -> np.ndarray:
        pool = self._pool
        assert pool is not None
        with self._engine.backlog(pool, self._priority).work(seconds(clause)):
            raw = await pool.call(
                "synthesise", clause.text, self.language, self._voice, speed,
                priority=self._priority, deadline=self.heard_until,
            )  # fmt: skip
        return checked_speech(raw, clause.text, speed)

    def _turn_plain(self) -> bool:
        """Whether there is a plain voice that is not in use already."""
        plain = self._plain
        if plain is None:
            return False
        self._pool = plain
        self._voice = similar(self._own_voice, plain.capabilities.voices[self.language])
        return True


def seconds(clause: Clause) -> float:
    """About how long it takes to say."""
    return clauses.seconds(clause.text)


async def _spoken_before(foreseen: Foreseen) -> np.ndarray | None:
    """What was spoken in advance; None if that failed, and it has to be said now."""
    try:
        raw = await asyncio.shield(foreseen.speech)
        return checked_speech(raw, foreseen.text, foreseen.speed)
    except BabbleFishError:
        return None
