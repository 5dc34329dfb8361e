"""``/ws/client``: programs as participants of rooms, with a microphone and without a browser.

Who may come in is decided here by the room's token or the seat's key, with limits of the address
or of the program's API key; what happens on the connection is ``room_connection``'s.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from babblefish.errors import BabbleFishError, RoomError, TransportError
from babblefish.ui.access import Access, TryLater
from babblefish.ui.programs.caller import Caller, Gate
from babblefish.ui.programs.refusals import turn_away
from babblefish.ui.programs.room_connection import Connection, Gone, Socket
from babblefish.ui.programs.room_messages import Config, read_config
from babblefish.ui.programs.room_outbox import Encoder
from babblefish.ui.statuses import status_of
from rooms.admission import Place

if TYPE_CHECKING:
    from babblefish.engine.engine import Engine
    from rooms.hub import Hub
    from rooms.member import Member

CONFIG_S = 10.0
"""within which a program says what it wants"""
_WAIT_S = 5.0
_FAREWELL_S = 5.0


def create_rooms_socket_router(hub: Hub, engine: Engine, access: Access, gate: Gate) -> APIRouter:
    """``/ws/client`` alone."""
    router = APIRouter(tags=["rooms"])
    encoder = Encoder()

    @router.websocket("/ws/client")
    async def client(websocket: WebSocket) -> None:
        """A program as a participant of a room; docs/programs.md has the messages."""
        await websocket.accept()
        socket = Socket(websocket)
        try:
            await _serve(socket, websocket)
        except BabbleFishError as error:
            await _refuse(socket, websocket, error)
        except (Gone, WebSocketDisconnect):
            return

    async def _serve(socket: Socket, websocket: WebSocket) -> None:
        caller = await _caller(websocket)
        with gate.hold(caller):
            config = await _config(socket)
            entrance = _Entrance(hub, access, engine, caller)
            member = entrance.come(config)
            if isinstance(member, Place):
                member = await _wait(hub, socket, config, member)
            connection = Connection(
                socket, member, config, engine, encoder, lambda: gate.still(caller)
            )
            await connection.run()

    async def _caller(websocket: WebSocket) -> Caller:
        """A key is not needed: a room's token is enough, as for phones."""
        if "authorization" in websocket.headers:
            return await gate.admit(websocket, "rooms")
        address = Access.address(websocket)
        access.hit("socket", address)
        return Caller("", "", frozenset({"rooms"}), address)

    return router


async def _config(socket: Socket) -> Config:
    try:
        async with asyncio.timeout(CONFIG_S):
            first = await socket.receive()
    except TimeoutError as error:
        raise TransportError(
            "too_slow", f"The configuration has to come within {CONFIG_S:.0f} seconds."
        ) from error
    if isinstance(first, bytes):
        raise TransportError("config", "The first message is the configuration, as text.")
    return read_config(first)


class _Entrance:
    """Into the room that a configuration names."""

    def __init__(self, hub: Hub, access: Access, engine: Engine, caller: Caller) -> None:
        self._hub, self._access, self._engine, self._caller = hub, access, engine, caller

    def come(self, config: Config) -> Member | Place:
        """Raises BabbleFishError for whoever may not."""
        address = self._caller.address
        self._access.check("guess", address)
        if not self._caller.key_id:  # the limits of a key are its own
            self._access.hit("join", address, config.room[:32])
        if not self._engine.ready:
            raise TransportError("starting", "The server is still starting. One moment, please.")
        try:
            return self._back(config) if config.key else self._new(config)
        except RoomError as error:
            if status_of(error) == 401:
                self._access.hit("guess", address)
            raise

    def _new(self, config: Config) -> Member | Place:
        room = self._hub.enter(config.room, config.token)
        return room.admission.enter(self._caller.address, **_who(config))

    def _back(self, config: Config) -> Member:
        try:
            member = self._hub.member(config.room, config.key)
        except RoomError:
            member = self._hub.readmit(config.room, config.key, **_who(config))
            member.room.admission.came(member, self._caller.address)
        if member.pair:
            raise RoomError(
                "seat", "Two people share this seat, each in their own language: it is for "
                "phones only. Join with the room's token instead.",
            )  # fmt: skip
        member.room.configure(member, config.name, config.language, config.target)
        member.microphone = config.microphone
        return member


def _who(config: Config) -> dict[str, Any]:
    return {
        "name": config.name, "speaks": config.language, "hears": config.target,
        "microphone": config.microphone,
    }  # fmt: skip


async def _wait(hub: Hub, socket: Socket, config: Config, place: Place) -> Member:
    """Until the host has decided; who hangs up gives up. Raises RoomError("refused")."""
    admission = hub.rooms[config.room].admission
    await socket.send({"type": "waiting", "message": "The host has to let you in."})
    listening = asyncio.create_task(_hung_up(socket), name="waiting program")
    try:
        while place.state == "waiting" and config.room in hub.rooms:
            waiting = asyncio.create_task(admission.wait(place, _WAIT_S), name="door")
            try:
                await asyncio.wait((waiting, listening), return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
            if listening.done():
                listening.result()
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        admission.give_up(place)
    if place.state == "admitted" and place.member is not None:
        return place.member
    if place.state == "refused":
        raise RoomError("refused", "The host did not let you in.")
    raise RoomError("not_found", "The room is closed.")


async def _hung_up(socket: Socket) -> None:
    """Reads, and forgets, what a program sends that waits. Raises Gone."""
    while True:
        await socket.receive()


async def _refuse(socket: Socket, websocket: WebSocket, error: BabbleFishError) -> None:
    """Whole as a message, and shortened as the reason for closing."""
    message: dict[str, Any] = {"type": "error", "code": error.code, "message": error.message}
    if isinstance(error, TryLater):
        message["retry_after"] = error.retry_after
    with contextlib.suppress(Gone, WebSocketDisconnect, OSError, RuntimeError, TimeoutError):
        async with asyncio.timeout(_FAREWELL_S):
            await socket.send(message)
            await turn_away(websocket, error)
