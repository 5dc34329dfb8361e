"""One speaker: microphone audio → segmenter → engine → room.

Work on an utterance starts at the first short pause, before it is sure that the speaker has
finished (an *attempt*). If the pause lasts, the attempt is released and everything it has
produced goes to the room at once; if the speaker goes on, it is cancelled, and what it
recognised serves as a partial caption. A session knows its room only as an ``Audience``.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import deque
from dataclasses import replace
from functools import partial

import numpy as np
import structlog

from babblefish.audio import rms
from babblefish.engine import own_echo, strain
from babblefish.engine.engine import Engine
from babblefish.engine.foresight import Foresight
from babblefish.engine.identification import UNHEARD, Identity
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
    EngineMessage,
    Notice,
    Trace,
    Transcript,
    Translation,
    Utterance,
)
from rooms.attribution import Attribution
from rooms.audience import Audience
from rooms.collection import Spoken
from rooms.sample_buffer import SampleBuffer

log = structlog.get_logger(__name__)

_MAX_WAITING_FRAMES = 300
"""about 10 s of audio that voice activity has not seen yet; beyond, the oldest is dropped"""
_VOICEPRINT_S = 1.0
"""a voiceprint usually takes a tenth of what recognition takes"""
_PITCH_S = 10.0
"""voiced speech after which a member's pitch is known well enough"""
_SENTENCE_END = (".", "!", "?", "…", "。", "！", "？", "؟", "।", '."', '?"', '!"', ".»", ".”")


