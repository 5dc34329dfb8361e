"""One program's connection to its room: sound in and out, messages, signs of life, the end.

The room's ``Link`` is used as a phone's connection uses it. Knows no limits and no doors.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from babblefish.audio import FrameResampler, to_float32, to_int16
from babblefish.envelope import client_event
from babblefish.errors import BabbleFishError, TransportError
from babblefish.protocol import Configure, Resume, Warn
from babblefish.ui.allowance import Allowance
from babblefish.ui.programs import room_messages as messages
from babblefish.ui.programs.room_intake import Intake
from babblefish.ui.programs.room_messages import Config, Message
from babblefish.ui.programs.room_outbox import Encoder, Outbox
from babblefish.ui.programs.room_reporter import Reporter
from babblefish.ui.sound import Pace

if TYPE_CHECKING:
    from babblefish.engine.engine import Engine
    from rooms.member import Link, Member

LOOK_S = 0.25
"""how often something is looked at that only time changes"""
_FAREWELL_S = 2.0
_CLOSE_S = 5.0
_TOO_MANY = 500
_REASONS = {"replaced": 4409, "room_closed": 4410, "removed": 4403, "left": 1000}
"""why a room closes a connection → with which code; with any of them, do not come back"""
_COME_BACK, _TOO_SLOW = 1001, 4408


class Gone(Exception):
    """The connection has ended."""


class Socket:
    """A WebSocket that was accepted; every method raises Gone once it has ended."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    async def receive(self) -> str | bytes:
        try:
            message = await self._websocket.receive()
        except RuntimeError as error:
            raise Gone from error
        if message["type"] == "websocket.disconnect":
            raise Gone
        text = message.get("text")
        return message.get("bytes") or b"" if text is None else text

    async def send(self, message: Message) -> None:
        await self.send_text(messages.to_text(message))

    async def send_text(self, text: str) -> None:
        await self._sent(self._websocket.send_text(text))

    async def send_bytes(self, data: bytes) -> None:
        await self._sent(self._websocket.send_bytes(data))

    async def close(self, code: int, reason: str = "") -> None:
        if self._websocket.application_state is not WebSocketState.CONNECTED:
            raise Gone
        async with asyncio.timeout(_CLOSE_S):
            await self._sent(self._websocket.close(code, reason))

    @staticmethod
    async def _sent(sending) -> None:
        try:
            await sending
        except (OSError, RuntimeError, WebSocketDisconnect) as error:
            raise Gone from error


