"""One laptop while the server runs: polled in the background, asked while it does well.

Knows whether the laptop would be asked now and how soon it would answer, without asking; says one
request. Which laptop is asked is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Literal

import structlog
from pydantic import ValidationError

from babblefish import accelerator_protocol as wire
from babblefish import metrics
from babblefish.engine import clauses
from babblefish.engine.circuit_breaker import CircuitBreaker
from babblefish.engine.cloning_checks import checked_clause
from babblefish.engine.cloning_health import LaptopHealth
from babblefish.engine.cloning_laptop import Laptop
from babblefish.engine.cloning_messages import (
    ClonedClause,
    CloneReference,
    CloneRequest,
    LaptopCondition,
    LaptopFigures,
    LaptopState,
)
from babblefish.engine.cloning_pace import Pace
from babblefish.engine.cloning_voices import LaptopVoices, Offload
from babblefish.errors import CloningError

log = structlog.get_logger(__name__)

_OWN_SHARE = 0.2
"""of a request's time was its own, at least, however much the laptop seemed to have to do"""
_SERVICE_SHARE = 0.5
"""of the newest measurement"""
_END_S = 1.0
"""after the last clause, for the end of the answer: the connection can then be used again"""
_NOT_ITS_FAULT = {
    "unknown_voice", "unknown_language", "bad_request", "bad_reference", "busy", "not_ready",
    "cancelled", "forgotten",
}  # fmt: skip
_ASK_HOW_IT_IS = {"unreachable", "refused", "late", "not_ready", "busy"}
_MESSAGES: dict[LaptopCondition, str] = {
    "connecting": "Connecting.",
    "ready": "Ready to speak in people's own voices.",
    "preparing": "Getting ready.",
    "resting": "It failed and is given a rest; everybody is heard in the neutral voice.",
    "away": "Not reachable; everybody is heard in the neutral voice until it is back.",
    "refused": "It refuses this server. Remove it here and pair it again.",
}


@dataclass(slots=True)
class Asked:
    """One request to a laptop, from the moment it is decided."""

    made: str
    begun: float
    waited: float
    """seconds that the laptop was expected to be busy with others first"""
    outcome: Literal["spoken", "failed", "given_up"] = "given_up"


