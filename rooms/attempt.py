"""One run of the engine over what may be, or is, an utterance: begun early, published when it is
certain.

Made by a ``Session``, which decides whether there was an utterance; knows no microphone.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import structlog

from babblefish.engine import own_echo
from babblefish.engine.identification import UNHEARD, Identity
from babblefish.engine.job_queue import Priority
from babblefish.engine.recording_quality import VoiceActivity
from babblefish.errors import BabbleFishError
from babblefish.protocol import EngineMessage, Notice, Trace, Transcript, Translation, Utterance
from rooms.collection import Spoken

if TYPE_CHECKING:
    from rooms.session import Session

log = structlog.get_logger(__name__)

_VOICEPRINT_S = 1.0
"""a voiceprint usually takes a tenth of what recognition takes"""
_PATIENT_VOICEPRINT_S = 60.0
"""where nobody waits for the sentence, whoever is in a hurry goes first"""
_SENTENCE_END = (".", "!", "?", "…", "。", "！", "？", "؟", "।", '."', '?"', '!"', ".»", ".”")


class Attempt:
    """Messages are held until the utterance is certain and its voice is known."""

    def __init__(self, session: Session, utterance: Utterance, activity: VoiceActivity) -> None:
        self.utterance, self._activity = utterance, activity
        self.forced = False
        """the utterance was cut while the speaker went on talking"""
        self._session, self._foresight = session, session.foresight
        self._held: list[EngineMessage] = []
        self._is_released = False
        self._is_labelled = False
        self.certain, self._labelled = asyncio.Event(), asyncio.Event()
        self._own_words: tuple[str, ...] = ()
        """what the phone itself said all the while"""
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
        self._session.audience.begin(self.utterance, waited)
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
            named = self._session.attribution.named(self._print, seconds)
            if named is not None or not patient:
                return named
            await self.certain.wait()
        return self._identity

    async def _run(self) -> None:
        session, audience = self._session, self._session.audience
        try:
            cleaned = await audience.without_own_words(self.utterance)
            self.utterance, self._own_words = cleaned.utterance, cleaned.words
            if not session.knows_pitch:  # or a man would begin with a woman's voice
                await session.measure_pitch(self.utterance)
            targets = audience.targets(session.member)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._embed(), name="voiceprint")
                group.create_task(session.measure_pitch(self.utterance), name="pitch")
                await session.engine.process(
                    self.utterance, targets, self._emit,
                    pace=partial(audience.pace, self.utterance.id), priority=session.priority,
                    foresight=self._foresight, own_voice=audience.own_voice(self.utterance, self),
                )  # fmt: skip
        except Exception as error:  # a defect of ours must not end the room
            log.exception("interpretation failed", error=type(error).__name__)
            self._is_labelled = True
            message = "Something went wrong with this sentence. Please say it again."
            self._emit(Notice(self.utterance.id, "internal", message, "engine"))
        finally:
            self._labelled.set()
            session.over(self)

    async def _embed(self) -> None:
        # no voiceprint of what is too short or too quiet; one that is late is not waited for
        engine, priority = self._session.engine, self._session.priority
        patience = _PATIENT_VOICEPRINT_S if priority >= Priority.PROGRAM else _VOICEPRINT_S
        with contextlib.suppress(BabbleFishError, TimeoutError):
            async with asyncio.timeout(patience):
                self._print = await engine.embed(self.utterance.audio.samples, priority)
        self._is_labelled = True
        if self._is_released:
            self._publish_held()
        self._labelled.set()

    def _emit(self, message: EngineMessage) -> None:
        self._held.append(message)
        if isinstance(message, Transcript):
            self._transcript = message
        if self._is_released:
            self._publish_held()
        elif isinstance(message, Transcript):
            self._session.hint(complete=message.text.endswith(_SENTENCE_END))
            self._session.show_draft(message, [])
        elif isinstance(message, Translation) and self._transcript is not None:
            self._session.show_draft(self._transcript, [message])

    def _publish_held(self) -> None:
        if not self._is_labelled:
            return
        session = self._session
        if self._transcript and own_echo.repeats(self._transcript.text, self._own_words):
            self._publish_nothing(self._transcript)
            return
        if self._identity is None:
            seconds = self.utterance.audio.seconds
            self._identity = session.attribution.identify(self._print, seconds)
            if self._identity.known:
                session.identity = self._identity
        held, self._held = self._held, []
        for message in held:
            session.audience.publish(self.utterance, message, self._identity)
            if isinstance(message, Trace) and self._transcript is not None:
                session.audience.finished(
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
                self._session.audience.publish(self.utterance, message, UNHEARD)
