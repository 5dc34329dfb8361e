"""One utterance's way through the engine: recognise, translate, speak, clause by clause.

Each target language runs on its own, so that a slow or failing one holds up no other. Output of
a stage is checked here before anybody sees it: a model that returns garbage becomes a Notice.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from babblefish.engine import clauses, translations
from babblefish.engine.foresight import Foreseen, Foresight
from babblefish.engine.stages import PLAYOUT_RATE, Recognition
from babblefish.engine.workers import Priority, WorkerPool
from babblefish.errors import (
    BabbleFishError,
    RecognitionError,
    SynthesisError,
    WorkerError,
)
from babblefish.protocol import (
    Audio,
    EngineMessage,
    Notice,
    Speech,
    Trace,
    Transcript,
    Translation,
    Utterance,
)

if TYPE_CHECKING:
    from babblefish.engine.engine import Engine

_SECONDS_PER_CHARACTER = 0.6
"""speech slower than this is a synthesiser gone wrong; CJK characters are whole syllables"""


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


def checked_speech(samples: Any, text: str, speed: float) -> np.ndarray:
    """(n,) float32 that is plausibly ``text`` spoken, else SynthesisError("bad_output")."""
    longest = (4.0 + _SECONDS_PER_CHARACTER * len(text)) / speed * PLAYOUT_RATE
    if (
        isinstance(samples, np.ndarray)
        and samples.ndim == 1
        and np.issubdtype(samples.dtype, np.floating)
        and len(samples) <= longest
        and bool(np.isfinite(samples).all())
    ):
        return samples.astype(np.float32, copy=False)
    raise SynthesisError("bad_output", "The voice returned something that is no speech.")


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
    ) -> None:
        self._engine, self._utterance, self._targets = engine, utterance, dict(targets)
        self._emit, self._pace, self._priority = emit, pace, priority
        self._foresight = foresight
        self._begun = time.perf_counter()
        self._stages: dict[str, float] = {}

    async def run(self) -> None:
        try:
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
        request = translations.request(self._engine, self._utterance, self._targets)
        call = ("transcribe", self._utterance.audio.samples, request)
        try:
            return await self._engine.recogniser.call(*call, priority=self._priority)
        except WorkerError as error:
            if error.code != "worker_died":
                raise
            return await self._engine.recogniser.call(*call, priority=self._priority)

    async def _into(self, target: str, heard: Recognition) -> None:
        try:
            begun = time.perf_counter()
            text, route = await translations.translate(self._engine, heard, target, self._priority)
            self._time(f"translate {target}", begun)
            self._emit(Translation(self._utterance.id, target, text, route.quality))
            voice = self._targets[target]
            if voice is not None:
                await self._speak(text, target, voice)
        except BabbleFishError as error:
            self._notice(error, target)

    async def _speak(self, text: str, language: str, voice: str) -> None:
        pool = self._engine.synthesiser(language)
        if pool is None:
            return
        begun = time.perf_counter()
        foreseen = self._foresight.find(text, language, voice) if self._foresight else None
        parts = foreseen[1] if foreseen else clauses.split(text, language)
        heard_until = None
        for number, clause in enumerate(parts):
            samples, speed = None, self._pace(language)
            if speed is None:
                break
            if number == 0 and foreseen:
                samples, speed = await self._foreseen(foreseen[0]), foreseen[0].speed
            if samples is None:
                samples = await self._say(pool, clause.text, language, voice, speed, heard_until)
            last = number == len(parts) - 1
            if not last:
                pause = np.zeros(int(clause.pause_after / speed * PLAYOUT_RATE), np.float32)
                samples = np.concatenate([samples, pause])
            self._emit(
                Speech(
                    self._utterance.id, language, number, clause.text,
                    Audio(samples, PLAYOUT_RATE), voice, last,
                )
            )  # fmt: skip
            now = time.monotonic()
            heard_until = max(heard_until or now, now) + len(samples) / PLAYOUT_RATE
            if number == 0:
                self._time(f"first clause {language}", begun)
                self._time(f"first audio {language}", self._begun)
        if parts:
            self._time(f"speak {language}", begun)

    async def _say(
        self, pool: WorkerPool, text: str, language: str, voice: str, speed: float,
        deadline: float | None,
    ) -> np.ndarray:  # fmt: skip
        """deadline: when what was said before has been heard; None: at once."""
        raw = await pool.call(
            "synthesise", text, language, voice, speed, priority=self._priority, deadline=deadline
        )
        return checked_speech(raw, text, speed)

    async def _foreseen(self, foreseen: Foreseen) -> np.ndarray | None:
        """What was spoken in advance; None if that failed, and it has to be said now."""
        try:
            raw = await asyncio.shield(foreseen.speech)
            return checked_speech(raw, foreseen.text, foreseen.speed)
        except BabbleFishError:
            return None

    def _time(self, stage: str, begun: float) -> None:
        self._stages[stage] = round((time.perf_counter() - begun) * 1000, 1)

    def _notice(self, error: BabbleFishError, language: str | None = None) -> None:
        self._emit(Notice(self._utterance.id, error.code, error.message, error.stage, language))