class Session:
    """``hear`` from the event loop; ``run`` as a task for as long as the member is in the room."""

    def __init__(
        self, member: str, engine: Engine, audience: Audience, *, eager: bool = True,
        language_fixed: bool = False,
    ) -> None:  # fmt: skip
        """eager: partial captions, and attempts at every pause; files need neither.
        language_fixed: the language declared is an order, not a hint."""
        self.member = member
        self._eager, self._language_fixed = eager, language_fixed
        self.dropped_frames = 0
        self.received = 0
        """samples heard, without those that were dropped: the clock of utterances"""
        self.identity = UNHEARD
        """who was the last to speak at this microphone, as far as that is known"""
        self._engine, self._audience = engine, audience
        self._vad = engine.listen()
        self._segmenter = Segmenter()
        self._attribution = Attribution(
            engine.speaker_encoder.capabilities, audience.people, partial(audience.owner, member)
        )
        self._buffer = SampleBuffer()
        self._pending = np.zeros(0, np.float32)
        self._frames: deque[np.ndarray | None] = deque()
        """audio for voice activity; None ends what is being said"""
        self._arrived = asyncio.Event()
        self._utterance = ""
        self._attempt: _Attempt | None = None
        self._released: set[_Attempt] = set()
        self._draft: asyncio.Task | None = None
        self._foresight: Foresight | None = None
        """of the utterance that is being said"""
        self._drafted = False
        self._advancing = False
        self._pitch_seconds = 0.0
        """of voiced speech that the member's pitch was measured on"""

    @property
    def waiting(self) -> tuple[int, int]:
        """(frames not yet looked at, utterances not yet finished)"""
        return len(self._frames), len(self._released)

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
                probability = await self._vad.probability(frame)
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
            case Started():
                self._utterance = secrets.token_hex(8)
                self._drafted = False
                self._foresight = self._engine.foresight(
                    partial(self._audience.pace, self._utterance)
                )
                self._audience.speaking(self.member, True)
            case Draft(start, end) if self._eager:
                self._start_draft(self._cut(start, end, end))
            case Paused(start, end, voiced_end) if self._eager and not self._overloaded:
                self._drop_draft()  # it would tell less, later
                self._attempt = self._attempt_at(start, end, voiced_end)
            case Resumed():
                self._drop_attempt()
            case Ended(start, end, voiced_end, forced):
                self._audience.speaking(self.member, False)
                self._end(start, end, voiced_end, forced)
            case Discarded():
                self._audience.speaking(self.member, False)
                self._drop_attempt()
                self._drop_draft()
                self._retract()

    @property
    def _overloaded(self) -> bool:
        return self._engine.strain >= strain.OVERLOADED

    def _cut(self, start: int, end: int, voiced_end: int) -> Utterance:
        return Utterance(
            self._utterance, self.member, Audio(self._buffer.read(start, end), SPEECH_RATE),
            start / SPEECH_RATE, voiced_end / SPEECH_RATE,
            self._audience.spoken_language(self.member), self._language_fixed,
            self._audience.glossary(self.member), self._audience.among(self.member),
        )  # fmt: skip

    def _attempt_at(self, start: int, end: int, voiced_end: int) -> _Attempt:
        activity = VoiceActivity(self._buffer.activity(start, end), self._vad.frame_samples)
        return _Attempt(self, self._cut(start, end, voiced_end), activity)

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
            self._audience.retract(self._utterance)

    def show_draft(self, transcript: Transcript, translations: list[Translation]) -> None:
        """A partial caption, unless its utterance is over by now."""
        current = transcript.utterance == self._utterance and self._segmenter.speaking
        if current and transcript.text:
            self._drafted = True
            self._audience.draft(transcript, translations, self.member)

    def _start_draft(self, utterance: Utterance) -> None:
        if self._engine.strain >= strain.BUSY and self._drafted:
            return  # the first words show that somebody is understood; more must wait
        if self._draft is None or self._draft.done():
            self._draft = asyncio.create_task(self._make_draft(utterance), name="draft")

    async def _make_draft(self, utterance: Utterance) -> None:
        foresight = self._foresight
        if not self.knows_pitch:
            await self.measure_pitch(utterance)
        voices = self._audience.targets(self.member)
        try:
            transcript, translations = await self._engine.draft(utterance, voices)
        except BabbleFishError as error:
            log.info("no partial caption", code=error.code)
            return
        self.show_draft(transcript, translations)
        if foresight is None or self._engine.strain >= strain.BUSY:
            return
        for translation in translations:
            foresight.expect(translation, voices)

    @property
    def knows_pitch(self) -> bool:
        """Whether the member's voices can be chosen by it; never of two who share a phone."""
        return self._pitch_seconds >= ENOUGH_PITCH_SECONDS and not self._is_shared

    @property
    def _is_shared(self) -> bool:
        return bool(self._audience.among(self.member))

    async def measure_pitch(self, utterance: Utterance) -> None:
        """Until it is known well. A few milliseconds."""
        if self._pitch_seconds >= _PITCH_S and not self._is_shared:
            return
        pitch = await self._engine.pitch(utterance.audio.samples)
        if pitch is not None:
            self._pitch_seconds += pitch.seconds
            self._audience.heard(self.member, utterance.id, pitch)


