"""What one listener hears: translations in order, original voices under them, 20 ms at a time.

Time is the number of frames taken; there is no clock, network or engine in here. Utterances are
played in the order in which their speakers finished. A backlog is worked off in three steps:
shorter pauses between utterances, faster speech (``pace``, which the engine is asked to follow),
and at last dropping the sound of the oldest utterance not yet begun, whose caption is then
marked; captions themselves never pass through here. A clause may be replaced by the same one in
another voice, as far as it was not heard yet (``splicing.py``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from babblefish import metrics
from rooms.originals import FRAME, Originals
from rooms.splicing import splice

RATE = 48_000
FRAME_S = FRAME / RATE

_GAP_S = 0.25
"""silence between utterances"""
_SHORT_GAP_S = 0.06
"""the same while there is a backlog"""
_HURRY_S = 2.0
"""backlog from which pauses shrink and speech gets faster"""
_WAIT_FOR_ORDER_S = 1.5
"""how long an utterance that is ready waits for an earlier one that is not"""
_STALL_S = 15.0
"""how long an utterance may stop in its middle, on an overloaded machine, before it is given up"""
_MAX_TRACKS = 64
"""utterances waiting at most, for a listener whose connection takes nothing"""

State = Literal["playing", "own_voice", "played", "skipped"]
"""``playing``, ``own_voice``: it begins, or goes on, in a synthetic voice, or in a copy of the
speaker's own"""
_SILENCE = np.zeros(FRAME, np.int16)
_SILENCE.setflags(write=False)


@dataclass(slots=True)
class _Piece:
    """Sound of one clause in one voice."""

    clause: int
    samples: np.ndarray
    own: bool
    offset: int = 0
    """samples already played"""


@dataclass(slots=True)
class _Track:
    """The translation of one utterance, growing while it is synthesised."""

    utterance: str
    order: float
    age: int
    """frames taken when the speaker stopped talking"""
    opened: int
    pieces: deque[_Piece] = field(default_factory=deque)
    clauses: int = 0
    """so many were added"""
    waiting: int = 0
    """samples not yet played"""
    played: int = 0
    """samples played"""
    finished: bool = False
    playing: bool = False
    own: bool | None = None
    """in which voice it is heard; None: not yet"""
    starved: int = 0


