"""Tells one program what happens in its room, in the messages of ``/ws/client``.

Put together from what phones are told, from what the room tells of the program's own speech
(``rooms/witness.py``) and from whole clips (``rooms/clips.py``). A caption waits for the sound that
belongs to it; ``after`` says up to where nothing is missing. Knows no connection.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Protocol

import numpy as np
import structlog

from babblefish.engine.job_queue import Priority
from babblefish.engine.stages import SPEECH_RATE
from babblefish.errors import BabbleFishError
from babblefish.protocol import (
    Caption,
    Closed,
    Lag,
    Pong,
    Retract,
    ServerEvent,
    Transcript,
    Utterance,
    Voicing,
    Warn,
    Word,
)
from babblefish.ui.programs import room_messages as messages
from babblefish.ui.programs.room_messages import Config, Message
from babblefish.ui.programs.room_outbox import Outbox, Sound
from rooms.clips import Clip

if TYPE_CHECKING:
    from rooms.member import Member

log = structlog.get_logger(__name__)

OWN_VOICE = "f5_cloned"
"""as ``tts_voice``: a copy of the speaker's own"""
_WORDS_S = 5.0
"""how long a final text waits for the times of its words"""
_MOST_KEPT = 64
"""of own utterances, and of those whose own voice follows"""
_PASSING = frozenset({"speaking", "voicing", "lag", "pong", "roster"})


class Aligner(Protocol):
    """The engine, as far as it tells when words were said."""

    async def words(
        self, samples: np.ndarray, text: str, language: str, *, priority: Priority
    ) -> tuple[Word, ...]: ...


