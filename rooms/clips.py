"""What one listener hears who takes translations whole: a clip for each, in order, no clock.

Stands where a phone has its ``Playout`` and is fed as one. Whoever takes clips plays them in their
own time; here they are taken to be played one after the other as they come, which is what pace,
lag and the sounds of the room are reckoned by. Where the speaker's own voice comes after the
neutral one, the clip is given again. Knows no captions and no wire.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from rooms.originals import FRAME, Originals
from rooms.playout import RATE, State, pace

_WAIT_FOR_ORDER_S = 1.5
"""how long a clip that is ready waits for an earlier one of which nothing is there"""
_STALL_S = 15.0
"""how long it waits for one that is growing"""
_GIVE_UP_S = 30.0
"""after which a translation that is not complete is given as it is, on an overloaded machine or
because its speaker left"""
_MAX_TRACKS = 64
_SILENCE = np.zeros(FRAME, np.int16)
_SILENCE.setflags(write=False)


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    track: str
    """utterance, as the publication names it to this listener"""
    samples: np.ndarray
    """int16 (n,) at RATE; empty: nothing was spoken"""
    voice: str
    """that it begins in"""
    own: bool
    """some of it is in a copy of the speaker's own voice"""
    own_follows: bool
    """it will be given again, in the own voice as far as that has come by then"""
    again: bool
    """this is that"""
    starts_in: float
    """seconds until it is heard, if clips are played one after the other"""


@dataclass(slots=True)
class _Piece:
    samples: np.ndarray
    own: bool
    voice: str


@dataclass(slots=True, eq=False)
class _Track:
    name: str
    order: float
    touched: float
    """when something of it came last"""
    pieces: dict[int, _Piece] = field(default_factory=dict)
    complete: bool = False
    over: bool = False
    given: bool = False
    follows: bool = False
    renewed: bool = False
    """something came in the own voice after the clip was given"""

    def clip(self, starts_in: float) -> Clip:
        pieces = [self.pieces[number] for number in sorted(self.pieces)]
        if self.given and not self.renewed:
            pieces = []
        parts = [np.zeros(0, np.int16), *(piece.samples for piece in pieces)]
        return Clip(
            self.name, np.concatenate(parts), pieces[0].voice if pieces else "",
            any(piece.own for piece in pieces), self.follows and not self.given, self.given,
            starts_in,
        )  # fmt: skip


class _Unheard(Originals):
    """Who takes clips does not hear original voices."""

    heard = False

    def put(self, speaker: str, frame: np.ndarray, understood: bool) -> None:
        pass


class Clips:
    """One listener. ``give`` is told of clips, ``on_state`` as a playout's is."""

    spoken = None
    """see ``Playout.spoken``: sound is not taken here"""

    def __init__(
        self, give: Callable[[Clip], None], on_state: Callable[[str, State], None],
        clock: Callable[[], float], follows: Callable[[str], bool], *,
        lag_budget: float, original_level: float,
    ) -> None:  # fmt: skip
        """follows: whether the speaker's own voice may still come for a translation that is
        there in the neutral one."""
        self.lag_budget = lag_budget
        self.originals: Originals = _Unheard(original_level)
        self._give, self._on_state, self._clock = give, on_state, clock
        self._follows = follows
        self._tracks: list[_Track] = []
        self._until = 0.0
        """clock time at which what was given is played"""

    # --- feeding: as a Playout ----------------------------------------------------------------

    def open(self, utterance: str, order: float, ended_ago: float = 0.0) -> None:
        if len(self._tracks) >= _MAX_TRACKS:
            oldest = self._tracks[0]
            oldest.complete = oldest.over = True
            if not oldest.given:
                self._hand_over(oldest)
            self.look()
        self._tracks.append(_Track(utterance, order, self._clock()))
        self._tracks.sort(key=lambda track: track.order)

    def add(
        self, utterance: str, samples: np.ndarray, last: bool, clause: int | None = None,
        own: bool = False, voice: str = "",
    ) -> None:  # fmt: skip
        track = self._find(utterance)
        if track is None or track.complete:
            return
        number = len(track.pieces) if clause is None else clause
        track.pieces[number] = _Piece(samples, own, voice)
        track.touched = self._clock()
        if last:
            track.complete = True
        self.look()

    def replace(self, utterance: str, clause: int, samples: np.ndarray, voice: str = "") -> None:
        track = self._find(utterance)
        if track is None or clause not in track.pieces or not len(samples):
            return
        track.pieces[clause] = _Piece(samples, True, voice)
        track.renewed = track.renewed or track.given
        if track.given and all(piece.own for piece in track.pieces.values()):
            self._renew(track)

    def finish(self, utterance: str) -> None:
        if track := self._find(utterance):
            track.complete = track.over = True
            self.look()

    def expects(self, utterance: str) -> bool:
        return self._find(utterance) is not None

    def ahead(self, utterance: str) -> float:
        return self.backlog

    def resume(self, away: float) -> None:
        pass

    def _find(self, name: str) -> _Track | None:
        return next((track for track in self._tracks if track.name == name), None)

    # --- state: as a Playout ------------------------------------------------------------------

    @property
    def backlog(self) -> float:
        """Seconds of translation given and not yet heard, as far as can be known."""
        return max(0.0, self._until - self._clock())

    @property
    def lag(self) -> float:
        return self.backlog

    @property
    def pace(self) -> float:
        return pace(self.backlog)

    def next_frame(self) -> np.ndarray:
        return _SILENCE

    # --- giving -------------------------------------------------------------------------------

    def look(self) -> None:
        """Give what is due; also to be called every now and then."""
        latest = self._clock() - _GIVE_UP_S
        for track in self._tracks:
            if track.touched < latest:
                track.complete = track.over = True
        while (track := self._due()) is not None:
            self._hand_over(track)
        for track in [track for track in self._tracks if track.over and track.given]:
            self._tracks.remove(track)
            if track.follows or track.renewed:
                self._renew(track)

    def _due(self) -> _Track | None:
        """The first that is not given, unless it keeps a later one that is ready waiting."""
        now = self._clock()
        for track in self._tracks:
            if track.given:
                continue
            if track.complete:
                return track
            if now - track.touched < (_STALL_S if track.pieces else _WAIT_FOR_ORDER_S):
                return None
        return None

    def _hand_over(self, track: _Track) -> None:
        neutral = any(not piece.own for piece in track.pieces.values())
        track.follows = neutral and not track.over and self._follows(track.name)
        clip = track.clip(self.backlog)
        track.given, track.touched = True, self._clock()
        self._until = max(self._until, self._clock()) + len(clip.samples) / RATE
        own = None
        for number in sorted(track.pieces):
            if track.pieces[number].own is not own:
                own = track.pieces[number].own
                self._on_state(track.name, "own_voice" if own else "playing")
        self._give(clip)
        self._on_state(track.name, "played" if len(clip.samples) else "skipped")

    def _renew(self, track: _Track) -> None:
        clip = track.clip(0.0)
        track.follows = track.renewed = False
        if clip.own:
            self._on_state(track.name, "own_voice")
        self._give(clip)
        if clip.own:
            self._on_state(track.name, "played")
