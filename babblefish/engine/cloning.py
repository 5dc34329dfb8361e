"""People's own voices, spoken by laptops: who is asked, and what becomes of it.

The laptop that is expected to answer first is asked; where it is late, one that has nothing to do
is asked as well. Laptops come and go at any time. Without one everything here is instant and says
so.
Knows neither rooms nor consent: who asks for a voice has made sure that it may be used.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any, TypeVar

from babblefish.engine import clauses
from babblefish.engine.cloning_laptop import Laptop
from babblefish.engine.cloning_link import LaptopLink
from babblefish.engine.cloning_messages import (
    ClonedClause,
    CloneReference,
    CloneRequest,
    LaptopState,
)
from babblefish.engine.cloning_race import Race
from babblefish.errors import CloningError

__all__ = [
    "CloneReference", "CloneRequest", "ClonedClause", "Cloning", "Laptop", "LaptopState",
]  # fmt: skip

_REFERENCES = 64
"""voices kept to be handed to a laptop that comes later; a megabyte each"""
_TIE_S = 0.03
"""laptops whose expected times differ by less are equal"""
_FIRST_CLAUSE = 40
"""characters of a text that its first clause has at most, about"""
_CLEAR_S = 5.0
"""for a laptop that is removed to delete its voices"""
T = TypeVar("T")


class Cloning:
    """All methods are for one event loop; ``laptops``, ``speaks`` and ``expected`` may be called
    from any thread. Nothing but ``speak`` waits for a laptop."""

    def __init__(self) -> None:
        self._links: dict[str, LaptopLink] = {}
        self._references: OrderedDict[str, CloneReference] = OrderedDict()
        self._races: set[Race] = set()
        self._arithmetic = ThreadPoolExecutor(2, "cloning")
        """for what is too little for a worker process and too much for the event loop"""
        self._closing: set[asyncio.Task[bool]] = set()

    # --- laptops ----------------------------------------------------------------------------------

    def add(self, laptop: Laptop) -> None:
        """Ask ``laptop`` from now on, whenever it can be reached. Replaces one of the same id."""
        before = self._links.pop(laptop.id, None)
        link = LaptopLink(laptop, lambda: tuple(self._references.values()), self._offload)
        if before is not None:
            link.voices.owe(before.voices.owed)
            self._let_go(before, clear=False)
        self._links[laptop.id] = link
        link.start()

    def remove(self, laptop_id: str, speakers: Iterable[str] = ()) -> Awaitable[bool]:
        """Never ask it again. It is told to delete its voices, if it can be reached, and those
        of ``speakers``, which it may have from before this process. Does so in any case; await it
        to know whether that was done."""
        link = self._links.pop(laptop_id, None)
        if link is None:
            nothing: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            nothing.set_result(False)
            return nothing
        link.voices.owe(speakers)
        return self._let_go(link, clear=True)

    def laptops(self) -> tuple[LaptopState, ...]:
        """In the order in which they were added."""
        return tuple(link.state() for link in tuple(self._links.values()))

    def _let_go(self, link: LaptopLink, clear: bool) -> Awaitable[bool]:
        for race in self._races:
            for attempt in race.attempts:
                if attempt.link is link:
                    attempt.fail(CloningError("closed", "The laptop has been removed."))
        return self._in_background(_closed(link, clear))

    # --- what can be had --------------------------------------------------------------------------

    def speaks(self, language: str) -> bool:
        """Whether some laptop would be asked now. Instant."""
        return any(link.speaks(language) for link in tuple(self._links.values()))

    def expected(self, text: str, language: str) -> float | None:
        """Seconds until the first clause of ``text`` would be there, as measured of late; None:
        nobody would be asked. Instant."""
        links = [link for link in tuple(self._links.values()) if link.speaks(language)]
        if not links:
            return None
        seconds = clauses.seconds(text[:_FIRST_CLAUSE])
        return min(link.expected(seconds) for link in links)

    # --- voices -----------------------------------------------------------------------------------

    def prepare(self, reference: CloneReference) -> None:
        """Hand a voice to all laptops ahead of time, also to those that come later. Instant."""
        known = self._references.pop(reference.speaker, None)
        self._references[reference.speaker] = reference
        while len(self._references) > _REFERENCES:
            self._references.popitem(last=False)
        if known is None or known.digest != reference.digest:
            self._settle()

    def forget(self, speaker: str) -> None:
        """Have the voice deleted at every laptop, retried until each has done it or is removed.
        What is being said in it stops with CloningError("forgotten"). Instant."""
        self._references.pop(speaker, None)
        for race in self._races:
            if race.request.speaker == speaker:
                for attempt in race.attempts:
                    attempt.fail(CloningError("forgotten", "This voice has been deleted."))
        for link in self._links.values():
            link.voices.forget(speaker)
        self._settle()

    def owe(self, laptop_id: str, speakers: Iterable[str]) -> None:
        """This laptop has yet to delete these voices, as was decided before this process."""
        link = self._links.get(laptop_id)
        if link is not None:
            link.voices.owe(speakers)
            link.settle()

    def _settle(self) -> None:
        for link in self._links.values():
            link.settle()

    # --- speaking ---------------------------------------------------------------------------------

    async def speak(
        self, request: CloneRequest, deadline: float
    ) -> AsyncGenerator[ClonedClause, None]:
        """The clauses of ``request`` as they come, each once and in order.

        deadline: seconds from now for the first one. Later ones have to be there before what
        was yielded has been heard, or the iterator raises. Raises CloningError, before the first
        clause or after any: what is missing then has to be said in another voice. Close the
        iterator (``contextlib.aclosing``) when nobody waits any more: the laptop stops.
        """
        reference = request.reference
        if not request.clauses or request.speaker != reference.speaker:
            raise CloningError("bad_request", "There is nothing to say, or in no voice.")
        if not self.speaks(request.language):
            raise CloningError("nobody", "No laptop speaks this language now.")
        self.prepare(reference)
        race = Race(request, deadline, self._choose)
        self._races.add(race)
        try:
            async with aclosing(race.run()) as spoken:
                async for clause in spoken:
                    yield clause
        finally:
            self._races.discard(race)

    def _choose(
        self, request: CloneRequest, asked: Sequence[LaptopLink], idle: bool
    ) -> LaptopLink | None:
        """The one that is expected to answer first. Of equals one that has the voice, then the
        one that has least to do, then the one that has rested longest."""
        links = [
            link for link in self._links.values()
            if link not in asked and link.speaks(request.language) and (link.is_idle or not idle)
        ]  # fmt: skip
        if not links:
            return None
        seconds = clauses.seconds(request.clauses[0])
        expected = {link: link.expected(seconds, request.reference) for link in links}
        soonest = min(expected.values())
        equal = [link for link in links if expected[link] <= soonest + _TIE_S]
        return min(
            equal,
            key=lambda link: (
                not link.voices.has(request.reference), link.outstanding,
                link.last_asked,
            ),
        )  # fmt: skip

    # --- the rest ---------------------------------------------------------------------------------

    async def close(self) -> None:
        """Give everything up. Voices stay where they are."""
        for link in self._links.values():
            self._let_go(link, clear=False)
        self._links.clear()
        while self._closing:
            await asyncio.wait(self._closing)
        self._arithmetic.shutdown(wait=False, cancel_futures=True)

    async def _offload(self, function: Callable[..., T], *arguments: Any) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._arithmetic, function, *arguments)

    def _in_background(self, work: Coroutine[Any, Any, bool]) -> asyncio.Task[bool]:
        task = asyncio.create_task(work, name="let a laptop go")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        return task


async def _closed(link: LaptopLink, clear: bool) -> bool:
    """Whether nothing is left to be deleted there."""
    try:
        async with asyncio.timeout(_CLEAR_S):
            await link.close(clear)
    except TimeoutError:
        await link.close(clear=False)
    return not link.voices.owed
