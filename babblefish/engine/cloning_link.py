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

import httpx
import structlog
from pydantic import ValidationError

from babblefish import accelerator_protocol as wire
from babblefish.engine import clauses, cloning_http
from babblefish.engine.circuit_breaker import CircuitBreaker
from babblefish.engine.cloning_checks import checked_clause
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
from babblefish.engine.cloning_probe import first_to_answer
from babblefish.engine.cloning_transport import Transport, unreachable
from babblefish.engine.cloning_voices import LaptopVoices, Offload
from babblefish.errors import CloningError

log = structlog.get_logger(__name__)

POLL_S = 3.0
_FRESH_S = 2 * POLL_S + 4.0
"""a laptop that last answered longer ago is not asked"""
_SOONEST_POLL_S = 0.2
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
        self.voices = LaptopVoices(self._reach, offload)
        self.health: wire.Health | None = None
        self._languages: frozenset[str] = frozenset()
        self._answered_at = 0.0
        self._trouble: CloningError | None = None
        """why it did not answer the last time"""
        self._http: httpx.AsyncClient | None = None
        self._https: tuple[Transport, ...] = ()
        self._transport: Transport | None = None
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._settling: asyncio.Task[None] | None = None
        self._unsettled = False
        self._running: dict[str, Asked] = {}
        self._figures = LaptopFigures()
        self.last_asked = 0.0
        self._service_s = 1.0
        """a whole request, of late"""

    # --- life -----------------------------------------------------------------------------------

    def start(self) -> None:
        urls = [url for url in self.laptop.urls if url.startswith("https://")]
        if urls and self.laptop.certificate:
            try:
                self._http = cloning_http.client(self.laptop.secret, self.laptop.certificate)
            except CloningError as error:
                self._trouble = error
            else:
                self._https = tuple(cloning_http.HttpTransport(self._http, url) for url in urls)
        self.laptop.on_change(self._wake.set)
        self._tasks.append(asyncio.create_task(self._poll(), name="laptop's health"))

    async def close(self, clear: bool) -> None:
        """clear: have its voices deleted first, as far as it can be reached."""
        self.laptop.on_change(None)
        for task in self._tasks:
            task.cancel()
        if self._settling is not None:
            self._settling.cancel()
        if clear:
            await self.voices.clear()
        self.voices.close()
        if self._http is not None:
            await self._http.aclose()

    # --- what is known without asking -------------------------------------------------------------

    def speaks(self, language: str) -> bool:
        """Whether it would be asked now."""
        return self._is_ready and language.partition("-")[0].lower() in self._languages

    @property
    def _is_ready(self) -> bool:
        health = self.health
        return (
            health is not None
            and health.ready
            and self._transport is not None
            and time.monotonic() - self._answered_at < _FRESH_S
            and self.breaker.allows
        )

    @property
    def is_idle(self) -> bool:
        return not self._running and self._wait() == 0.0

    @property
    def outstanding(self) -> int:
        return len(self._running)

    def expected(self, seconds: float, reference: CloneReference | None = None) -> float:
        """Seconds until a first clause of ``seconds`` of speech would be there."""
        upload = self.voices.cost(reference) if reference else 0.0
        return self._wait() + upload + self.pace.usual(seconds, self.health)

    def measured(self, seconds: float, reference: CloneReference) -> float:
        """The same going by those requests that were answered."""
        upload = self.voices.cost(reference)
        return self._wait() + upload + self.pace.measured(seconds, self.health)

    def late_after(self, seconds: float, reference: CloneReference) -> float:
        """Seconds after which a first clause asked for now would be unusually late."""
        upload = 2 * self.voices.cost(reference)
        return self._wait() + upload + self.pace.late_after(seconds, self.health)

    def _wait(self) -> float:
        """Until it would begin with a new request."""
        if self.health is None:
            return 0.0
        since = time.monotonic() - self._answered_at
        newer = sum(asked.begun > self._answered_at for asked in self._running.values())
        return max(0.0, self.health.expected_wait_s - since) + newer * self._service_s

    def state(self) -> LaptopState:
        condition = self._condition
        message = _MESSAGES[condition]
        if condition == "preparing" and self.health and self.health.message:
            message = self.health.message
        elif self._trouble is not None and self._trouble.code in ("bad_certificate", "version"):
            message = self._trouble.message
        figures = replace(
            self._figures, waiting=len(self._running), first_clause_s=self.pace.first_clause_s,
            transfer_s=self.pace.transfer_s, upload_s=self.voices.upload_s,
        )  # fmt: skip
        age = time.monotonic() - self._answered_at if self.health else None
        return LaptopState(
            self.laptop.id, self.laptop.name, condition, message, self._is_ready,
            self._transport.kind if self._transport else "", self.health, age, figures,
            len(self.voices.owed),
        )  # fmt: skip

    @property
    def _condition(self) -> LaptopCondition:
        if self._trouble is not None:
            return "refused" if self._trouble.code == "refused" else "away"
        if self.health is None:
            return "connecting"
        if self.breaker.state == "open":
            return "resting"
        return "ready" if self.health.ready else "preparing"

    # --- asking how it is -------------------------------------------------------------------------

    async def _poll(self) -> None:
        while True:
            self._wake.clear()
            await self._probe()
            await asyncio.sleep(_SOONEST_POLL_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S - _SOONEST_POLL_S):
                    await self._wake.wait()

    async def _probe(self) -> None:
        socket = self.laptop.socket
        ways: tuple[Transport, ...] = (*([socket] if socket else []), *self._https)
        try:
            self._transport, health = await first_to_answer(ways, self._transport)
        except CloningError as error:
            self._lost(error)
        else:
            self._answered(health)

    def _lost(self, error: CloningError) -> None:
        if self._trouble is None or self._trouble.code != error.code:
            log.warning("a laptop does not answer", laptop=self.laptop.id, code=error.code)
        if self._trouble is None or self._trouble.code != "bad_certificate":
            self._trouble = error
        self.breaker.failed(gone=error.code != "late")
        if error.code != "late":
            self.voices.lost()

    def _answered(self, health: wire.Health) -> None:
        if self._trouble is not None:
            log.info("a laptop answers again", laptop=self.laptop.id)
        self._trouble = None
        self.health, self._answered_at = health, time.monotonic()
        self._languages = frozenset(code.partition("-")[0].lower() for code in health.languages)
        if health.voices == 0:  # it was started anew
            self.voices.lost()
        self.breaker.answered()
        if health.ready:
            self.settle()

    def settle(self) -> None:
        """Delete the voices whose deletion is owed, hand over those wanted, in the background."""
        self._unsettled = True
        if self._transport is not None and (self._settling is None or self._settling.done()):
            self._settling = asyncio.create_task(self._settle(), name="voices at a laptop")

    async def _settle(self) -> None:
        while self._unsettled:
            self._unsettled = False
            await self.voices.settle(self._wanted())

    def _reach(self) -> Transport:
        if self._transport is None:
            raise unreachable()
        return self._transport

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
        self._wake.set()

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
        async with aclosing(self._reach().synthesize(message)) as answers:
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
        if error.code in _NOT_ITS_FAULT:
            self.breaker.gave_up()
        else:
            self.breaker.failed(gone=error.code in ("unreachable", "refused"))
        if error.code == "unreachable":
            self.voices.lost()
        if error.code in _ASK_HOW_IT_IS:
            self._wake.set()


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
