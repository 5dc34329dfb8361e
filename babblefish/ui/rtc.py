"""WebRTC connections of participants: the only module that imports fastrtc.

``Offers.answer`` turns a checked offer into a running ``Call``: one peer connection attached to
one room ``Link``. Sound flows both ways at 48 kHz, events of ``protocol.py`` as JSON on the data
channel. fastrtc negotiates and cleans up; ``sound.py`` carries the media. ``Stream.mount`` is
never used: it would publish unauthenticated routes. This module knows no HTTP and no tokens.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import uuid
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from aiortc import RTCDataChannel, RTCPeerConnection
from fastrtc import AsyncStreamHandler
from fastrtc.webrtc_connection_mixin import WebRTCConnectionMixin

from babblefish import metrics
from babblefish.envelope import client_event, to_json
from babblefish.errors import BabbleFishError, TransportError
from babblefish.logs import places
from babblefish.protocol import (
    Caption,
    ClientEvent,
    Resume,
    ServerEvent,
    Warn,
)
from babblefish.settings import Settings
from babblefish.ui.allowance import Allowance
from babblefish.ui.sdp import also_at, ask_for_quality, narrow_offer, reachable
from babblefish.ui.sound import FRAME, RATE, Intake, OpusTrack, Pace

if TYPE_CHECKING:
    from rooms.member import Link, Member

log = logging.getLogger(__name__)

CHANNEL_LABEL = "text"
OFFER_SECONDS = 10.0
"""for answering an offer"""
CONNECT_SECONDS = 20.0
"""from answer to open data channel"""
FAREWELL_SECONDS = 0.5
"""for last events to leave before the connection closes"""
_LOOK_SECONDS = 1.0
"""between two looks for signs of life"""

_EVENTS_TOO_MANY = 500
_EARLY_EVENTS = 16
_CHANNEL_FULL, _CHANNEL_STUCK = 256 * 1024, 1024 * 1024
"""bytes waiting in a data channel: above the first, passing events are dropped; above the
second, the connection is given up and the phone resumes on a new one"""
_PASSING = frozenset({"speaking", "voicing", "lag", "pong"})
_SILENCE = np.zeros(FRAME, np.int16)
_SILENCE.setflags(write=False)

_PACKET_BUFFER = "_RTCRtpReceiver__jitter_buffer"
"""aiortc's seam between arriving packets and its decoder thread"""

_next_call: contextvars.ContextVar[Call] = contextvars.ContextVar("next_call")


def _report(what: str, error: Exception) -> None:
    """Log where ``error`` came from, without its message: that may hold names or speech."""
    log.error("%s: %s at %s", what, type(error).__name__, places(error))


def _nobody() -> Any:
    """The member of the handler that is only there to be copied."""
    return None


