"""What the loudspeakers and microphones of a room did of late, as one microphone may have heard it.

The server knows what it played and what it was sent, and when; each microphone has a clock of its
own, which counts its samples. Keeps sound of the last ``KEPT_SECONDS`` in memory, only while
somebody's material is collected or two people talk through one phone's loudspeaker, and writes
none. Knows no voices and no consent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from babblefish.audio import resample
from babblefish.engine.bleed import EARLY_SECONDS, LATE_SECONDS
from babblefish.engine.reference_material import Sounding
from babblefish.engine.stages import SPEECH_RATE
from rooms.playout import FRAME_S, RATE

KEPT_SECONDS = 30.0
_FRAMES = round(KEPT_SECONDS / FRAME_S)
_MOST = 12
"""sounds that are looked for in one utterance; where there are more, none can be ruled out"""
_JITTER_S = 0.15
"""by which a frame may be late within one sound"""
_TOGETHER_S = 0.1
"""within which two phones play the same sound at the same time"""
_NOTICED_S = 1.0
"""how long after its beginning speech is noticed at the latest"""


@dataclass(frozen=True, slots=True, eq=False)
class _Frame:
    time: float
    samples: np.ndarray
    """int16 (FRAME,) at RATE"""
    source: tuple[str, ...]
    """utterance and language of a translation, and "own" in the speaker's own voice; or a member
    and ''"""
    offset: float = 0.0
    """seconds of the source that were played before"""


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """A sound, not yet put together."""

    start: float
    """seconds on the microphone's clock"""
    frames: list[np.ndarray]
    """int16 (FRAME,) at RATE, one after the other"""
    source: tuple[str, ...]
    origin: float
    """when the source's first sample was played"""

    def sounding(self) -> Sounding:
        """Takes some milliseconds."""
        sound = resample(np.concatenate(self.frames) / np.float32(32768), RATE, SPEECH_RATE)
        return Sounding(self.start, self.start + len(sound) / SPEECH_RATE, sound)


@dataclass(frozen=True, slots=True, eq=False)
class Surroundings:
    """What sounded around a microphone, not yet looked at."""

    _clock: np.ndarray
    """(n, 2): time, samples received by then"""
    _loudspeakers: list[list[_Frame]]
    _others: list[tuple[list[_Frame], list[tuple[float, float | None]]]]
    """of each other microphone: its sound, and from when to when somebody talked into it"""
    _first: float
    """seconds on the microphone's clock"""
    _last: float

    def recorded(self) -> list[Recorded] | None:
        """Sounds by the microphone's clock; None where there are too many to look for."""
        runs = [run for frames in self._loudspeakers for run in self._inside(frames)]
        for frames, heard in self._others:
            runs += self._inside([
                frame for frame in frames
                if any(begin <= frame.time and (end is None or frame.time < end)
                       for begin, end in heard)
            ])  # fmt: skip
        found = _distinct(runs)
        return found if len(found) <= _MOST else None

    def _inside(self, frames: list[_Frame]) -> Iterator[Recorded]:
        times = [frame.time for frame in frames]
        positions = np.interp(times, self._clock[:, 0], self._clock[:, 1]) / SPEECH_RATE
        yield from _runs(
            replace(frame, time=float(at))
            for at, frame in zip(positions, frames, strict=True)
            if self._first - FRAME_S < at < self._last
        )


@dataclass(slots=True)
class _Speech:
    """While somebody talks into a microphone."""

    begin: float
    end: float | None = None
    speakers: set[str | None] = field(default_factory=set)
    """whose words were found in it; None: somebody's whom nobody knows"""


@dataclass(slots=True)
class _Microphone:
    clock: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=_FRAMES))
    """(time, samples received by then)"""
    live: deque[_Frame] = field(default_factory=lambda: deque(maxlen=_FRAMES))
    speech: deque[_Speech] = field(default_factory=lambda: deque(maxlen=50))

    def time(self, position: float) -> float:
        at, samples = np.array(self.clock).T
        return float(np.interp(position * SPEECH_RATE, samples, at))


