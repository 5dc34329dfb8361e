"""The server's messages over one WebSocket: several requests at once, told apart by their ids.

Texts come in, texts go out, whatever carries them; when and where it is opened is ``dial_out``'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterable, Awaitable, Callable

from babblefish.accelerator.reception import Reception, failed
from babblefish.accelerator_protocol import (
    AskHealth,
    Cancel,
    DeleteVoice,
    Failed,
    PutVoice,
    Synthesize,
    ToLaptop,
    ToServer,
    message_for_laptop,
)
from babblefish.errors import BabbleFishError, SynthesisError

log = logging.getLogger(__name__)

HEALTH_S = 3.0
_MOST_TASKS = 64
"""messages at work; more are told that the laptop is busy"""

Send = Callable[[str], Awaitable[None]]


class Conversation:
    """``send`` carries one text to the server; what it raises ends the conversation."""

    def __init__(self, reception: Reception, send: Send, heard: Callable[[], None]) -> None:
        """heard: called for every message of the server."""
        self._reception, self._send, self._heard = reception, send, heard
        self._speaking: dict[str, asyncio.Task[None]] = {}
        self._changing: dict[str, asyncio.Task[None]] = {}
        """the latest change of each voice"""
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> bool:
        return bool(self._tasks)

    async def run(self, texts: AsyncIterable[str | bytes]) -> None:
        """Until ``texts`` ends or ``send`` raises; then whatever is at work is cancelled."""
        pushing = asyncio.create_task(self._push_health(), name="tell health")
        hearing = asyncio.create_task(self._hear(texts), name="hear the server")
        try:
            await asyncio.wait((pushing, hearing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            at_work = [pushing, hearing, *self._tasks]
            for task in at_work:
                task.cancel()
            await asyncio.gather(*at_work, return_exceptions=True)
        for task in (pushing, hearing):
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def _push_health(self) -> None:
        while True:
            await self._tell(self._reception.health())
            await asyncio.sleep(HEALTH_S)

    async def _hear(self, texts: AsyncIterable[str | bytes]) -> None:
        async for text in texts:
            self._heard()
            try:
                message = message_for_laptop(text)
            except BabbleFishError as error:
                await self._tell(failed(error))
                continue
            await self._take(message)

    async def _take(self, message: ToLaptop) -> None:
        match message:
            case AskHealth():
                await self._tell(self._reception.health())
            case Cancel():
                if (task := self._speaking.get(message.request_id)) is not None:
                    task.cancel()
            case _ if len(self._tasks) >= _MOST_TASKS:
                await self._tell(
                    Failed(
                        request_id=_id(message), code="busy",
                        message=f"This laptop has {_MOST_TASKS} messages to work on.",
                    )
                )  # fmt: skip
            case PutVoice() | DeleteVoice():
                before = self._changing.get(message.speaker_id)
                task = self._begin(self._change(message, before))
                self._changing[message.speaker_id] = task
            case Synthesize():
                if message.request_id in self._speaking:
                    await self._tell(
                        Failed(
                            request_id=message.request_id, code="bad_request",
                            message="A request of this id is at work already.",
                        )
                    )  # fmt: skip
                    return
                before = self._changing.get(message.speaker_id)
                self._speaking[message.request_id] = self._begin(self._speak(message, before))

    def _begin(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        for known in (self._speaking, self._changing):
            for key in [key for key, other in known.items() if other is task]:
                del known[key]
        if not task.cancelled() and task.exception() is not None:
            log.debug("An answer did not reach the server")

    async def _change(
        self, message: PutVoice | DeleteVoice, before: asyncio.Task[None] | None
    ) -> None:
        await _over(before)
        try:
            if isinstance(message, PutVoice):
                answer: ToServer = await self._reception.put_voice(message)
            else:
                answer = await self._reception.delete_voice(message.speaker_id)
        except BabbleFishError as error:
            answer = failed(error, message.speaker_id)
        await self._tell(answer)

    async def _speak(self, request: Synthesize, before: asyncio.Task[None] | None) -> None:
        await _over(before)
        last = False
        try:
            spoken = self._reception.speak(request, "websocket")
            async with contextlib.aclosing(spoken) as clauses:
                async for clause in clauses:
                    await self._tell(clause)
                    last = clause.last
            if not last:
                raise SynthesisError("synthesis_failed", "The end of it was not spoken.")
        except BabbleFishError as error:
            await self._tell(failed(error, request.request_id))

    async def _tell(self, message: ToServer) -> None:
        await self._send(message.model_dump_json())


async def _over(task: asyncio.Task[None] | None) -> None:
    """Until an earlier change of the same voice is done, however it went."""
    if task is not None:
        await asyncio.wait((task,))


def _id(message: PutVoice | DeleteVoice | Synthesize) -> str:
    return message.request_id if isinstance(message, Synthesize) else message.speaker_id