class Call(AsyncStreamHandler):
    """One peer connection of one member: its sound, its data channel, its signs of life."""

    def __init__(self, find: Callable[[], Member]) -> None:
        super().__init__(expected_layout="mono", output_sample_rate=RATE, input_sample_rate=RATE)
        self.id = uuid.uuid4().hex
        self.find = find
        self.member = find()
        self.link: Link | None = None
        self.pc: RTCPeerConnection | None = None
        self.text: RTCDataChannel | None = None
        self.opened = asyncio.Event()
        self.ended = asyncio.Event()
        self.alive_at = 0.0
        self._now = asyncio.get_running_loop().time
        self._pace = Pace()
        self._allowance = Allowance()
        self._early: deque[ClientEvent] = deque(maxlen=_EARLY_EVENTS)
        self._resumed = False
        self._faults = 0

    def copy(self) -> Call:
        """fastrtc asks its handler for one per connection: it is the one just announced."""
        return _next_call.get()

    # --- sound ---

    async def receive(self, frame: tuple[int, np.ndarray]) -> None:
        self.hear(frame[1].reshape(-1))

    async def emit(self) -> tuple[int, np.ndarray]:
        return RATE, (await self.next_frame()).reshape(1, FRAME)

    def hear(self, samples: np.ndarray) -> None:
        """Take int16 (n,) 48 kHz from the member's microphone."""
        self.alive_at = self._now()
        if self.link is not None:
            try:
                self.link.hear(samples)
            except Exception as error:
                self._fault(error)

    async def next_frame(self) -> np.ndarray:
        """int16 (960,): the next 20 ms for the member, when they are due."""
        delay = self._pace.wait(self._now())
        if delay > 0:
            await asyncio.sleep(delay)
        if self.link is None:
            return _SILENCE
        try:
            return self.link.next_frame()
        except Exception as error:
            self._fault(error)
            return _SILENCE

    def _fault(self, error: Exception) -> None:
        self._faults += 1
        if self._faults == 1:
            _report("A room failed on one connection's sound", error)

    # --- events ---

    def set_channel(self, channel: Any) -> None:
        """Take the phone's data channel, an RTCDataChannel; any further one is closed."""
        if self.text is not None or channel.label != CHANNEL_LABEL:
            channel.close()
            return
        super().set_channel(channel)
        self.text = channel
        channel.on("message", self._message)
        channel.on("close", self.ended.set)
        self.opened.set()

    def send(self, event: ServerEvent) -> None:
        """Send one event to the phone, on the loop, without waiting."""
        channel = self.text
        if channel is None or channel.readyState != "open" or self.ended.is_set():
            return
        waiting = channel.bufferedAmount
        if waiting > _CHANNEL_STUCK:
            self.ended.set()
        elif waiting < _CHANNEL_FULL or not self._is_passing(event):
            channel.send(to_json(event))
        else:
            metrics.dropped("passing_event")

    @staticmethod
    def _is_passing(event: ServerEvent) -> bool:
        return event.type in _PASSING or (isinstance(event, Caption) and not event.final)

    def attached(self, link: Link) -> None:
        """Start sound and events through ``link``."""
        self.link = link
        while self._early:
            self._event(link, self._early.popleft())

    def _message(self, message: str | bytes) -> None:
        now = self._now()
        self.alive_at = now
        if not self._allowance.take(now):
            if self._allowance.refused == 1:
                self.send(Warn("too_many_events", "Too many events: some were ignored."))
            if self._allowance.refused > _EVENTS_TOO_MANY:
                self.ended.set()
            return
        try:
            event = client_event(message)
            if not self._resumed and not isinstance(event, Resume):
                raise TransportError("bad_event", "The first event must be resume.")
        except BabbleFishError as error:
            self.send(Warn(error.code, error.message))
            return
        self._resumed = True
        if self.link is None:
            self._early.append(event)
        else:
            self._event(self.link, event)

    def _event(self, link: Link, event: ClientEvent) -> None:
        try:
            link.event(event)
        except BabbleFishError as error:
            self.send(Warn(error.code, error.message))
        except Exception as error:
            _report(f"A room failed on a {event.type} event", error)
            self.send(Warn("internal", "That did not work. Please try again."))

    async def say_goodbye(self) -> None:
        """Give events already sent a moment to leave."""
        channel = self.text
        if channel is None or channel.readyState != "open" or not channel.bufferedAmount:
            return
        drained = asyncio.Event()
        channel.on("bufferedamountlow", drained.set)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await drained.wait()