class Playout:
    """One listener. ``on_state`` is told when an utterance begins, ends or is skipped."""

    def __init__(
        self, on_state: Callable[[str, State], None], *, lag_budget: float, original_level: float
    ) -> None:
        self.lag_budget = lag_budget
        self._on_state = on_state
        self._tracks: deque[_Track] = deque()
        self._by_id: dict[str, _Track] = {}
        self.originals = Originals(original_level)
        self.spoken: tuple[str, bool, float, np.ndarray] | None = None
        """of the last frame: utterance whose translation it had; whether in the speaker's own
        voice; seconds of it before; its sound"""
        self._taken = 0
        self._gap = 0

    # --- feeding ----------------------------------------------------------------------------

    def open(self, utterance: str, order: float, ended_ago: float = 0.0) -> None:
        """Announce an utterance that will be spoken. order: smaller plays first.

        ended_ago: seconds since the speaker stopped talking.
        """
        if len(self._tracks) >= _MAX_TRACKS:
            self._drop(self._tracks[0])
        age = self._taken - round(ended_ago / FRAME_S)
        track = _Track(utterance, order, age, self._taken)
        position = len(self._tracks)
        while position and self._tracks[position - 1].order > order:
            if self._tracks[position - 1].playing:
                break
            position -= 1
        self._tracks.insert(position, track)
        self._by_id[utterance] = track

    def add(
        self, utterance: str, samples: np.ndarray, last: bool, clause: int | None = None,
        own: bool = False, voice: str = "",
    ) -> None:  # fmt: skip
        """More speech: int16 (n,) at 48 kHz, shared with other listeners, never written to.

        clause: its number; None: the next. own: in the speaker's own voice. voice: its name,
        which does not matter to who hears it.
        """
        track = self._by_id.get(utterance)
        if track is None:
            return  # skipped or given up
        number = track.clauses if clause is None else clause
        track.clauses = number + 1
        if len(samples):
            track.pieces.append(_Piece(number, samples, own))
            track.waiting += len(samples)
        track.starved = 0
        track.finished = track.finished or last

    def replace(self, utterance: str, clause: int, samples: np.ndarray, voice: str = "") -> None:
        """The clause in the speaker's own voice, as ``add``: heard instead of what was not heard
        of it yet. Nothing changes for who has heard it, or never got it."""
        track = self._by_id.get(utterance)
        pieces = track.pieces if track else ()
        at = next((i for i, piece in enumerate(pieces) if piece.clause == clause), None)
        if track is None or at is None or track.pieces[at].own or not len(samples):
            return
        piece = track.pieces[at]
        made = [_Piece(clause, samples, True)]
        if piece.offset:
            found = splice(piece.samples, piece.offset, samples)
            if found is None:
                return
            before = _Piece(clause, piece.samples[: found.leave], False, piece.offset)
            made = [before] if found.leave > piece.offset else []
            made.append(_Piece(clause, found.rest, True))
        del track.pieces[at]
        for part in reversed(made):
            track.pieces.insert(at, part)
        track.waiting = sum(len(part.samples) - part.offset for part in track.pieces)

    def finish(self, utterance: str) -> None:
        """No more speech will come for ``utterance``."""
        if track := self._by_id.get(utterance):
            track.finished = True
            if not track.playing and not track.waiting:
                self._remove(track, "skipped")

    def expects(self, utterance: str) -> bool:
        """Whether sound of ``utterance`` would still be played."""
        return utterance in self._by_id

    def ahead(self, utterance: str) -> float:
        """Seconds of other translations that will be heard before ``utterance``."""
        seconds = 0.0
        for track in self._tracks:
            if track.utterance == utterance:
                break
            seconds += track.waiting / RATE
        return seconds

    def resume(self, away: float) -> None:
        """Go on after ``away`` seconds without a connection. Translations not yet heard are
        still worth hearing, within the lag budget; live sound is not."""
        self._taken += round(away / FRAME_S)
        self.originals.clear()

    # --- state ------------------------------------------------------------------------------

    @property
    def backlog(self) -> float:
        """Seconds of translation waiting to be heard."""
        return sum(track.waiting for track in self._tracks) / RATE

    @property
    def lag(self) -> float:
        """Seconds between the end of what somebody said and the start of hearing it, for the
        utterance that is furthest behind; one that still waits counts up to now."""
        behind = [
            (self._taken - track.age) * FRAME_S - track.played / RATE
            for track in self._tracks
            if track.waiting
        ]
        return max(0.0, *behind) if behind else 0.0

    @property
    def pace(self) -> float:
        """Speaking speed that works the backlog off, whether it waits here or was not even
        spoken yet: on an overloaded machine faster speech is also less to synthesise."""
        return pace(max(self.backlog, self.lag - _HURRY_S))

    # --- taking -----------------------------------------------------------------------------

    def next_frame(self) -> np.ndarray:
        """int16 (960,): the next 20 ms. Read-only when silent."""
        self._taken += 1
        self._drop_beyond_budget()
        self.spoken = None
        speech = self._next_speech()
        mix = self.originals.mix(speech is not None)
        if mix is None:
            return _SILENCE if speech is None else speech
        if speech is not None:
            mix += speech
        return _limit(mix)

    def _drop_beyond_budget(self) -> None:
        for track in list(self._tracks):
            behind = (self._taken - track.age) * FRAME_S
            if track.playing or behind <= self.lag_budget:
                continue
            newer = any(t is not track and t.order > track.order for t in self._tracks)
            if newer or behind > 2 * self.lag_budget:  # the newest is better late than never
                self._drop(track)

    def _next_speech(self) -> np.ndarray | None:
        track = self._current()
        if track is None:
            return None
        if not track.playing:
            if self._gap > 0:
                self._gap -= 1
                return None
            track.playing = True
        if track.waiting == 0 and not track.finished:
            track.starved += 1
            if track.starved * FRAME_S > _STALL_S:
                self._drop(track)
            return None
        before = track.played / RATE
        own = track.pieces[0].own if track.pieces else track.own
        if own is not track.own:
            track.own = own
            self._on_state(track.utterance, "own_voice" if own else "playing")
        frame = _take(track)
        self.spoken = track.utterance, bool(own), before, frame
        if track.finished and track.waiting == 0:
            self._remove(track, "played")
            gap = _SHORT_GAP_S if self.backlog >= _HURRY_S else _GAP_S
            self._gap = round(gap / FRAME_S)
        return frame

    def _current(self) -> _Track | None:
        """The track to play now: the first, unless it keeps a later one that is ready waiting."""
        if not self._tracks:
            self._gap = max(0, self._gap - 1)
            return None
        first = self._tracks[0]
        if first.playing or first.waiting:
            return first
        if (self._taken - first.opened) * FRAME_S < _WAIT_FOR_ORDER_S:
            self._gap = max(0, self._gap - 1)
            return None
        for index, track in enumerate(self._tracks):
            if track.waiting:
                del self._tracks[index]
                self._tracks.appendleft(track)
                return track
        self._gap = max(0, self._gap - 1)
        return None

    def _drop(self, track: _Track) -> None:
        """Its listener reads it only."""
        metrics.dropped("translation_sound")
        self._remove(track, "skipped")

    def _remove(self, track: _Track, state: State) -> None:
        self._tracks.remove(track)
        del self._by_id[track.utterance]
        self._on_state(track.utterance, state)


def pace(behind: float) -> float:
    """Speaking speed for somebody who is so many seconds behind."""
    if behind < _HURRY_S:
        return 1.0
    return 1.12 if behind < 2 * _HURRY_S else 1.25


def _take(track: _Track) -> np.ndarray:
    """The next FRAME samples of a track, padded with silence at its very end."""
    first = track.pieces[0] if track.pieces else None
    if first is not None and first.offset + FRAME <= len(first.samples):
        frame = first.samples[first.offset : first.offset + FRAME]
        _played(track, FRAME)
        return frame
    frame = np.zeros(FRAME, np.int16)
    filled = 0
    while filled < FRAME and track.pieces:
        first = track.pieces[0]
        part = first.samples[first.offset : first.offset + FRAME - filled]
        frame[filled : filled + len(part)] = part
        filled += len(part)
        _played(track, len(part))
    return frame


def _played(track: _Track, samples: int) -> None:
    """Of its first piece."""
    first = track.pieces[0]
    first.offset += samples
    track.waiting -= samples
    track.played += samples
    if first.offset == len(first.samples):
        track.pieces.popleft()


def _limit(mix: np.ndarray) -> np.ndarray:
    """Sum of voices → int16, turning the frame down rather than clipping it."""
    peak = float(np.abs(mix).max())
    if peak > 32000:
        mix = mix * (32000 / peak)
    return mix.astype(np.int16)
