"""Says a translation in two voices: a neutral one at once, and the speaker's own as soon as it is
there.

``sequential``: who is known to come through in their own voice is waited for a little, with the
neutral voice ready by the end of it. ``replace``: the neutral voice begins, and each clause is
given again in the own voice; the playout changes over. In both, whatever becomes of a laptop, every
clause is given, and what was heard is never given again.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from babblefish.engine.clone_stream import CloneStream
from babblefish.engine.cloning_messages import ClonedClause, CloneReference, CloneRequest
from babblefish.engine.patience import patience
from babblefish.engine.speaking import Speaking, seconds
from babblefish.engine.tempo import faster
from babblefish.engine.voice_trust import VoiceTrust
from babblefish.errors import BabbleFishError
from babblefish.protocol import Speech

if TYPE_CHECKING:
    from babblefish.engine.clauses import Clause
    from babblefish.engine.engine import Engine
    from babblefish.engine.foresight import Foresight

Strategy = Literal["sequential", "replace"]

_MARGIN_S = 0.15
"""the neutral voice is ready so long before silence would fall"""
_BEFORE_SILENCE_S = 0.04
_UNSURE_S = 2.0
"""how long it may take until it is sure that an utterance is one"""
_REPLACE_WITHIN_S = 10.0
_INSTEAD_S = 10.0
"""how long the own voice is waited for where no other can"""
_LOOK_S = 0.25
_WHO_S = 10.0
"""how long it may take until it is known who spoke"""
_HURRY_S = 2.5
"""by which somebody is behind for whom it is said faster"""


class Cloning(Protocol):
    """The laptops, together."""

    def speaks(self, language: str) -> bool:
        """Whether one of them would be asked now; instant."""
        ...

    def expected(self, text: str, language: str) -> float | None:
        """Seconds to the first clause, from measurements; None: nobody."""
        ...

    def speak(self, request: CloneRequest, deadline: float) -> AsyncGenerator[ClonedClause]:
        """deadline: seconds from now for the first clause. Raises CloningError."""
        ...

    def forget(self, speaker: str) -> None:
        """Delete what laptops know of somebody, at all of them, until it is done."""
        ...


@dataclass(frozen=True, slots=True)
class Listeners:
    """Those of one language."""

    free: float = 0.0
    """seconds until the first of them has heard what comes before"""
    behind: float = 0.0
    """seconds that the last of them is behind"""


class OwnVoice(Protocol):
    """One utterance and the voice of whoever said it."""

    cloning: Cloning
    trust: VoiceTrust
    strategy: Strategy
    name: str
    audible: asyncio.Event
    """set once it is sure that what is given is heard"""

    def speaks(self, language: str) -> bool:
        """Whether it is worth a try now; instant."""
        ...

    async def speaker(self) -> str | None:
        """Id of who said it, as soon as that is known; None: nobody who may be imitated."""
        ...

    async def reference(self) -> CloneReference | None:
        """How that person sounds."""
        ...

    def allowed(self) -> bool:
        """Whether that person still agrees, and is still who said it; instant."""
        ...

    def listeners(self, language: str) -> Listeners: ...


class TwoTier:
    """One utterance into one language."""

    def __init__(self, engine: Engine, speaking: Speaking, own: OwnVoice) -> None:
        self._engine, self._speaking, self._own = engine, speaking, own
        self._streams: list[CloneStream] = []
        self._neutral: asyncio.Task[Speech | None] | None = None
        self._patience = 0.0
        self._heard_from: float | None = None

    async def say(
        self, text: str, foresight: Foresight | None, elapsed: float
    ) -> AsyncIterator[Speech]:
        """As ``Speaking.say``."""
        parts = self._speaking.plan(text, foresight, elapsed)
        if not parts:
            return
        way = self._replacing if self._own.strategy == "replace" else self._waiting
        try:
            async with contextlib.aclosing(way(parts)) as speech:
                async for clause in speech:
                    yield clause
        finally:
            self._drop_neutral()
            for stream in self._streams:
                stream.close()

    def _stream(self, parts: Sequence[Clause], deadline: float) -> CloneStream:
        texts = [clause.text for clause in parts]
        stream = CloneStream(self._engine, self._own, self._speaking.language, texts, deadline)
        self._streams.append(stream)
        return stream

    def _begin_neutral(self, number: int) -> asyncio.Task[Speech | None]:
        if self._neutral is None:
            self._neutral = asyncio.create_task(self._speaking.clause(number), name="neutral")
        return self._neutral

    def _drop_neutral(self) -> None:
        task, self._neutral = self._neutral, None
        if task is not None:
            task.cancel()
            task.add_done_callback(_ignore)

    async def _own_clause(
        self, stream: CloneStream, number: int, replaces: bool = False
    ) -> Speech | None:
        """None: it is not there, or nobody waits for it."""
        samples, speed = stream.get(number), self._speaking.pace()
        if samples is None or speed is None:
            return None
        behind = self._own.listeners(self._speaking.language).behind
        if speed > 1.0 and behind > _HURRY_S:  # else much is there only because it came quickly
            samples = await self._engine.calculate(faster, samples, speed)
        return self._speaking.cloned(number, samples, replaces)

    # --- first the neutral voice, then the own one ------------------------------------------------

    async def _replacing(self, parts: Sequence[Clause]) -> AsyncGenerator[Speech]:
        stream = self._stream(parts, _REPLACE_WITHIN_S)
        given = own = 0
        with self._speaking.promise(parts) as promise:
            while given < len(parts) or stream.get(own) is not None or not stream.over:
                if self._speaking.pace() is None:
                    return
                if stream.get(own) is not None:
                    speech = await self._own_clause(stream, own, own < given)
                    if speech is None:
                        continue
                    if own == given:
                        self._drop_neutral()
                        promise.keep(seconds(parts[given]))
                        self._speaking.given(speech)
                        given += 1
                    own += 1
                    yield speech
                    continue
                if given < len(parts):
                    self._begin_neutral(given)
                elif self._is_heard:
                    return
                if (speech := await self._neutral_or_change(stream, given)) is not None:
                    promise.keep(seconds(parts[given]))
                    given += 1
                    yield self._speaking.given(speech)
        if stream.complete and (speaker := await self._own.speaker()):
            self._own.trust.learn(speaker, good=stream.kept_up)

    @property
    def _is_heard(self) -> bool:
        until = self._speaking.heard_until
        free = self._own.listeners(self._speaking.language).free
        return until is not None and time.monotonic() > until + free + _UNSURE_S

    async def _neutral_or_change(self, stream: CloneStream, number: int) -> Speech | None:
        """The neutral clause if that comes first."""
        neutral = self._neutral
        await _first([neutral] if neutral else [], stream, _LOOK_S)
        if neutral is None or not neutral.done():
            return None
        self._neutral = None
        try:
            return neutral.result()
        except BabbleFishError:
            until = time.monotonic() + _INSTEAD_S
            while not stream.over and time.monotonic() < until:
                if stream.get(number) is not None:
                    return None
                await _first([], stream, _LOOK_S)
            raise

    # --- the own voice, or the neutral one --------------------------------------------------------

    async def _waiting(self, parts: Sequence[Clause]) -> AsyncGenerator[Speech]:
        number = 0
        with self._speaking.promise(parts[:1]):
            self._begin_neutral(0)
            speaker = await self._own.speaker() if self._own.trust.anybody else None
            stream = self._worth_waiting(speaker, parts) if speaker else None
            if stream is None:
                self._own.trust.start(self._find_out(parts))
            while stream and number < len(parts):
                speech = await self._in_time(stream, number)
                if speech is None:
                    break
                number += 1
                yield self._speaking.given(speech)
        if stream and speaker and self._speaking.pace() is not None:
            self._own.trust.learn(speaker, good=number == len(parts))
        with self._speaking.promise(parts[number:]) as promise:
            for rest in range(number, len(parts)):
                speech = await self._begin_neutral(rest)
                self._neutral = None
                if speech is None:
                    return
                promise.keep(seconds(parts[rest]))
                yield self._speaking.given(speech)

    def _worth_waiting(self, speaker: str, parts: Sequence[Clause]) -> CloneStream | None:
        """The own voice; None where it would be late, or nobody knows."""
        trust, own = self._own.trust, self._own
        self._patience = self._patience_for(parts) if trust.proven(speaker) else 0.0
        if self._patience <= 0:
            return None
        unsure = 0.0 if own.audible.is_set() else _UNSURE_S
        return self._stream(parts, self._patience + unsure)

    async def _find_out(self, parts: Sequence[Clause]) -> None:
        """Whether the own voice can be waited for the next time."""
        own, language = self._own, self._speaking.language
        texts = [clause.text for clause in parts]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_WHO_S):
                speaker = await own.speaker()
            if speaker is not None:
                own.trust.try_out(
                    speaker, lambda wait: CloneStream(self._engine, own, language, texts, wait)
                )

    def _patience_for(self, parts: Sequence[Clause]) -> float:
        language = self._speaking.language
        expected = self._own.cloning.expected(parts[0].text, language)
        there = self._own.listeners(language)
        return patience(expected, sum(map(seconds, parts)), there.free, there.behind)

    async def _in_time(self, stream: CloneStream, number: int) -> Speech | None:
        """The clause in the own voice, unless it fails or is late. Then the neutral one is made,
        and will be there in time."""
        while stream.get(number) is None:
            until, now = self._until(number), time.monotonic()
            if stream.over or self._speaking.pace() is None:
                return None
            net_at = until - self._speaking.expected(number) - _MARGIN_S
            if now >= net_at:
                self._begin_neutral(number)
            neutral = self._neutral
            if neutral is not None and neutral.done():
                failed = neutral.exception() is not None
                if now >= until + (_INSTEAD_S if failed else 0.0):
                    return None
            steps = [at - now for at in (net_at, until) if at > now]
            waited_for = [neutral] if neutral and not neutral.done() else []
            await _first(waited_for, stream, min([*steps, _LOOK_S]))
        self._drop_neutral()
        return await self._own_clause(stream, number)

    def _until(self, number: int) -> float:
        """When silence would fall, as far as that is known."""
        if number and self._speaking.heard_until is not None:
            return self._speaking.heard_until - _BEFORE_SILENCE_S
        if self._heard_from is None and self._own.audible.is_set():
            self._heard_from = time.monotonic()
        begins = self._heard_from
        return (time.monotonic() + _UNSURE_S if begins is None else begins) + self._patience


async def _first(tasks: Sequence[asyncio.Task], stream: CloneStream, timeout: float) -> None:
    """Wait until one of these is done, or something has come."""
    change = [] if stream.over else [asyncio.create_task(stream.changed(), name="own voice")]
    try:
        if tasks or change:
            await asyncio.wait(
                {*tasks, *change}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
            )
        else:
            await asyncio.sleep(timeout)
    finally:
        for task in change:
            task.cancel()


def _ignore(task: asyncio.Task) -> None:
    if not task.cancelled():
        task.exception()