class Offers(WebRTCConnectionMixin):
    """Answers offers and owns the calls that come of them.

    A member has at most one attached call and one that is connecting; a newer one replaces
    the older of its kind. Create and use on one running event loop.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.event_handler = Call(_nobody)
        self._limit = self.concurrency_limit = 2 * settings.max_rooms * settings.max_members
        self.time_limit = None
        self.modality = "audio"
        self.mode = "send-receive"
        self.allow_extra_tracks = False
        self.rtc_configuration = None
        self.server_rtc_configuration = self.convert_to_aiortc_format({"iceServers": []})
        self.calls: dict[str, Call] = {}
        self._tasks: dict[str, asyncio.Task] = {}
        self._timeout = settings.connection_timeout
        self._announce = settings.announce
        self._closing = False

    async def answer(self, find: Callable[[], Member], sdp: str) -> str:
        """Negotiate one connection; returns the answer's SDP.

        ``find`` returns the member or raises RoomError. It is asked again once the connection
        stands: somebody removed meanwhile does not get in.
        Raises TransportError "bad_offer", "server_full" or "closing"; nothing stays behind.
        """
        offer = narrow_offer(sdp)
        if self._closing:
            raise TransportError("closing", "The server is shutting down.")
        if len(self.calls) >= self._limit:
            raise TransportError("server_full", "The server carries no further connections.")
        call = Call(find)
        older = [c for c in self.calls.values() if c.member is call.member and c.link is None]
        self.calls[call.id] = call
        try:
            for waiting in older:
                await self._drop(waiting)
            async with asyncio.timeout(OFFER_SECONDS):
                answer = await self._negotiate(call, offer)
        except BaseException as error:
            await self._drop(call)
            if isinstance(error, (asyncio.CancelledError, TransportError)):
                raise
            log.info("An offer failed: %s", type(error).__name__)
            raise TransportError(
                "bad_offer", "The WebRTC offer cannot be used: the connection failed."
            ) from error
        self._tasks[call.id] = asyncio.create_task(self._attend(call), name=f"call-{call.id}")
        return answer

    async def close(self) -> None:
        """End every call."""
        self._closing = True
        await asyncio.gather(*(self._drop(call) for call in list(self.calls.values())))

    async def connection_timeout(self, pc: Any, webrtc_id: str, time_limit: float) -> None:
        """Nothing: ``_attend`` watches, and ends with its call."""

    async def _negotiate(self, call: Call, offer: str) -> str:
        if call.ended.is_set():
            raise TransportError("bad_offer", "A newer offer took the place of this one.")
        token = _next_call.set(call)
        try:
            body = {"sdp": offer, "type": "offer", "webrtc_id": call.id}
            answer = await self.handle_offer(body, set_outputs=None)
        finally:
            _next_call.reset(token)
        if not isinstance(answer, dict):
            raise TransportError("server_full", "The server carries no further connections.")
        pc = call.pc = self.pcs[call.id]
        # fastrtc's own listener would echo every message back as a log event.
        pc.remove_all_listeners("datachannel")
        pc.on("datachannel", call.set_channel)
        pc.on("connectionstatechange", lambda: self._state_changed(call, pc))
        for transceiver in pc.getTransceivers():
            transceiver.sender.replaceTrack(OpusTrack(call.next_frame))
            setattr(transceiver.receiver, _PACKET_BUFFER, Intake(call.hear))
        if not reachable(answer["sdp"]):
            raise TransportError(
                "server_full", "The server has no UDP port left: widen BABBLEFISH_UDP_PORTS."
            )
        return also_at(ask_for_quality(answer["sdp"]), self._announce)

    @staticmethod
    def _state_changed(call: Call, pc: RTCPeerConnection) -> None:
        if pc.connectionState in ("failed", "closed"):
            call.ended.set()

    async def _attend(self, call: Call) -> None:
        """One call from answer to end."""
        try:
            if not await self._first(CONNECT_SECONDS, call.opened, call.ended):
                return
            if call.ended.is_set():
                return
            with call.find().attach(call.send) as link:
                call.alive_at = call._now()
                for older in self.calls.values():
                    if older is not call and older.member is call.member:
                        older.ended.set()
                call.attached(link)
                # Counted in looks: a machine that stood still heard nobody, whoever spoke.
                silent, alive_at = 0.0, call.alive_at
                while silent < self._timeout:
                    if await self._first(_LOOK_SECONDS, call.ended, link.closed):
                        break
                    silent = silent + _LOOK_SECONDS if call.alive_at == alive_at else 0.0
                    alive_at = call.alive_at
            call.link = None
            await call.say_goodbye()
        except BabbleFishError as error:
            call.send(Warn(error.code, error.message))
            await call.say_goodbye()
        finally:
            await self._release(call)

    @staticmethod
    async def _first(seconds: float, *events: asyncio.Event) -> bool:
        """Wait until one of ``events`` is set; False when none was in time."""
        waits = [asyncio.ensure_future(event.wait()) for event in events]
        try:
            done, _ = await asyncio.wait(
                waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
            return bool(done)
        finally:
            for wait in waits:
                wait.cancel()

    async def _drop(self, call: Call) -> None:
        """End one call now."""
        task = self._tasks.get(call.id)
        if task is not None and task is not asyncio.current_task():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self._release(call)

    async def _release(self, call: Call) -> None:
        call.ended.set()
        call.link = None
        self._tasks.pop(call.id, None)
        self.calls.pop(call.id, None)
        pc = self.pcs.pop(call.id, None) or call.pc
        try:
            if pc is not None:
                await pc.close()
        except Exception as error:
            log.warning("A connection did not close cleanly: %s", type(error).__name__)
        finally:
            for track in self.clean_up(call.id):
                track.stop()
