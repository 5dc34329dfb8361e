"""One request at one laptop, and at a second where the first is late: who has the first clause
first, says it all.

Whatever the others send is never heard, so that nothing is said twice. Which laptop comes next is
asked of whoever starts the race.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from babblefish.engine import clauses
from babblefish.engine.cloning_link import LaptopLink
from babblefish.engine.cloning_messages import ClonedClause, CloneRequest
from babblefish.engine.stages import PLAYOUT_RATE
from babblefish.errors import CloningError

_PAUSE_S = 0.15
"""between two clauses, and nobody hears that the second one was not there yet"""
_HAND_OVER_S = 0.25
"""a clause gets at least this long, whatever whoever listens has waited for meanwhile"""
_AGAIN_S = 0.1
"""a laptop is late and no other has time: look again after this"""
_AHEAD = 2
"""clauses kept for a listener; then the laptop is slowed down"""

_NO_OTHER_CAN = ("forgotten", "bad_request", "bad_reference")
"""codes of failures that another laptop must not, or could not, make good"""

Choice = Callable[[CloneRequest, Sequence[LaptopLink], bool], "LaptopLink | None"]
"""(request, laptops already asked, only one that has nothing else to do) → whom to ask"""


class _Attempt:
    """What one laptop makes of the request."""

    def __init__(self, link: LaptopLink, request: CloneRequest, patience: float) -> None:
        self.link = link
        self.begun = time.monotonic()
        seconds, reference = clauses.seconds(request.clauses[0]), request.reference
        self.usual_at = self.begun + link.measured(seconds, reference)
        self.late_at = self.begun + link.late_after(seconds, reference)
        self._asked = link.ask()
        self.over = False
        loop = asyncio.get_running_loop()
        self.first: asyncio.Future[ClonedClause] = loop.create_future()
        self.first.add_done_callback(lambda first: first.cancelled() or first.exception())
        self._later: asyncio.Queue[ClonedClause | BaseException] = asyncio.Queue(_AHEAD)
        self._task = asyncio.create_task(self._run(request, patience), name="ask a laptop")
        self._task.add_done_callback(self._ended)

    async def _run(self, request: CloneRequest, patience: float) -> None:
        async with aclosing(self.link.speak(self._asked, request, patience)) as spoken:
            async for clause in spoken:
                if self.first.done():
                    await self._later.put(clause)
                else:
                    self.first.set_result(clause)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.link.over(self._asked)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._tell(error)

    async def later(self) -> ClonedClause:
        """The next clause after the first."""
        item = await self._later.get()
        if isinstance(item, BaseException):
            raise item
        return item

    def fail(self, error: CloningError) -> None:
        """Give up, and have whoever waits for it told why."""
        self.give_up()
        self._tell(error)

    def give_up(self) -> None:
        self._task.cancel()

    def _tell(self, error: BaseException) -> None:
        if not self.first.done():
            self.first.set_exception(error)
            return
        if self._later.full():
            self._later.get_nowait()
        self._later.put_nowait(error)


class Race:
    """``deadline``: seconds from now for the first clause."""

    def __init__(self, request: CloneRequest, deadline: float, choose: Choice) -> None:
        self.request, self._choose = request, choose
        self._seconds = clauses.seconds(request.clauses[0])
        self._until = time.monotonic() + deadline
        self.attempts: list[_Attempt] = []

    async def run(self) -> AsyncGenerator[ClonedClause, None]:
        """See ``Cloning.speak``."""
        finished: _Attempt | None = None
        try:
            attempt = await self._first()
            clause = attempt.first.result()
            heard_until = time.monotonic()
            while True:
                heard_until = max(heard_until, time.monotonic())
                heard_until += len(clause.samples) / PLAYOUT_RATE + _PAUSE_S
                if clause.last:
                    finished = attempt
                yield clause
                if clause.last:
                    return
                clause = await self._later(attempt, heard_until)
        finally:
            for attempt in self.attempts:
                if attempt is not finished:
                    attempt.give_up()

    async def _later(self, attempt: _Attempt, heard_until: float) -> ClonedClause:
        patience = max(_HAND_OVER_S, heard_until - time.monotonic())
        try:
            async with asyncio.timeout(patience):
                return await attempt.later()
        except TimeoutError:
            attempt.give_up()
            attempt.link.too_late(self._seconds)
            raise _late() from None

    async def _first(self) -> _Attempt:
        """The attempt that has a first clause; the others are given up."""
        self._ask()
        while True:
            running = [attempt for attempt in self.attempts if not attempt.over]
            patience = max(0.0, self._next_decision(running) - time.monotonic())
            await asyncio.wait(
                [attempt.first for attempt in running], timeout=patience,
                return_when=asyncio.FIRST_COMPLETED,
            )  # fmt: skip
            done = [attempt for attempt in running if attempt.first.done()]
            for attempt in done:
                if attempt.first.exception() is None:
                    self._settle(attempt)
                    return attempt
            for attempt in done:
                attempt.over = True
                error = attempt.first.exception()
                if error is not None and getattr(error, "code", "") in _NO_OTHER_CAN:
                    raise error
            if time.monotonic() >= self._until:
                self._settle(None)
                raise _late()
            if done or (len(running) == 1 and time.monotonic() >= running[0].late_at):
                self._ask_another(idle=not done)
            if all(attempt.over for attempt in self.attempts):
                raise done[-1].first.exception() or _late()

    def _next_decision(self, running: list[_Attempt]) -> float:
        """When something happens even if no laptop answers."""
        if len(running) > 1 or self._choose(self.request, self._asked, False) is None:
            return self._until
        late = max(running[0].late_at, time.monotonic() + _AGAIN_S)
        return min(self._until, late)

    @property
    def _asked(self) -> list[LaptopLink]:
        return [attempt.link for attempt in self.attempts]

    def _ask(self) -> None:
        link = self._choose(self.request, self._asked, False)
        if link is None:
            raise CloningError("nobody", "No laptop speaks this language now.")
        self._begin(link)

    def _ask_another(self, idle: bool) -> None:
        link = self._choose(self.request, self._asked, idle)
        if link is not None:
            self._begin(link)

    def _begin(self, link: LaptopLink) -> None:
        self.attempts.append(_Attempt(link, self.request, self._until - time.monotonic()))

    def _settle(self, winner: _Attempt | None) -> None:
        """Give up all others. Those that had the time which they usually need have failed, and
        where another was quicker, those that are unusually late."""
        now = time.monotonic()
        for attempt in self.attempts:
            if attempt is winner or attempt.over:
                continue
            attempt.give_up()
            if now >= (attempt.late_at if winner else attempt.usual_at):
                attempt.link.too_late(self._seconds, now - attempt.begun)


def _late() -> CloningError:
    return CloningError("late", "The laptop takes too long.")