class Soundings:
    """Of one room; everything on the event loop. Times are those of the room's clock."""

    def __init__(self, clock: Callable[[], float], wanted: Callable[[], bool]) -> None:
        """wanted: whether anybody needs to know; else nothing is kept here."""
        self._clock, self.wanted = clock, wanted
        self._microphones: dict[str, _Microphone] = {}
        self._loudspeakers: dict[str, deque[_Frame]] = {}

    def forget(self, member: str | None = None) -> None:
        """What is known of one member, or of all."""
        for kept in (self._microphones, self._loudspeakers):
            if member is None:
                kept.clear()
            else:
                kept.pop(member, None)

    # --- what happens -------------------------------------------------------------------------

    def received(self, member: str, samples: int) -> None:
        """The member's microphone has sent so many samples at SPEECH_RATE until now."""
        if self.wanted():
            self._microphone(member).clock.append((self._clock(), samples))
        elif self._microphones or self._loudspeakers:
            self.forget()

    def live(self, member: str, frame: np.ndarray) -> None:
        """Sound of the member's microphone: int16 (FRAME,) at RATE, not written to any more."""
        if self.wanted():
            self._microphone(member).live.append(_Frame(self._clock(), frame, (member, "")))

    def speaking(self, member: str, active: bool) -> None:
        if not self.wanted():
            return
        speech = self._microphone(member).speech
        if active:
            speech.append(_Speech(self._clock() - _NOTICED_S))
        elif speech:
            speech[-1].end = self._clock()

    def said(self, member: str, start: float, end: float, speaker: str | None) -> None:
        """Whose words [start, end), seconds on the member's microphone's clock, were."""
        microphone = self._microphone(member)
        if not microphone.clock:
            return
        begin, finish = microphone.time(start), microphone.time(end)
        for speech in microphone.speech:
            if speech.begin < finish and (speech.end is None or speech.end > begin):
                speech.speakers.add(speaker)

    def played(
        self, member: str, utterance: str, language: str, offset: float, frame: np.ndarray,
        own: bool = False, starts_in: float = 0.0,
    ) -> None:  # fmt: skip
        """20 ms of a translation at the member's phone, as ``live``; ``offset`` seconds into it.
        own: in the speaker's own voice, which is another sound. starts_in: seconds from now."""
        if not self.wanted():
            return
        frames = self._loudspeakers.setdefault(member, deque(maxlen=_FRAMES))
        source = utterance, language, *(("own",) if own else ())
        frames.append(_Frame(self._clock() + starts_in, frame, source, offset))

    def _microphone(self, member: str) -> _Microphone:
        return self._microphones.setdefault(member, _Microphone())

    # --- what a microphone may have heard -----------------------------------------------------

    def loudspeaker(self, member: str, start: float, end: float) -> Surroundings | None:
        """What the member's own phone played that their microphone may have heard, as ``around``;
        None where it played nothing."""
        microphone, frames = self._microphones.get(member), self._loudspeakers.get(member)
        if microphone is None or not microphone.clock or not frames:
            return None
        return Surroundings(
            np.array(microphone.clock), [list(frames)], [], start - LATE_SECONDS,
            end + EARLY_SECONDS,
        )  # fmt: skip

    def played_since(self, member: str, seconds: float) -> set[tuple[str, ...]]:
        """Utterance and language of the translations that the phone played of late."""
        since = self._clock() - seconds
        frames = self._loudspeakers.get(member, ())
        return {frame.source[:2] for frame in frames if frame.time >= since}

    def around(self, member: str, start: float, end: float, speaker: str) -> Surroundings | None:
        """What may have reached the member's microphone between ``start`` and ``end`` on its
        clock beside the words of ``speaker``, who spoke there; None where that is not known (any
        more). Quick: it copies references.

        Another microphone that heard nobody but ``speaker`` heard nothing else.
        """
        microphone = self._microphones.get(member)
        if microphone is None or not microphone.clock:
            return None
        if microphone.clock[0][1] > max(0.0, start) * SPEECH_RATE:
            return None  # nobody listened to the room yet, or it is forgotten by now
        others = []
        for other, theirs in self._microphones.items():
            if other != member:
                heard = [s for s in theirs.speech if s.end is None or s.speakers != {speaker}]
                others.append((list(theirs.live), [(s.begin, s.end) for s in heard]))
        return Surroundings(
            np.array(microphone.clock), [list(frames) for frames in self._loudspeakers.values()],
            others, start - LATE_SECONDS, end + EARLY_SECONDS,
        )  # fmt: skip


def _runs(frames: Iterable[_Frame]) -> Iterator[Recorded]:
    """Frames that were heard one after the other without a pause, by the microphone's clock."""
    run = None
    for frame in frames:
        expected = run.start + len(run.frames) * FRAME_S if run is not None else 0.0
        if run is None or abs(frame.time - expected) > _JITTER_S or frame.source != run.source:
            if run is not None:
                yield run
            run = Recorded(frame.time, [], frame.source, frame.time - frame.offset)
        run.frames.append(frame.samples)
    if run is not None:
        yield run


def _distinct(runs: Iterable[Recorded]) -> list[Recorded]:
    """Without what several phones played together, which need be looked for only once."""
    found: list[Recorded] = []
    for run in sorted(runs, key=lambda run: -len(run.frames)):
        if not any(
            run.source == other.source and abs(run.origin - other.origin) < _TOGETHER_S
            for other in found
        ):
            found.append(run)
    return found
