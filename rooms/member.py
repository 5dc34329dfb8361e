"""A participant, and the connection they have at the moment.

A ``Member`` outlives connections; a ``Link`` is one of them. The transport hands microphone
audio and client events to the link and takes 20 ms frames from it. Nothing here blocks, and
nothing here knows what carries the audio.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import numpy as np

from babblefish.audio import FrameResampler, StreamResampler, to_float32, to_int16
from babblefish.engine.job_queue import Priority
from babblefish.engine.stages import SPEECH_RATE
from babblefish.protocol import (
    ClientEvent,
    Closed,
    ClosedReason,
    Configure,
    Lag,
    Leave,
    Microphone,
    OriginalLevel,
    Person,
    Ping,
    Pong,
    Resume,
    ServerEvent,
    Voicing,
)
from rooms.clips import Clip, Clips
from rooms.ears import Ear, track
from rooms.keys import Seat
from rooms.playout import FRAME, RATE, Playout, State
from rooms.session import Session
from rooms.shared_phone import Two
from rooms.witness import Witness

if TYPE_CHECKING:
    from rooms.room import Room

_LAG_SHOWN_S = 2.5
"""a translation this late is normal and not worth a badge"""
_LAG_EVERY_FRAMES = 25
_QUIET = 48
"""int16 peak up to which a microphone frame is not worth passing on"""


class Member:
    """Made by ``Room.join`` and ``Room.readmit``."""

    def __init__(
        self, room: Room, name: str, speaks: str | None, hears: str, seat: Seat, microphone: bool,
        also: str | None = None, also_color: int = 0,
    ) -> None:  # fmt: skip
        self.id = seat.member
        self.key = room.kept.seats.key(seat)
        """secret: whoever has it is this member"""
        self.name, self.speaks, self.hears, self.color = name, speaks, hears, seat.color
        self.also, self.also_color = also, also_color
        """language and colour of a second person at this phone, where the room is for that"""
        self.two = Two()
        self.microphone = microphone
        self.speaker: str | None = None
        """id of the known person whose phone it is: they enrolled on it, or showed their key"""
        self.chosen_voice = "closest"
        """see ``voice_choice``"""
        self.heard_language = speaks
        """language last spoken, for telling who understands the original"""
        self.first_seq = seat.first_seq
        """captions up to here were said before this member came"""
        self.away_since: float | None = room.clock()
        """clock time at which the last connection went, None while connected"""
        self.room = room
        self.link: Link | None = None
        self.is_program = False
        self.playout: Playout | Clips = self._new_playout()
        self.session = Session(
            self.id, room.engine, room.conversation, priority=lambda: room.priority
        )
        self.task = asyncio.create_task(self.session.run(), name="session")

    def _new_playout(self) -> Playout:
        return Playout(
            self.on_playout, lag_budget=self.room.settings.lag_budget,
            original_level=self.room.settings.original_level,
        )  # fmt: skip

    def listen(self, clips: Clips | None, away: float) -> None:
        """From now on as a phone does, or to whole clips; after ``away`` seconds of neither."""
        if clips is not None:
            self.playout = clips
        elif isinstance(self.playout, Clips):
            self.playout = self._new_playout()
        else:
            self.playout.resume(away)

    @property
    def connected(self) -> bool:
        return self.link is not None

    @property
    def audible(self) -> bool:
        """Whether what is spoken to this member is heard."""
        return self.link is not None and self.link.audible

    @property
    def hears_originals(self) -> bool:
        """Whether live sound of the others is heard there."""
        return self.audible and self.playout.originals.heard

    @property
    def pair(self) -> tuple[str, str] | None:
        """The languages of two people who share this phone; None: it is one person's."""
        if self.also is None or not self.room.settings.two_on_a_phone:
            return None
        return self.hears, self.also

    @property
    def ears(self) -> tuple[Ear, ...]:
        """Who listens here."""
        first = Ear(self, self.hears)
        return (first,) if self.pair is None else (first, Ear(self, self.pair[1], second=True))

    def person(self) -> Person:
        return Person(
            self.id, self.name, self.speaks, self.hears, self.color,
            self.microphone and self.room.may_speak(self), self.connected,
            self.room.may_speak(self), self.pair[1] if self.pair else None, self.also_color,
        )  # fmt: skip

    def send(self, event: ServerEvent) -> None:
        """To this member's phone, if it is connected."""
        if self.link is not None:
            self.link.send(event)

    def attach(
        self, send: Callable[[ServerEvent], None], *, take: Callable[[Clip], None] | None = None,
        witness: Witness | None = None, audible: bool = True, program: bool = False,
    ) -> Link:  # fmt: skip
        """A connection. ``send`` is called on the event loop and must not block.

        take: translations are taken whole, by this, instead of in frames. audible: False: they
        are only read. witness: told more of this member's own speech. program: it is not a phone.
        """
        self.is_program = program
        return Link(self, send, take, witness, audible)

    def on_playout(self, name: str, state: State) -> None:
        utterance, language = track(name, self.hears)
        own = state == "own_voice"
        if own or state == "playing":
            self.room.conversation.voices_heard.note(utterance, language, own)
        self.send(Voicing(utterance, "playing" if own else state, own))


