"""One utterance's way through the engine: recognise, translate, speak.

Each target language runs on its own, so that a slow or failing one holds up no other. Output of
a stage is checked here before anybody sees it: a model that returns garbage becomes a Notice.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from babblefish.engine import translations
from babblefish.engine.foresight import Foresight
from babblefish.engine.job_queue import Priority
from babblefish.engine.speaking import Speaking
from babblefish.engine.stages import Recognition
from babblefish.engine.two_tier import OwnVoice, TwoTier
from babblefish.errors import BabbleFishError, RecognitionError, WorkerError
from babblefish.protocol import (
    EngineMessage,
    Notice,
    Trace,
    Transcript,
    Translation,
    Utterance,
)

if TYPE_CHECKING:
    from babblefish.engine.engine import Engine


def checked_recognition(value: Any) -> Recognition:
    """``value`` if a recogniser may have meant it, else RecognitionError("bad_output")."""
    if (
        isinstance(value, Recognition)
        and isinstance(value.text, str)
        and isinstance(value.language, str)
        and math.isfinite(value.confidence)
        and all(isinstance(text, str) for text in value.translations.values())
    ):
        return value
    raise RecognitionError("bad_output", "The recogniser returned something that is no transcript.")


class Interpretation:
    """See ``Engine.process`` for the parameters."""

    def __init__(
        self,
        engine: Engine,
        utterance: Utterance,
        targets: Mapping[str, str | None],
        emit: Callable[[EngineMessage], None],
        pace: Callable[[str], float | None],
        priority: Priority,
        foresight: Foresight | None = None,
        own_voice: OwnVoice | None = None,
    ) -> None:
        self._engine, self._utterance, self._targets = engine, utterance, dict(targets)
        self._emit, self._pace, self._priority = emit, pace, priority
        self._foresight, self._own_voice = foresight, own_voice
        self._begun = time.perf_counter()
        self._stages: dict[str, float] = {}

    async def run(self) -> None:
        try:
            with self._engine.hush(self._priority):
                heard = await self._recognise()
        except BabbleFishError as error:
            self._notice(error)
        else:
            async with asyncio.TaskGroup() as group:
                for target in self._targets:
                    if heard.text and target != heard.language:
                        group.create_task(self._into(target, heard), name=f"into {target}")
        self._emit(Trace(self._utterance.id, dict(self._stages)))

    async def _recognise(self) -> Recognition:
        begun = time.perf_counter()
        utterance = self._utterance
        heard = checked_recognition(await self._transcribe())
        heard = translations.spelt(heard, utterance.glossary)
        self._time("recognise", begun)
        self._emit(
            Transcript(
                utterance.id, heard.text.strip(), heard.language, heard.language_probability,
                heard.confidence,
            )
        )  # fmt: skip
        return heard

    async def _transcribe(self) -> Any:
        """Ask the recogniser; once more if its process died, which may not have been our fault."""
        able = self._engine.recogniser_capabilities
        request = translations.request(self._engine, self._utterance, self._targets, able)
        ask = partial(
            self._engine.recogniser.call, "transcribe", self._utterance.audio.samples, request,
            priority=self._priority, batch=able.batch,
        )  # fmt: skip
        try:
            return await ask()
        except WorkerError as error:
            if error.code != "worker_died":
                raise
            return await ask()

    async def _into(self, target: str, heard: Recognition) -> None:
        with contextlib.ExitStack() as until_heard:
            until_heard.enter_context(self._engine.hush(self._priority))
            await self._translate_and_speak(target, heard, until_heard.close)

    async def _translate_and_speak(
        self, target: str, heard: Recognition, begins: Callable[[], None]
    ) -> None:
        """begins: called when there is something to be heard."""
        try:
            begun = time.perf_counter()
            text, route = await translations.translate(
                self._engine, heard, target, self._utterance.glossary, self._priority
            )
            self._time(f"translate {target}", begun)
            self._emit(Translation(self._utterance.id, target, text, route.quality))
            voice = self._targets[target]
            if voice is not None:
                await self._speak(text, target, voice, begins)
        except BabbleFishError as error:
            self._notice(error, target)

    async def _speak(
        self, text: str, language: str, voice: str, begins: Callable[[], None]
    ) -> None:
        begun = time.perf_counter()
        speaking = Speaking(
            self._engine, self._utterance.id, language, voice, partial(self._pace, language),
            self._priority,
        )  # fmt: skip
        own, say = self._own_voice, speaking.say
        if own is not None and own.speaks(language):
            say = TwoTier(self._engine, speaking, own).say
        number = None
        async for speech in say(text, self._foresight, begun - self._begun):
            self._emit(speech)
            begins()
            if speech.own_voice and f"own voice {language}" not in self._stages:
                self._time(f"own voice {language}", begun)
            if speech.replaces:
                continue
            number = speech.clause
            if number == 0:
                self._time(f"first clause {language}", begun)
                self._time(f"first audio {language}", self._begun)
        if number is not None:
            self._time(f"speak {language}", begun)

    def _time(self, stage: str, begun: float) -> None:
        self._stages[stage] = round((time.perf_counter() - begun) * 1000, 1)

    def _notice(self, error: BabbleFishError, language: str | None = None) -> None:
        self._emit(Notice(self._utterance.id, error.code, error.message, error.stage, language))
