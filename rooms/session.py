"""One speaker: microphone audio → segmenter → engine → room.

Work on an utterance starts at the first short pause, before it is sure that the speaker has
finished (an *attempt*). If the pause lasts, the attempt is released and everything it has
produced goes to the room at once; if the speaker goes on, it is cancelled, and what it
recognised serves as a partial caption. A session knows its room only as an ``Audience``.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable
from functools import partial

import numpy as np
import structlog

from babblefish import metrics
from babblefish.audio import rms
from babblefish.engine import strain
from babblefish.engine.engine import Engine
from babblefish.engine.foresight import Foresight
from babblefish.engine.identification import UNHEARD
from babblefish.engine.job_queue import Priority
from babblefish.engine.listening import GATHER_S, PATIENT_S
from babblefish.engine.recording_quality import VoiceActivity
from babblefish.engine.segmenter import (
    Decision,
    Discarded,
    Draft,
    Ended,
    Paused,
    Resumed,
    Segmenter,
    Started,
)
from babblefish.engine.stages import SPEECH_RATE
from babblefish.engine.voices import ENOUGH_PITCH_SECONDS
from babblefish.errors import BabbleFishError
from babblefish.protocol import (
    Audio,
    Transcript,
    Translation,
    Utterance,
)
from rooms.attempt import Attempt
from rooms.attribution import Attribution
from rooms.audience import Audience
from rooms.sample_buffer import SampleBuffer

log = structlog.get_logger(__name__)

_MAX_WAITING_FRAMES = 300
"""about 10 s of audio that voice activity has not seen yet; beyond, the oldest is dropped"""
_BURST_FRAMES = 2
"""that come at once from who sends longer ones; more are a backlog"""
_PITCH_S = 10.0
"""voiced speech after which a member's pitch is known well enough"""