class LaptopLink:
    """``wanted``: the voices that it should hold. ``start`` it in the event loop."""

    def __init__(
        self, laptop: Laptop, wanted: Callable[[], Iterable[CloneReference]], offload: Offload
    ) -> None:
        self.laptop, self._wanted, self._offload = laptop, wanted, offload
        self.breaker, self.pace = CircuitBreaker(), Pace()
        self.health = LaptopHealth(laptop, self._answered, self._silent)
        self.voices = LaptopVoices(self.health.reach, offload)
        self._watch: asyncio.Task[None] | None = None
        self._settling: asyncio.Task[None] | None = None
        self._unsettled = False
        self._running: dict[str, Asked] = {}
        self._figures = LaptopFigures()
        self.last_asked = 0.0
        self._service_s = 1.0
        """a whole request, of late"""

    # --- life -----------------------------------------------------------------------------------

    def start(self) -> None:
        self._watch = asyncio.create_task(self.health.run(), name="laptop's health")

    async def close(self, clear: bool) -> None:
        """clear: have its voices deleted first, as far as it can be reached."""
        self.laptop.on_change(None)
        for task in (self._watch, self._settling):
            if task is not None:
                task.cancel()
        if clear:
            await self.voices.clear()
        self.voices.close()
        await self.health.close()

    # --- what is known without asking -------------------------------------------------------------

    def speaks(self, language: str) -> bool:
        """Whether it would be asked now."""
        return self._is_ready and self.health.speaks(language)

    @property
    def _is_ready(self) -> bool:
        return self.health.is_ready and self.breaker.allows

    @property
    def is_idle(self) -> bool:
        return not self._running and self._wait() == 0.0

    @property
    def outstanding(self) -> int:
        return len(self._running)

    def expected(self, seconds: float, reference: CloneReference | None = None) -> float:
        """Seconds until a first clause of ``seconds`` of speech would be there."""
        upload = self.voices.cost(reference) if reference else 0.0
        return self._wait() + upload + self.pace.usual(seconds, self.health.last)

    def measured(self, seconds: float, reference: CloneReference) -> float:
        """The same going by those requests that were answered."""
        upload = self.voices.cost(reference)
        return self._wait() + upload + self.pace.measured(seconds, self.health.last)

    def late_after(self, seconds: float, reference: CloneReference) -> float:
        """Seconds after which a first clause asked for now would be unusually late."""
        upload = 2 * self.voices.cost(reference)
        return self._wait() + upload + self.pace.late_after(seconds, self.health.last)

    def _wait(self) -> float:
        """Until it would begin with a new request."""
        health, at = self.health.last, self.health.answered_at
        if health is None:
            return 0.0
        newer = sum(asked.begun > at for asked in self._running.values())
        busy = health.expected_wait_s - (time.monotonic() - at)
        return max(0.0, busy) + newer * self._service_s

    def state(self) -> LaptopState:
        health, trouble, transport = self.health.last, self.health.trouble, self.health.transport
        condition = self._condition
        message = _MESSAGES[condition]
        if condition == "preparing" and health and health.message:
            message = health.message
        elif trouble is not None and trouble.code in ("bad_certificate", "version"):
            message = trouble.message
        figures = replace(
            self._figures, waiting=len(self._running), first_clause_s=self.pace.first_clause_s,
            transfer_s=self.pace.transfer_s, upload_s=self.voices.upload_s,
        )  # fmt: skip
        return LaptopState(
            self.laptop.id, self.laptop.name, condition, message, self._is_ready,
            transport.kind if transport and not trouble else "", health,
            time.monotonic() - self.health.answered_at if health else None, figures,
            len(self.voices.owed),
        )  # fmt: skip

    @property
    def _condition(self) -> LaptopCondition:
        if self.health.trouble is not None:
            return "refused" if self.health.trouble.code == "refused" else "away"
        if self.health.last is None:
            return "connecting"
        if self.breaker.state == "open":
            return "resting"
        return "ready" if self.health.last.ready else "preparing"

    # --- what becomes known -----------------------------------------------------------------------

    def _answered(self, health: wire.Health) -> None:
        if health.voices == 0:  # it was started anew
            self.voices.lost()
        self.breaker.answered()
        if health.ready:
            self.settle()

    def _silent(self, error: CloningError) -> None:
        self.breaker.failed(gone=error.code != "late")
        if error.code != "late":
            self.voices.lost()

    def settle(self) -> None:
        """Delete the voices whose deletion is owed, hand over those wanted, in the background."""
        self._unsettled = True
        if self.health.transport is not None and (self._settling is None or self._settling.done()):
            self._settling = asyncio.create_task(self._settle(), name="voices at a laptop")

    async def _settle(self) -> None:
        while self._unsettled:
            self._unsettled = False
            await self.voices.settle(self._wanted)

    # --- asking it to speak -----------------------------------------------------------------------

    def ask(self) -> Asked:
        """Count on a request from now on. ``speak`` it, and in any case say when it is ``over``."""
        self.breaker.begin()
        self.last_asked = time.monotonic()
        asked = Asked(uuid.uuid4().hex, self.last_asked, self._wait())
        self._running[asked.made] = asked
        return asked

    def over(self, asked: Asked) -> None:
        del self._running[asked.made]
        was = self._figures
        counted = {asked.outcome: getattr(was, asked.outcome) + 1}
        self._figures = replace(was, asked=was.asked + 1, **counted)
        if asked.outcome == "given_up":
            self.breaker.gave_up()

    async def speak(
        self, asked: Asked, request: CloneRequest, patience: float
    ) -> AsyncGenerator[ClonedClause, None]:
        """The clauses, checked, as they come. Closing the iterator gives the request up.

        patience: seconds from now for the first clause, which the laptop is told; whoever asks
        keeps to it. Raises CloningError.
        """
        try:
            async with aclosing(self._with_voice(asked, request, patience)) as spoken:
                async for clause in spoken:
                    if clause.last:
                        self._done(asked)
                    yield clause
        except CloningError as error:
            asked.outcome = "failed"
            self._failed(error)
            raise

    def _done(self, asked: Asked) -> None:
        asked.outcome = "spoken"
        self.breaker.succeeded()
        took = time.monotonic() - asked.begun
        own = max(took - asked.waited, _OWN_SHARE * took)
        self._service_s += _SERVICE_SHARE * (own - self._service_s)

    def too_late(self, seconds: float, waited: float | None = None) -> None:
        """A request was given up, since its first clause of ``seconds`` was not there after
        ``waited``, or (None) a later one came too slowly."""
        if waited is not None:
            self.pace.doubt(seconds, waited)
        self.breaker.failed()
        self.health.ask_soon()

    async def _with_voice(
        self, asked: Asked, request: CloneRequest, patience: float
    ) -> AsyncGenerator[ClonedClause, None]:
        until = time.monotonic() + patience
        for attempt in (1, 2):
            await self.voices.ensure(request.reference)
            message = _message(asked.made, request, max(0.0, until - time.monotonic()))
            try:
                async with aclosing(
                    self._clauses(message, request.clauses, asked.waited)
                ) as spoken:
                    async for clause in spoken:
                        yield clause
                return
            except CloningError as error:
                if error.code != "unknown_voice" or attempt == 2:
                    raise
                self.voices.lost(request.reference)

    async def _clauses(
        self, message: wire.Synthesize, texts: tuple[str, ...], waited: float
    ) -> AsyncGenerator[ClonedClause, None]:
        begun = time.monotonic()
        number = 0
        async with aclosing(self.health.reach().synthesize(message)) as answers:
            async for answer in answers:
                if number == len(texts):
                    return
                samples = await self._offload(
                    checked_clause, answer, message.request_id, number, texts
                )
                took = time.monotonic() - begun
                if number == 0:
                    seconds = clauses.seconds(texts[0])
                    own = max(took - waited, _OWN_SHARE * took)
                    self.pace.learn(seconds, own, max(0.0, took - answer.latency_ms / 1000))
                yield ClonedClause(
                    number, texts[number], samples, answer.last, self.laptop.id, took
                )
                number += 1
                if answer.last:
                    with contextlib.suppress(TimeoutError, CloningError):
                        async with asyncio.timeout(_END_S):
                            await anext(answers, None)
        if number < len(texts):
            raise CloningError("bad_answer", "The laptop's answer ended too early.")

    def _failed(self, error: CloningError) -> None:
        log.warning("a laptop failed", laptop=self.laptop.id, code=error.code)
        metrics.error(error.stage, error.code)
        if error.code in _NOT_ITS_FAULT:
            self.breaker.gave_up()
        else:
            self.breaker.failed(gone=error.code in ("unreachable", "refused"))
        if error.code == "unreachable":
            self.voices.lost()
        if error.code in _ASK_HOW_IT_IS:
            self.health.ask_soon()


def _message(made: str, request: CloneRequest, patience: float) -> wire.Synthesize:
    try:
        return wire.Synthesize(
            request_id=made, text=" ".join(request.clauses), clauses=list(request.clauses),
            language=request.language, speaker_id=request.speaker,
            speaker_name=request.speaker_name, reference=request.reference.digest,
            deadline_ms=min(120_000, int(patience * 1000)),
        )  # fmt: skip
    except ValidationError:  # whose text quotes what is to be said
        raise CloningError("bad_request", "This is too long for one request.") from None