class Connection:
    def __init__(
        self, socket: Socket, member: Member, config: Config, engine: Engine, encoder: Encoder,
        allowed: Callable[[], bool],
    ) -> None:  # fmt: skip
        """allowed: whether it may still go on."""
        self._socket, self._member, self._config = socket, member, config
        self._outbox = Outbox(socket, encoder)
        self._reporter = Reporter(member, config, self._outbox, engine)
        self._engine = engine
        self._intake, self._allowed = Intake(), allowed
        self._allowance = Allowance()
        self._now = asyncio.get_running_loop().time

    async def run(self) -> None:
        """Until one side ends it. Raises Gone, or TransportError for what cannot go on."""
        take = self._reporter.take if self._config.output == "clips" else None
        with self._member.attach(
            self._reporter.send, take=take, witness=self._reporter,
            audible=self._config.output != "text", program=True,
        ) as link:  # fmt: skip
            self._welcome(link)
            sending = asyncio.create_task(self._outbox.run(), name="program out")
            try:
                await self._carry(link, sending)
            finally:
                await self._reporter.close()
                await self._say_goodbye(sending)
        await self._close()

    def _welcome(self, link: Link) -> None:
        member, config = self._member, self._config
        self._outbox.tell({
            "type": "welcome", "member": member.id, "key": member.key, "name": member.name,
            "room_name": member.room.name, "language": member.speaks or "auto",
            "target": member.hears, "input_rate": messages.INPUT_RATE, "output": config.output,
            "sample_rate": config.rate, "last_seq": member.room.conversation.last_seq,
        })  # fmt: skip
        self._reporter.catching_up = True
        link.event(Resume(config.after))
        self._reporter.catching_up = False
        if config.original_level is not None:
            member.playout.originals.level = config.original_level

    async def _carry(self, link: Link, sending: asyncio.Task) -> None:
        tasks = {
            sending,
            asyncio.create_task(self._read(link), name="program in"),
            asyncio.create_task(self._look(link), name="program look"),
            asyncio.create_task(link.closed.wait(), name="program closed"),
            asyncio.create_task(self._outbox.stuck.wait(), name="program stuck"),
        }
        if self._config.output == "stream":
            tasks.add(asyncio.create_task(self._stream(link), name="program stream"))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if not self._outbox.stuck.is_set():
                    task.result()
        finally:
            others = tasks - {sending}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    async def _say_goodbye(self, sending: asyncio.Task) -> None:
        """What is final still leaves."""
        drained = asyncio.create_task(self._outbox.drained(_FAREWELL_S), name="program farewell")
        try:
            if not self._outbox.stuck.is_set():
                await asyncio.wait((sending, drained), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            drained.cancel()
            await asyncio.gather(sending, drained, return_exceptions=True)

    async def _close(self) -> None:
        """The room ended it, or the program reads too slowly: say which."""
        code = _REASONS.get(self._reporter.reason, _COME_BACK)
        reason = self._reporter.reason or "come back"
        if self._outbox.stuck.is_set():
            code, reason = _TOO_SLOW, "slow"
        try:
            await self._socket.close(code, reason)
        except (Gone, TimeoutError):
            return

    # --- in ---------------------------------------------------------------------------------------

    async def _read(self, link: Link) -> None:
        while True:
            message = await self._socket.receive()
            if isinstance(message, bytes):
                if self._member.microphone:
                    await self._engine.turn_to_listen(link.urgency)
                    self._intake.put(message)
                    self._hear(link)
            else:
                self._event(link, message)

    def _hear(self, link: Link) -> None:
        samples = self._intake.take(self._now())
        if len(samples):
            link.hear_speech(to_float32(samples))

    def _event(self, link: Link, text: str) -> None:
        if not self._allowance.take(self._now()):
            if self._allowance.refused == 1:
                self._tell(Warn("too_many_events", "Too many messages: some were ignored."))
            if self._allowance.refused > _TOO_MANY:
                raise TransportError("rate_limited", "Too many messages.")
            return
        try:
            event = client_event(text)
            if isinstance(event, Resume) or (isinstance(event, Configure) and event.also):
                raise TransportError("bad_event", "This is for phones only.")
            link.event(event)
        except BabbleFishError as error:
            self._tell(Warn(error.code, error.message))

    def _tell(self, warning: Warn) -> None:
        self._reporter.send(warning)

    # --- out --------------------------------------------------------------------------------------

    async def _look(self, link: Link) -> None:
        """Whatever only time changes."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self._engine.may_listen(link.urgency):
                self._hear(link)
            if link.clips is not None:
                link.clips.look()
            if not self._allowed():
                raise TransportError("api_key", "The API key was revoked.")

    async def _stream(self, link: Link) -> None:
        """What a phone would hear, frame by frame, at the pace at which it is heard."""
        pace, rate, number = Pace(), self._config.rate, 0
        resampler = FrameResampler(messages.SOUND_RATE, rate)
        while True:
            await asyncio.sleep(max(0.0, pace.wait(self._now())))
            samples: np.ndarray = link.next_frame()
            if rate != messages.SOUND_RATE:
                samples = to_int16(resampler.push(to_float32(samples)))
            self._outbox.frame(messages.binary_sound(messages.FRAME, rate, number, samples))
            number += 1