class Session:
    """``hear`` from the event loop; ``run`` as a task for as long as the member is in the room."""

    def __init__(
        self, member: str, engine: Engine, audience: Audience, *, eager: bool = True,
        language_fixed: bool = False,
        priority: Callable[[], Priority] = lambda: Priority.NOW,
    ) -> None:  # fmt: skip
        """eager: partial captions, and attempts at every pause; files need neither.
        language_fixed: the language declared is an order, not a hint.
        priority: of work on what was said, asked each time."""
        self.member, self._priority = member, priority
        self._eager, self._language_fixed = eager, language_fixed
        self.dropped_frames = 0
        self.received = 0
        """samples heard, without those that were dropped: the clock of utterances"""
        self.identity = UNHEARD
        """who was the last to speak at this microphone, as far as that is known"""
        self.engine, self.audience = engine, audience
        self.turned_at = 0.0
        """seconds of received audio at which speech last began or ended"""
        self._vad = engine.listen()
        self._segmenter = Segmenter()
        self.attribution = Attribution(
            engine.speaker_encoder.capabilities, audience.people, partial(audience.owner, member)
        )
        self._buffer = SampleBuffer()
        self._pending = np.zeros(0, np.float32)
        self._frames: deque[np.ndarray | None] = deque()
        """audio for voice activity; None ends what is being said"""
        self._arrived = asyncio.Event()
        self._utterance = ""
        self._attempt: Attempt | None = None
        self._released: set[Attempt] = set()
        self._draft: asyncio.Task | None = None
        self.foresight: Foresight | None = None
        """of the utterance that is being said"""
        self._drafted = False
        self._advancing = False
        self._pitch_seconds = 0.0
        """of voiced speech that the member's pitch was measured on"""

    @property
    def priority(self) -> Priority:
        return self._priority()

    def _guess(self, usual: Priority) -> Priority:
        """Of work on what may be said."""
        return max(usual, self.priority)

    @property
    def _patience(self) -> float:
        """See ``VadStream.probability``."""
        if len(self._frames) > _BURST_FRAMES:
            return 0.0
        return GATHER_S if self.priority is Priority.NOW else PATIENT_S

    @property
    def _strain(self) -> float:
        return self.engine.strain_of(self.priority)

    @property
    def waiting(self) -> tuple[int, int]:
        """(frames not yet looked at, utterances not yet finished)"""
        return len(self._frames), len(self._released)

    @property
    def speaking(self) -> bool:
        """Whether something is being said."""
        return self._segmenter.speaking

    def hear(self, samples: np.ndarray) -> None:
        """float32 (n,) at 16 kHz. Never blocks."""
        size = self._vad.frame_samples
        self.received += len(samples)
        pending = np.concatenate([self._pending, samples]) if len(self._pending) else samples
        for start in range(0, len(pending) - size + 1, size):
            self._frames.append(pending[start : start + size])
        self._pending = pending[len(pending) // size * size :]
        while len(self._frames) > _MAX_WAITING_FRAMES:
            dropped = self._frames.popleft()
            self.received -= 0 if dropped is None else size
            self.dropped_frames += 1
            metrics.dropped("microphone_frame")
        self._arrived.set()

    def flush(self) -> None:
        """The microphone went away: what was said so far is an utterance."""
        self._frames.append(None)
        self._arrived.set()

    async def run(self) -> None:
        """Work until cancelled; then nothing of this session is left running."""
        try:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                while self._frames:
                    try:
                        self._advancing = True
                        await self._advance(self._frames.popleft())
                    except Exception as error:  # a defect of ours must not silence a speaker
                        log.exception("a frame was lost", error=type(error).__name__)
                    finally:
                        self._advancing = False
        finally:
            tasks = [a.task for a in (*self._released, self._attempt) if a]
            tasks += [self._draft] if self._draft else []
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def until(self, frames: int, utterances: int) -> None:
        """Wait until at most that much is waiting: how a file is read no faster than it can
        be interpreted. After ``flush``, ``until(0, 0)`` means everything was published."""
        while self._advancing or len(self._frames) > frames or len(self._released) > utterances:
            await asyncio.sleep(0.005)

    async def _advance(self, frame: np.ndarray | None) -> None:
        if frame is None:
            decisions = self._segmenter.flush()
        else:
            try:
                probability = await self._vad.probability(frame, self._patience)
            except BabbleFishError as error:
                log.warning("voice activity lost a frame", code=error.code)
                probability = 0.0
            self._buffer.append(frame, probability)
            decisions = self._segmenter.push(probability, rms(frame))
        for decision in decisions:
            self._decide(decision)
        self._buffer.forget(self._segmenter.keep_from)

    def _decide(self, decision: Decision) -> None:
        match decision:
            case Started(start):
                self.turned_at = start / SPEECH_RATE
                self._utterance = secrets.token_hex(8)
                self._drafted = False
                self.foresight = self.engine.foresight(
                    partial(self.audience.pace, self._utterance), self._guess(Priority.NEXT)
                )
                self.audience.speaking(self.member, True)
            case Draft(start, end) if self._eager:
                self._start_draft(self._cut(start, end, end))
            case Paused(start, end, voiced_end) if self._eager and not self._overloaded:
                self._drop_draft()  # it would tell less, later
                self._attempt = self._attempt_at(start, end, voiced_end)
            case Resumed():
                self._drop_attempt()
            case Ended(start, end, voiced_end, forced):
                self.turned_at = voiced_end / SPEECH_RATE
                self.audience.speaking(self.member, False)
                self._end(start, end, voiced_end, forced)
            case Discarded():
                self.turned_at = self._segmenter.position / SPEECH_RATE
                self.audience.speaking(self.member, False)
                self._drop_attempt()
                self._drop_draft()
                self._retract()

    @property
    def _overloaded(self) -> bool:
        return self._strain >= strain.OVERLOADED

    def _cut(self, start: int, end: int, voiced_end: int) -> Utterance:
        return Utterance(
            self._utterance, self.member, Audio(self._buffer.read(start, end), SPEECH_RATE),
            start / SPEECH_RATE, voiced_end / SPEECH_RATE,
            self.audience.spoken_language(self.member), self._language_fixed,
            self.audience.glossary(self.member), self.audience.among(self.member),
        )  # fmt: skip

    def _attempt_at(self, start: int, end: int, voiced_end: int) -> Attempt:
        activity = VoiceActivity(self._buffer.activity(start, end), self._vad.frame_samples)
        return Attempt(self, self._cut(start, end, voiced_end), activity)

    def _end(self, start: int, end: int, voiced_end: int, forced: bool) -> None:
        utterance = self._cut(start, end, voiced_end)
        attempt, self._attempt = self._attempt, None
        self._drop_draft()
        waited = 0.0 if forced else self._segmenter.position / SPEECH_RATE - utterance.end
        if attempt is not None and not attempt.covers(utterance):
            attempt.task.cancel()
            attempt = None
        if attempt is None:
            attempt = self._attempt_at(start, end, voiced_end)
        attempt.forced = forced
        attempt.release(waited)
        if not attempt.task.done():
            self._released.add(attempt)

    def _drop_attempt(self) -> None:
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.task.cancel()

    def _drop_draft(self) -> None:
        if self._draft is not None:
            self._draft.cancel()

    def _retract(self) -> None:
        if self._drafted:
            self.audience.retract(self._utterance)

    def show_draft(self, transcript: Transcript, translations: list[Translation]) -> None:
        """A partial caption, unless its utterance is over by now."""
        current = transcript.utterance == self._utterance and self._segmenter.speaking
        if current and transcript.text:
            self._drafted = True
            self.audience.draft(transcript, translations, self.member)

    def _start_draft(self, utterance: Utterance) -> None:
        if self._strain >= strain.BUSY and self._drafted:
            return  # the first words show that somebody is understood; more must wait
        if self.engine.stands_back(self.priority):
            return
        if self._draft is None or self._draft.done():
            self._draft = asyncio.create_task(self._make_draft(utterance), name="draft")

    async def _make_draft(self, utterance: Utterance) -> None:
        foresight = self.foresight
        utterance = (await self.audience.without_own_words(utterance)).utterance
        if not self.knows_pitch:
            await self.measure_pitch(utterance)
        voices = self.audience.targets(self.member)
        try:
            transcript, translations = await self.engine.draft(
                utterance, voices, self._guess(Priority.DRAFT)
            )
        except BabbleFishError as error:
            log.info("no partial caption", code=error.code)
            return
        self.show_draft(transcript, translations)
        if foresight is None or self._strain >= strain.BUSY:
            return
        for translation in translations:
            foresight.expect(translation, voices)

    @property
    def knows_pitch(self) -> bool:
        """Whether the member's voices can be chosen by it; never of two who share a phone."""
        return self._pitch_seconds >= ENOUGH_PITCH_SECONDS and not self._is_shared

    @property
    def _is_shared(self) -> bool:
        return bool(self.audience.among(self.member))

    async def measure_pitch(self, utterance: Utterance) -> None:
        """Until it is known well. A few milliseconds."""
        if self._pitch_seconds >= _PITCH_S and not self._is_shared:
            return
        pitch = await self.engine.pitch(utterance.audio.samples)
        if pitch is not None:
            self._pitch_seconds += pitch.seconds
            self.audience.heard(self.member, utterance.id, pitch)

    def hint(self, complete: bool) -> None:
        """Whether what was said so far is a whole sentence."""
        self._segmenter.hint(complete=complete)

    def over(self, attempt: Attempt) -> None:
        self._released.discard(attempt)
