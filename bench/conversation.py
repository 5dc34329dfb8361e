"""People taking turns in a room, and what one listener noticed of each turn.

``take_turn`` speaks a clip and waits until it was heard in translation, as people do;
``observe`` reads off a listener's events and sound when what arrived. Nothing is judged here.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from babblefish.protocol import Caption, Speaking, Voicing
from bench.client import Phone
from bench.clips import Clip

PATIENCE_S = 9.0
"""after the last voiced sample; what has not arrived by then is missing"""
_SETTLE_S = 0.35
_JITTER_S = 0.06
"""an utterance's first sound and the event that announces it may arrive this far apart"""


@dataclass(slots=True, eq=False)
class Turn:
    """One clip spoken by one phone."""

    clip: Clip
    speaker: Phone
    begun: float
    """the moment of the clip's first sample"""
    until: float = float("inf")
    """when the same speaker may have begun with something else"""

    @property
    def first_voiced(self) -> float:
        return self.begun + self.clip.voiced[0]

    @property
    def last_voiced(self) -> float:
        return self.begun + self.clip.voiced[1]


@dataclass(slots=True)
class Observation:
    """One turn as one listener got it. Moments are None where something never came."""

    turn: Turn
    hears: str
    captions: list[Caption] = field(default_factory=list)
    """final ones, in order"""
    heard: dict[str, int] = field(default_factory=dict)
    """utterance → times its translation began to play"""
    skipped: set[str] = field(default_factory=set)
    partial_at: float | None = None
    ended_at: float | None = None
    """the server saw the end of the utterance"""
    caption_at: float | None = None
    playing_at: float | None = None
    played_at: float | None = None
    sound_at: float | None = None
    sound: np.ndarray | None = None
    """int16, 48 kHz: the translation as it arrived"""

    @property
    def texts(self) -> list[str]:
        """What was recognised."""
        return [c.original_text if c.translated else c.text for c in self.captions]

    @property
    def translated(self) -> list[str]:
        return [c.text for c in self.captions if c.translated]

    @property
    def to_sound(self) -> float | None:
        """Seconds from the last voiced sample to the first translated one."""
        return self._after_speech(self.sound_at)

    @property
    def to_caption(self) -> float | None:
        return self._after_speech(self.caption_at)

    @property
    def to_end(self) -> float | None:
        return self._after_speech(self.ended_at)

    @property
    def to_partial(self) -> float | None:
        """Seconds from the first voiced sample to the first partial caption."""
        return None if self.partial_at is None else self.partial_at - self.turn.first_voiced

    def _after_speech(self, moment: float | None) -> float | None:
        return None if moment is None else moment - self.turn.last_voiced


async def speak(speaker: Phone, clip: Clip) -> Turn:
    """Say ``clip``; returns when its last sample was sent."""
    spoken = speaker.say(clip.sent())
    await spoken.finished.wait()
    return Turn(clip, speaker, spoken.begun)


async def take_turn(
    speaker: Phone, listeners: Sequence[Phone], clip: Clip, pause: float = _SETTLE_S
) -> Turn:
    """Say ``clip`` and wait until each listener has heard all of it, or ``PATIENCE_S``."""
    turn = await speak(speaker, clip)
    loop = asyncio.get_running_loop()
    deadline = turn.last_voiced + PATIENCE_S
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(deadline - loop.time()):
            for listener in listeners:
                await listener.until(lambda who=listener: _is_done(turn, who))
    await asyncio.sleep(pause)
    turn.until = loop.time()
    return turn


async def all_heard(turns: Sequence[tuple[Turn, Phone]], seconds: float) -> None:
    """Wait until each listener has heard all of its turn, at most ``seconds``: late is not lost."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            for turn, listener in turns:
                await listener.until(lambda what=turn, who=listener: _is_heard(what, who))


def _is_done(turn: Turn, listener: Phone) -> bool:
    """The speaker is known to be silent, and all was heard."""
    speaking = [e.active for _, e in listener.between(Speaking, turn.first_voiced, turn.until)
                if e.member == turn.speaker.member]  # fmt: skip
    return bool(speaking) and not speaking[-1] and _is_heard(turn, listener)


def _is_heard(turn: Turn, listener: Phone) -> bool:
    """There are captions, and the sound of each has been played."""
    captions = _finals(turn, listener)
    over = {
        e.utterance for _, e in listener.events if isinstance(e, Voicing) and e.state != "playing"
    }
    return bool(captions) and all(not c.synthetic or c.utterance in over for _, c in captions)


def _finals(turn: Turn, listener: Phone) -> list[tuple[float, Caption]]:
    """Final captions of what was said during the turn, however late they came."""
    unix = time.time() - time.monotonic()
    return [
        (at, event) for at, event in listener.events
        if isinstance(event, Caption) and event.final
        and event.member == turn.speaker.member
        and turn.begun <= event.at - unix < turn.until
    ]  # fmt: skip


def observe(turn: Turn, listener: Phone, with_sound: bool = True) -> Observation:
    """What ``listener`` got of ``turn``; of several utterances, the last one's moments count.

    with_sound: look into the received sound, which has to hold one translation at a time.
    """
    seen = Observation(turn, listener.hears)
    finals = _finals(turn, listener)
    seen.captions = [caption for _, caption in finals]
    partials = [at for at, c in listener.between(Caption, turn.begun, turn.until)
                if not c.final and c.member == turn.speaker.member]  # fmt: skip
    seen.partial_at = partials[0] if partials else None
    ends = [at for at, e in listener.between(Speaking, turn.begun, turn.until)
            if e.member == turn.speaker.member and not e.active]  # fmt: skip
    seen.ended_at = ends[-1] if ends else None
    if not finals:
        return seen
    seen.caption_at = finals[-1][0]
    _watch_playing(seen, listener, {c.utterance for c in seen.captions})
    if with_sound and seen.playing_at is not None:
        since = max(turn.first_voiced, seen.playing_at - _JITTER_S)
        over = seen.played_at or turn.until
        seen.sound_at = listener.recording.first_sound(since, over)
        seen.sound = listener.recording.sound(since, over)
    return seen


def _watch_playing(seen: Observation, listener: Phone, utterances: set[str]) -> None:
    last = seen.captions[-1].utterance
    for at, event in listener.events:
        if not isinstance(event, Voicing) or event.utterance not in utterances:
            continue
        match event.state:
            case "playing":
                seen.heard[event.utterance] = seen.heard.get(event.utterance, 0) + 1
                if event.utterance == last:
                    seen.playing_at = at
            case "played":
                if event.utterance == last:
                    seen.played_at = at
            case "skipped":
                seen.skipped.add(event.utterance)