class Reporter:
    """Of one connection; everything on the event loop. Implements ``rooms.witness.Witness``."""

    def __init__(
        self, member: Member, config: Config, outbox: Outbox, engine: Aligner,
        wall: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._member, self._config, self._outbox = member, config, outbox
        self._engine, self._wall = engine, wall
        self._origin = member.session.received / SPEECH_RATE
        """seconds of sound that the session had before this connection"""
        self.catching_up = False
        """what is told was said before the connection stood"""
        self.reason = ""
        """why the room closed the connection"""
        self._drafted = ""
        self._own: dict[str, tuple[Utterance, Transcript]] = {}
        self._awaiting: dict[str, Caption] = {}
        """final captions whose clip is being made"""
        self._to_follow: dict[str, str] = {}
        """utterance → speaker's name, where the own voice may follow"""
        self._unfinished: set[int] = set()
        """sequence numbers of what is not told yet"""
        self._last = config.after
        self._tasks: set[asyncio.Task] = set()

    # --- one's own speech: a Witness ------------------------------------------------------------

    def speaking(self, active: bool) -> None:
        at = round(max(0.0, self._member.session.turned_at - self._origin), 3)
        kind = "speech_start" if active else "speech_end"
        self._outbox.tell({"type": kind, "timestamp": at})

    def draft(self, transcript: Transcript) -> None:
        self._drafted = transcript.utterance
        heard = self._member.session.received / SPEECH_RATE - self._origin
        self._outbox.tell({
            "type": "partial", "text": transcript.text,
            "confidence": round(transcript.confidence, 3), "timestamp": round(heard, 3),
            "utterance": transcript.utterance, "language": transcript.language,
        }, passing=True)  # fmt: skip

    def said(self, utterance: Utterance, transcript: Transcript) -> None:
        if transcript.text:
            self._own[utterance.id] = utterance, transcript
            _forget_oldest(self._own)

    # --- what phones are told -------------------------------------------------------------------

    def send(self, event: ServerEvent) -> None:
        if isinstance(event, Caption) and event.final:
            self._on_final(event)
        elif isinstance(event, Closed):
            self.reason = event.reason
        if self._wants(event):
            message = {"type": event.type, **asdict(event)}
            partial = isinstance(event, Caption) and not event.final
            self._outbox.tell(message, passing=partial or event.type in _PASSING)

    def _wants(self, event: ServerEvent) -> bool:
        match event:
            case Warn() | Closed() | Pong():
                return True
            case Retract(utterance) if utterance == self._drafted:
                return True
            case Voicing() | Lag() if self._config.output == "stream":
                return True
        return self._config.room_events and event.type != "welcome"

    def _on_final(self, caption: Caption) -> None:
        self._unfinished.add(caption.seq)
        self._last = max(self._last, caption.seq)
        if caption.member == self._member.id and not caption.translated:
            self._on_own(caption)
        elif self._has_clip(caption):
            self._awaiting[caption.utterance] = caption
        else:
            self._finish(caption.seq, self._result(caption))

    def _has_clip(self, caption: Caption) -> bool:
        return (
            self._config.output == "clips" and not self.catching_up
            and self._member.playout.expects(caption.utterance)
        )  # fmt: skip

    def _result(self, caption: Caption) -> Message:
        return messages.result(caption, missed=self.catching_up, now=self._wall())

    def _finish(self, seq: int, message: Message, sound: Sound | None = None) -> None:
        """It is told, in full."""
        self._unfinished.discard(seq)
        message["after"] = min(self._unfinished, default=self._last + 1) - 1
        if sound is None:
            self._outbox.tell(message)
        else:
            self._outbox.tell_sound(message, sound)

    # --- final text of one's own speech ---------------------------------------------------------

    def _on_own(self, caption: Caption) -> None:
        known = self._own.pop(caption.utterance, None)
        if known is None or not self._config.words:
            self._finish(caption.seq, self._final(caption, known, ()))
            return
        task = asyncio.create_task(self._with_words(caption, known), name="words")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _with_words(self, caption: Caption, known: tuple[Utterance, Transcript]) -> None:
        utterance, transcript = known
        words: tuple[Word, ...] = ()
        try:
            async with asyncio.timeout(_WORDS_S):
                words = await self._engine.words(
                    utterance.audio.samples, transcript.text, transcript.language,
                    priority=max(Priority.NEXT, self._member.room.priority),
                )  # fmt: skip
        except (BabbleFishError, TimeoutError):
            pass  # the text is worth more than the times of its words
        except Exception as error:  # a defect of ours must not cost a text
            log.exception("no words", error=type(error).__name__)
        finally:
            self._finish(caption.seq, self._final(caption, known, words))

    def _final(
        self, caption: Caption, known: tuple[Utterance, Transcript] | None,
        words: tuple[Word, ...],
    ) -> Message:  # fmt: skip
        """Without times where it was said on another connection."""
        utterance, transcript = known or (None, None)
        start = utterance.start - self._origin if utterance else 0.0
        within = utterance is not None and start > -1.0
        return {
            "type": "final", "text": caption.text,
            "start": round(max(0.0, start), 3) if utterance and within else None,
            "end": round(utterance.end - self._origin, 3) if utterance and within else None,
            "words": messages.words_of(words, start) if within else [],
            "confidence": round(transcript.confidence, 3) if transcript else None,
            "language": caption.language, "speaker_name": caption.name,
            "speaker_known": caption.known, "utterance": caption.utterance,
            "missed": self.catching_up, "seq": caption.seq,
        }  # fmt: skip

    # --- sound ----------------------------------------------------------------------------------

    def take(self, clip: Clip) -> None:
        """A whole translation as sound."""
        if clip.again:
            self._again(clip)
            return
        caption = self._awaiting.pop(clip.track, None)
        if caption is None:
            return  # its text was told already
        message = self._result(caption)
        if not len(clip.samples):
            self._finish(caption.seq, message)
            return
        message["tts_voice"] = OWN_VOICE if clip.voice == "own" else clip.voice
        message["own_voice"], message["has_f5_pending"] = clip.own, clip.own_follows
        if clip.own_follows:
            self._to_follow[clip.track] = caption.name
            _forget_oldest(self._to_follow)
        sound = self._sound(clip, messages.CLIP, caption.language)
        self._finish(caption.seq, message, sound)

    def _again(self, clip: Clip) -> None:
        name = self._to_follow.pop(clip.track, None)
        if name is None:
            return
        message = messages.own_voice_result(name, clip.track, self._wall())
        if not len(clip.samples):
            self._outbox.tell(message)
            return
        message["tts_voice"] = OWN_VOICE
        self._outbox.tell_sound(message, self._sound(clip, messages.OWN_VOICE_CLIP, ""))

    def _sound(self, clip: Clip, kind: int, language: str) -> Sound:
        name = clip.track, language, kind, clip.own, len(clip.samples)
        return Sound(clip.samples, kind, self._config.rate, self._config.audio == "binary", name)

    # --- the end --------------------------------------------------------------------------------

    async def close(self) -> None:
        """Tell what is known of what is being made; nothing of it stays behind."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for caption in list(self._awaiting.values()):
            self._finish(caption.seq, self._result(caption))
        self._awaiting.clear()


def _forget_oldest(kept: dict) -> None:
    while len(kept) > _MOST_KEPT:
        del kept[next(iter(kept))]
