"""The real web application with scripted rooms, for tests of the phone page.

Routes, limits, headers and WebRTC are those of ``babblefish.ui``; what a room says is decided
by the test through ``RoomScript``. Knows no browser.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import uvicorn

from babblefish.errors import RoomError
from babblefish.languages import LanguageOffer
from babblefish.protocol import (
    Caption,
    ClientEvent,
    Closed,
    Configure,
    Leave,
    Microphone,
    Person,
    Ping,
    Pong,
    Resume,
    Roster,
    ServerEvent,
    Welcome,
)
from babblefish.settings import Settings
from babblefish.ui.server import create_app
from babblefish.ui.tls import Certificates
from rooms.admission import Admission
from rooms.keeping import Kept
from tests.patience import PATIENCE
from tests.voice_script import VoiceScript, add_voice_routes

FRAME = 960
_TONE = (6000 * np.sin(2 * np.pi * 440 * np.arange(FRAME) / 48000)).astype(np.int16)


class ScriptedEngine:
    """Nine languages: some with a voice, one with captions only, one that cannot be heard."""

    profile_name, strain = "scripted", 0.0
    pools: tuple = ()

    def __init__(self) -> None:
        self.ready = False

    async def start(self) -> None:
        self.ready = True

    async def close(self) -> None:
        self.ready = False

    def languages(self) -> list[LanguageOffer]:
        return [
            LanguageOffer("en", "English", "English", "ltr", True, "voice"),
            LanguageOffer("es", "español", "Spanish", "ltr", True, "voice"),
            LanguageOffer("fr", "français", "French", "ltr", True, "voice"),
            LanguageOffer("it", "italiano", "Italian", "ltr", True, "voice"),
            LanguageOffer("pt", "português", "Portuguese", "ltr", True, "voice"),
            LanguageOffer("ca", "català", "Catalan", "ltr", True, "basic_voice"),
            LanguageOffer("ar", "العربية", "Arabic", "rtl", True, "captions"),
            LanguageOffer("de", "Deutsch", "German", "ltr", True, None),
            LanguageOffer("pl", "polski", "Polish", "ltr", True, None),
        ]

    def pair(self, source: str, target: str) -> str | None:
        if source == target or target == "en":
            return "good"
        if (source, target) in {("pl", "es"), ("de", "es")}:
            return None
        return "basic" if target in ("ca", "it") else "good"


@dataclass(frozen=True)
class RoomSettings:
    original_level: float = 0.2
    listen_only: bool = False
    detect_language: bool = False
    two_on_a_phone: bool = False
    waiting_list: bool = False


class ScriptedLink(AbstractContextManager):
    def __init__(self, member: ScriptedMember, send: Callable[[ServerEvent], None]) -> None:
        self.member, self.send = member, send
        self.closed = asyncio.Event()

    def __enter__(self) -> ScriptedLink:
        member = self.member
        if member.link is not None:
            member.link.send(Closed("replaced"))
            member.link.closed.set()
        member.link = self
        member.links += 1
        member.room.roster_changed()
        return self

    def __exit__(self, *_: object) -> None:
        if self.member.link is self:
            self.member.link = None
            self.member.room.roster_changed()

    def hear(self, samples: np.ndarray) -> None:
        member, peak = self.member, int(np.abs(samples).max(initial=0))
        member.heard_peak = max(member.heard_peak, peak)
        member.loud_at = time.monotonic() if peak >= 100 else member.loud_at

    def next_frame(self) -> np.ndarray:
        return _TONE

    def event(self, event: ClientEvent) -> None:
        member, room = self.member, self.member.room
        member.events.append(event)
        match event:
            case Resume(after):
                self.send(Welcome(member.id, room.name, len(room.finals)))
                room.roster_changed()
                for caption in room.finals:
                    if caption.seq > after:
                        self.send(caption)
            case Ping(number) if not room.deaf:
                self.send(Pong(number))
            case Microphone(on):
                member.microphone = on
                room.roster_changed()
            case Configure(_, speaks, hears, also):
                member.speaks, member.hears = speaks or member.speaks, hears or member.hears
                member.also = also or member.also
                room.roster_changed()
            case Leave():
                room.end(member, "left")


class ScriptedMember:
    _ids = itertools.count(1)

    def __init__(
        self, room: ScriptedRoom, name: str, speaks: str, hears: str, mic: bool, also: str
    ) -> None:
        self.also, self.also_color = also or None, (len(room.members) + 1) % 12
        self.room, self.name, self.hears, self.microphone = room, name, hears, mic
        self.speaks = None if speaks == "auto" else speaks
        self.id, self.key = f"m{next(self._ids)}", secrets.token_urlsafe(24)
        self.color = len(room.members) % 12
        self.may_speak = True
        self.link: ScriptedLink | None = None
        self.links = 0
        self.profile = ""
        self.heard_peak, self.loud_at = 0, 0.0
        self.events: list[ClientEvent] = []
        self.session = SimpleNamespace(speaking=False, waiting=(0, 0))
        self.playout = SimpleNamespace(lag=0.0)

    @property
    def connected(self) -> bool:
        return self.link is not None

    def attach(self, send: Callable[[ServerEvent], None]) -> ScriptedLink:
        return ScriptedLink(self, send)

    def person(self) -> Person:
        return Person(
            self.id, self.name, self.speaks, self.hears, self.color, self.microphone,
            self.link is not None, self.may_speak, self.also, self.also_color,
        )  # fmt: skip


class ScriptedRoom:
    """Says what a test makes it say; keeps final captions for phones that come back."""

    def __init__(self, name: str) -> None:
        self.code = "".join(secrets.choice("ABCDEFGHJKMNPQRSTUVWXYZ23456789") for _ in range(8))
        self.token, self.name, self.locked = secrets.token_urlsafe(18), name, False
        self.full = False
        self.deaf = False
        """answer no pings, as when packets vanish"""
        self.settings = RoomSettings()
        self.kept = Kept()
        self.members: dict[str, ScriptedMember] = {}
        self.clock, self.max_members = time.monotonic, 40
        self.admission = Admission(self)
        self.extras: list[Person] = []
        """people of the script, without a phone"""
        self.finals: list[Caption] = []

    def check_newcomer(self, speaks: str, hears: str, also: str = "") -> None:
        pass

    def join(
        self, *, name: str, speaks: str, hears: str, microphone: bool, also: str = "",
        admitted: bool = False,
    ) -> ScriptedMember:  # fmt: skip
        if self.full:
            raise RoomError("room_full", "The room is full.")
        if self.locked:
            raise RoomError("room_locked", "The host has locked this room.")
        member = ScriptedMember(self, name, speaks, hears, microphone, also)
        self.members[member.id] = member
        return member

    async def remove(self, member_id: str, reason: str = "removed") -> None:
        if reason == "removed":
            self.admission.removed(member_id)
        self.end(self.members[member_id], reason)

    def end(self, member: ScriptedMember, reason: str) -> None:
        self.members.pop(member.id, None)
        if member.link is not None:
            member.link.send(Closed(reason))
            member.link.closed.set()
        self.roster_changed()

    async def close(self) -> None:
        for member in list(self.members.values()):
            self.end(member, "room_closed")

    def send(self, event: ServerEvent) -> None:
        for member in self.members.values():
            if member.link is not None:
                member.link.send(event)

    def roster_changed(self) -> None:
        people = [member.person() for member in self.members.values()]
        self.send(Roster([*people, *self.extras], self.locked))

    def say(self, utterance: str, text: str, *, name: str = "Pierre", member: str = "p1",
            final: bool = True, color: int = 1, **more: Any) -> None:  # fmt: skip
        """A caption, in English unless ``language`` and ``direction`` say otherwise."""
        seq = len(self.finals) + 1 if final else 0
        fields = {"language": "en", "direction": "ltr", "at": time.time(), **more}
        caption = Caption(
            utterance=utterance, member=member, name=name, color=color, text=text, final=final,
            seq=seq, **fields,
        )  # fmt: skip
        if final:
            self.finals.append(caption)
        self.send(caption)


class ScriptedProfiles:
    """Believes every key."""

    def recognise(self, key: str) -> str:
        return key

    def seat(self, member: ScriptedMember, speaker: str) -> None:
        member.profile = speaker


class ScriptedHub:
    def __init__(self) -> None:
        self.rooms: dict[str, ScriptedRoom] = {}
        self.profiles = ScriptedProfiles()
        self.storage, self.laptops = None, SimpleNamespace(states=())

    async def start(self) -> None:
        pass

    async def refresh_people(self) -> None:
        pass

    async def close(self) -> None:
        for code in list(self.rooms):
            await self.close_room(code)

    def create(self, name: str, preset: str = "meeting") -> ScriptedRoom:
        room = ScriptedRoom(name)
        self.rooms[room.code] = room
        return room

    def enter(self, code: str, token: str) -> ScriptedRoom:
        room = self.rooms.get(code)
        if room is None or not secrets.compare_digest(room.token.encode(), token.encode()):
            raise RoomError("room_token", "This link does not open a room any more.")
        return room

    def member(self, code: str, key: str) -> ScriptedMember:
        room = self.rooms.get(code)
        for member in room.members.values() if room else ():
            if secrets.compare_digest(member.key.encode(), key.encode()):
                return member
        raise RoomError("member_key", "You are no longer in this room. Join it again.")

    async def close_room(self, code: str) -> None:
        await self.rooms.pop(code).close()


class WebServer(AbstractContextManager):
    """The application on a free port of this machine, in a thread of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.hub, self.engine = ScriptedHub(), ScriptedEngine()
        self.voices: dict[str, VoiceScript] = {}
        """participant's key → what the server knows of their voice"""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="web server", daemon=True)
        self._started = threading.Event()

    def __enter__(self) -> WebServer:
        self._thread.start()
        if not self._started.wait(PATIENCE):
            raise RuntimeError("the web server did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        settings = Settings(
            data_dir=self._directory, http=True, host="127.0.0.1", offers_per_minute=1000
        )
        certificates = Certificates(self._directory / "tls")
        certificates.refresh(["localhost"], [])
        app = create_app(settings, self.hub, self.engine, None, certificates)
        add_voice_routes(app, self.voices)
        self.app = app
        config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", ws="none")
        self._server = uvicorn.Server(config)

        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            task = asyncio.create_task(self._server.serve())
            while not self._server.started:
                await asyncio.sleep(0.02)
            self.port = self._server.servers[0].sockets[0].getsockname()[1]
            self._started.set()
            await task

        asyncio.run(serve())

    def do(self, action: Callable[[], Any]) -> Any:
        """Run ``action`` on the server's loop; awaits what it returns if need be."""

        async def run() -> Any:
            result = action()
            return await result if asyncio.iscoroutine(result) else result

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(PATIENCE)

    def room(self, name: str = "Project meeting") -> ScriptedRoom:
        return self.do(lambda: self.hub.create(name))

    def link(self, room: ScriptedRoom, host: str = "localhost") -> str:
        return f"http://{host}:{self.port}/r/{room.code}#t={room.token}"

    def drop(self, member: ScriptedMember) -> None:
        """Kill the member's connection without a word, as a dead network does."""

        async def kill() -> None:
            for call in list(self.app.state.offers.calls.values()):
                if call.member is member:
                    await self.app.state.offers._drop(call)

        self.do(kill)