class _Attempt:
    """One run of the engine over what may be, or is, an utterance.

    Messages are held until the utterance is certain and its voice is known.
    """

    def __init__(self, session: Session, utterance: Utterance, activity: VoiceActivity) -> None:
        self.utterance, self._activity = utterance, activity
        self.forced = False
        """the utterance was cut while the speaker went on talking"""
        self._session, self._foresight = session, session._foresight
        self._held: list[EngineMessage] = []
        self._is_released = False
        self._is_labelled = False
        self.certain, self._labelled = asyncio.Event(), asyncio.Event()
        self._own_words: tuple[str, ...] | None = None
        """what the phone itself said of late that is heard in it; None: not looked for yet"""
        self._print: np.ndarray | None = None
        self._identity: Identity | None = None
        self._transcript: Transcript | None = None
        self.task = asyncio.create_task(self._run(), name="attempt")

    def covers(self, utterance: Utterance) -> bool:
        return (self.utterance.id, self.utterance.start, self.utterance.end) == (
            utterance.id, utterance.start, utterance.end,
        )  # fmt: skip

    def release(self, waited: float) -> None:
        """The utterance is certain: publish what there is, and the rest as it comes.

        waited: seconds from the last voiced sample to now.
        """
        self._is_released = True
        self._session._audience.begin(self.utterance, waited)
        self._publish_held()
        self.certain.set()

    @property
    def identity(self) -> Identity | None:
        return self._identity

    async def who(self, patient: bool) -> Identity | None:
        """See ``Saying``."""
        await self._labelled.wait()
        if self._identity is None:
            seconds = self.utterance.audio.seconds
            named = self._session._attribution.named(self._print, seconds)
            if named is not None or not patient:
                return named
            await self.certain.wait()
        return self._identity

    async def _run(self) -> None:
        session, audience = self._session, self._session._audience
        try:
            if not session.knows_pitch:  # or a man would begin with a woman's voice
                await session.measure_pitch(self.utterance)
            targets = audience.targets(session.member)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._embed(), name="voiceprint")
                group.create_task(self._find_own_words(), name="own words")
                group.create_task(session.measure_pitch(self.utterance), name="pitch")
                await session._engine.process(
                    self.utterance, targets, self._emit,
                    pace=partial(audience.pace, self.utterance.id), foresight=self._foresight,
                    own_voice=audience.own_voice(self.utterance, self),
                )  # fmt: skip
        except Exception as error:  # a defect of ours must not end the room
            log.exception("interpretation failed", error=type(error).__name__)
            self._is_labelled, self._own_words = True, self._own_words or ()
            message = "Something went wrong with this sentence. Please say it again."
            self._emit(Notice(self.utterance.id, "internal", message, "engine"))
        finally:
            self._labelled.set()
            session._released.discard(self)

    async def _embed(self) -> None:
        # no voiceprint of what is too short or too quiet; one that is late is not waited for
        with contextlib.suppress(BabbleFishError, TimeoutError):
            async with asyncio.timeout(_VOICEPRINT_S):
                self._print = await self._session._engine.embed(self.utterance.audio.samples)
        self._is_labelled = True
        if self._is_released:
            self._publish_held()
        self._labelled.set()

    async def _find_own_words(self) -> None:
        found: tuple[str, ...] = ()
        with contextlib.suppress(BabbleFishError):
            found = await self._session._audience.own_words(self.utterance)
        self._own_words = found
        if self._is_released:
            self._publish_held()

    def _emit(self, message: EngineMessage) -> None:
        self._held.append(message)
        if isinstance(message, Transcript):
            self._transcript = message
        if self._is_released:
            self._publish_held()
        elif isinstance(message, Transcript):
            self._session._segmenter.hint(complete=message.text.endswith(_SENTENCE_END))
            self._session.show_draft(message, [])
        elif isinstance(message, Translation) and self._transcript is not None:
            self._session.show_draft(self._transcript, [message])

    def _publish_held(self) -> None:
        if not self._is_labelled or self._own_words is None:
            return
        session = self._session
        if self._transcript and own_echo.repeats(self._transcript.text, self._own_words):
            self._publish_nothing(self._transcript)
            return
        if self._identity is None:
            seconds = self.utterance.audio.seconds
            self._identity = session._attribution.identify(self._print, seconds)
            if self._identity.known:
                session.identity = self._identity
        held, self._held = self._held, []
        for message in held:
            session._audience.publish(self.utterance, message, self._identity)
            if isinstance(message, Trace) and self._transcript is not None:
                session._audience.finished(
                    Spoken(self.utterance, self._transcript, self._identity, self._print,
                           self._activity, self.forced)
                )  # fmt: skip

    def _publish_nothing(self, transcript: Transcript) -> None:
        """The phone heard itself: as if nobody had said anything."""
        held, self._held = self._held, []
        for message in held:
            if isinstance(message, Transcript):
                message = replace(transcript, text="")
            if isinstance(message, Transcript | Trace):
                self._session._audience.publish(self.utterance, message, UNHEARD)
