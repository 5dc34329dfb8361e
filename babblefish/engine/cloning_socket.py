"""A laptop that dialled in: the same messages, many at a time, over one WebSocket.

Knows no web framework: whoever accepted the socket passes it in.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, Literal, Protocol

from babblefish import accelerator_protocol as wire
from babblefish.engine.cloning_transport import (
    MOST_ANSWER_BYTES,
    expect,
    failure,
    no_answer,
    unreachable,
)
from babblefish.errors import BabbleFishError, CloningError, TransportError


class Socket(Protocol):
    """A WebSocket with a laptop whose secret has been checked."""

    async def send(self, text: str) -> None:
        """Raises whatever it likes once the socket is closed."""
        ...

    async def receive(self) -> str:
        """The next text frame, of at most about ``accelerator_protocol.MOST_AUDIO_BYTES``. Raises
        once the socket is closed."""
        ...


class _Answers:
    """To one request: a queue that somebody reads. Bounded by what a request may be answered."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[wire.ClauseSpoken | CloningError] = asyncio.Queue()
        self.received = 0

    def put(self, message: wire.ClauseSpoken) -> None:
        self.received += len(message.audio)
        if self.received > MOST_ANSWER_BYTES:
            self.end(CloningError("bad_answer", "The laptop sent far too much."))
        else:
            self.queue.put_nowait(message)

    def end(self, error: CloningError) -> None:
        self.queue.put_nowait(error)


class SocketTransport:
    """``run`` it for as long as it shall work."""

    kind: Literal["https", "websocket"] = "websocket"

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._requests: dict[str, _Answers] = {}
        self._health: set[asyncio.Future[wire.Health]] = set()
        self._voice: asyncio.Future[wire.VoiceStored | wire.VoiceDeleted] | None = None
        self._voice_of = ""
        self._voice_lock = asyncio.Lock()
        """one voice at a time: an error over the WebSocket does not always say what it is about"""
        self._closed = asyncio.Event()
        self._cancelling: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Read until the socket closes or ``close`` is called."""
        reader = asyncio.create_task(self._read(), name="laptop's socket")
        closed = asyncio.create_task(self._closed.wait())
        try:
            await asyncio.wait((reader, closed), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._closed.set()
            closed.cancel()
            reader.cancel()
            for task in self._cancelling:
                task.cancel()
            self._fail_everything(unreachable())
            with contextlib.suppress(asyncio.CancelledError):
                await reader

    def close(self) -> None:
        self._closed.set()

    # --- what is asked --------------------------------------------------------------------------

    async def health(self) -> wire.Health:
        answer: asyncio.Future[wire.Health] = asyncio.get_running_loop().create_future()
        self._health.add(answer)
        try:
            await self._send(wire.AskHealth())
            return await answer
        finally:
            self._health.discard(answer)

    async def put_voice(self, speaker: str, message: bytes) -> wire.VoiceStored:
        return expect(wire.VoiceStored, await self._about_voice(speaker, message.decode()))

    async def delete_voice(self, speaker: str) -> wire.VoiceDeleted:
        message = wire.DeleteVoice(speaker_id=speaker).model_dump_json()
        return expect(wire.VoiceDeleted, await self._about_voice(speaker, message))

    async def _about_voice(self, speaker: str, text: str) -> wire.VoiceStored | wire.VoiceDeleted:
        async with self._voice_lock:
            self._voice_of = speaker
            self._voice = asyncio.get_running_loop().create_future()
            try:
                await self._send_text(text)
                return await self._voice
            finally:
                self._voice = None

    async def synthesize(self, message: wire.Synthesize) -> AsyncGenerator[wire.ClauseSpoken, None]:
        answers = self._requests[message.request_id] = _Answers()
        over = False
        try:
            await self._send(message)
            while not over:
                answer = await answers.queue.get()
                if isinstance(answer, CloningError):
                    over = True
                    raise answer
                over = answer.last
                yield answer
        finally:
            self._requests.pop(message.request_id, None)
            if not over and not self._closed.is_set():
                self._later(self._cancel(message.request_id))

    async def _cancel(self, request_id: str) -> None:
        with contextlib.suppress(CloningError):
            await self._send(wire.Cancel(request_id=request_id))

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="cancel at a laptop")
        self._cancelling.add(task)
        task.add_done_callback(self._cancelling.discard)

    async def _send(self, message: wire.ToLaptop) -> None:
        await self._send_text(message.model_dump_json())

    async def _send_text(self, text: str) -> None:
        if self._closed.is_set():
            raise unreachable()
        try:
            await self._socket.send(text)
        except Exception as error:  # of a web framework that is not known here
            self.close()
            raise unreachable() from error

    # --- what comes -----------------------------------------------------------------------------

    async def _read(self) -> None:
        while True:
            try:
                text = await self._socket.receive()
            except Exception:  # of a web framework that is not known here
                return
            try:
                self._receive(wire.message_for_server(text))
            except TransportError:
                self._fail_everything(no_answer())

    def _receive(self, message: wire.ToServer) -> None:
        match message:
            case wire.Health():
                for future in self._health:
                    _settle(future, message)
            case wire.ClauseSpoken():
                if answers := self._requests.get(message.request_id):
                    answers.put(message)
            case wire.VoiceStored() | wire.VoiceDeleted() if message.speaker_id == self._voice_of:
                _settle(self._voice, message)
            case wire.Failed() if message.request_id in self._requests:
                self._requests[message.request_id].end(failure(message))
            case wire.Failed() if message.request_id in ("", self._voice_of):
                _settle(self._voice, failure(message))

    def _fail_everything(self, error: CloningError) -> None:
        for answers in self._requests.values():
            answers.end(error)
        for future in (*self._health, self._voice):
            _settle(future, error)


def _settle(future: asyncio.Future | None, result: object) -> None:
    if future is None or future.done():
        return
    if isinstance(result, BabbleFishError):
        future.set_exception(result)
    else:
        future.set_result(result)