class Link(AbstractContextManager):
    """One connection of one member; leaving the block detaches it."""

    def __init__(
        self, member: Member, send: Callable[[ServerEvent], None],
        take: Callable[[Clip], None] | None = None, witness: Witness | None = None,
        audible: bool = True,
    ) -> None:  # fmt: skip
        """See ``Member.attach``."""
        self.member, self.witness, self.audible = member, witness, audible
        self.clips = None if take is None else self._clips(take)
        self.closed = asyncio.Event()
        """set when the room or the membership ended: the transport should hang up"""
        self.send = send
        self._to_speech = StreamResampler(RATE, SPEECH_RATE)
        self._from_speech = FrameResampler(SPEECH_RATE, RATE)
        self._rest = np.zeros(0, np.int16)
        self._frames = 0
        self._lag = 0.0

    def __enter__(self) -> Link:
        member = self.member
        if member.link is not None:
            member.link.close("replaced")
        away = member.room.clock() - member.away_since if member.away_since is not None else 0.0
        member.link, member.away_since = self, None
        member.listen(self.clips, away)
        member.room.on_attached(member)
        return self

    def __exit__(self, *_: object) -> None:
        member = self.member
        self.closed.set()
        if member.link is self:
            member.link = None
            member.away_since = member.room.clock()
            member.session.flush()
            member.room.on_detached(member)

    def close(self, reason: ClosedReason) -> None:
        """Tell the phone why and hang up."""
        if not self.closed.is_set():
            self.send(Closed(reason))
            self.closed.set()

    @property
    def _current(self) -> bool:
        return self.member.link is self and not self.closed.is_set()

    def _clips(self, take: Callable[[Clip], None]) -> Clips:
        member, room = self.member, self.member.room

        def follows(name: str) -> bool:
            return room.conversation.own_voice_follows(*track(name, member.hears))

        def give(clip: Clip) -> None:
            if member.playout is self.clips:
                self._played(clip)
                take(clip)

        return Clips(
            give, member.on_playout, room.clock, follows, lag_budget=room.settings.lag_budget,
            original_level=room.settings.original_level,
        )  # fmt: skip

    def _played(self, clip: Clip) -> None:
        """What other microphones may hear of it."""
        sounds = self.member.room.conversation.sounds
        if not sounds.wanted():
            return
        utterance, language = track(clip.track, self.member.hears)
        for start in range(0, len(clip.samples) - FRAME + 1, FRAME):
            sounds.played(
                self.member.id, utterance, language, start / RATE,
                clip.samples[start : start + FRAME], clip.own, clip.starts_in + start / RATE,
            )  # fmt: skip

    @property
    def urgency(self) -> Priority:
        """Of listening to this microphone. Where sounds are compared by when they came, none may
        wait."""
        room = self.member.room
        return Priority.NOW if room.conversation.sounds.wanted() else room.priority

    @property
    def _may_be_heard(self) -> bool:
        """Whether what comes from this microphone counts."""
        member = self.member
        return self._current and member.microphone and member.room.may_speak(member)

    def hear(self, samples: np.ndarray) -> None:
        """int16 (n,) at 48 kHz from this member's microphone."""
        if self._may_be_heard:
            self._interpret(self._to_speech.push(to_float32(samples)))
            self._pass_on(samples)

    def hear_speech(self, speech: np.ndarray) -> None:
        """The same as float32 (n,) at ``SPEECH_RATE``, from a transport that has no more."""
        if not self._may_be_heard:
            return
        self._interpret(speech)
        if self.member.room.is_heard_live(self.member):
            self._pass_on(to_int16(self._from_speech.push(speech)))
        else:
            self._from_speech.skip(speech)

    def _interpret(self, speech: np.ndarray) -> None:
        member = self.member
        member.session.hear(speech)
        member.room.conversation.sounds.received(member.id, member.session.received)

    def _pass_on(self, samples: np.ndarray) -> None:
        whole = np.concatenate([self._rest, samples]) if len(self._rest) else samples
        for start in range(0, len(whole) - FRAME + 1, FRAME):
            frame = whole[start : start + FRAME]
            if frame.max(initial=0) > _QUIET or frame.min(initial=0) < -_QUIET:
                self.member.room.pass_on(self.member, frame)
        self._rest = whole[len(whole) // FRAME * FRAME :].copy()

    def next_frame(self) -> np.ndarray:
        """int16 (960,) at 48 kHz: the next 20 ms for this member. Do not write to it."""
        playout = self.member.playout
        frame = playout.next_frame()
        if playout.spoken is not None:
            name, own, offset, sound = playout.spoken
            utterance, language = track(name, self.member.hears)
            self.member.room.conversation.sounds.played(
                self.member.id, utterance, language, offset, sound, own
            )
        self._frames += 1
        if self._frames % _LAG_EVERY_FRAMES == 0:
            lag = round(playout.lag * 2) / 2
            lag = lag if lag >= _LAG_SHOWN_S else 0.0
            if lag != self._lag:
                self._lag = lag
                self.send(Lag(lag))
        return frame

    def event(self, event: ClientEvent) -> None:
        """Act on what the phone says. Raises RoomError for values it may not set."""
        if not self._current:
            return
        member = self.member
        match event:
            case Resume(after):
                member.room.conversation.resume(member, after)
            case Configure(name, speaks, hears, also):
                member.room.configure(member, name, speaks, hears, also)
            case Microphone(on):
                member.microphone = on
                if not on:
                    member.session.flush()
                member.room.roster_changed()
            case OriginalLevel(level):
                member.playout.originals.level = min(1.0, max(0.0, level))
            case Ping(number):
                self.send(Pong(number))
            case Leave():
                member.room.leave(member, "left")
