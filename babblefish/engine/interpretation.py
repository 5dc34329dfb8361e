"""One utterance's way through the engine: recognise, translate, speak, clause by clause.

Each target language runs on its own, so that a slow or failing one holds up no other. Output of
a stage is checked here before anybody sees it: a model that returns garbage becomes a Notice.
"""

from __future__ import annotations

import asyncio
import difflib
import math
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from babblefish.engine import clauses
from babblefish.engine.routes import Route
from babblefish.engine.stages import PLAYOUT_RATE, Recognition, RecognitionRequest
from babblefish.engine.workers import Priority
from babblefish.errors import (
    BabbleFishError,
    RecognitionError,
    SynthesisError,
    TranslationError,
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
_SAME = 0.85
"""similarity from which a "translation" is the original; related languages stay below"""


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


def _is_untranslated(text: str, original: str) -> bool:
    """Whether a recogniser asked to translate has merely written down what was said."""
    return difflib.SequenceMatcher(None, text.casefold(), original.casefold()).ratio() > _SAME


class Interpretation:
    """See ``Engine.process`` for the parameters."""

    def __init__(
        self,
        engine: Engine,
        utterance: Utterance,
        targets: Mapping[str, str | None],
        emit: Callable[[EngineMessage], None],
        pace: Callable[[str], float],
        priority: Priority,
    ) -> None:
        self._engine, self._utterance, self._targets = engine, utterance, dict(targets)
        self._emit, self._pace, self._priority = emit, pace, priority
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
        call = ("transcribe", self._utterance.audio.samples, self._request())
        try:
            return await self._engine.recogniser.call(*call, priority=self._priority)
        except WorkerError as error:
            if error.code != "worker_died":
                raise
            return await self._engine.recogniser.call(*call, priority=self._priority)

    def _request(self) -> RecognitionRequest:
        """Ask for speech translation only from the languages that some target needs it for."""
        utterance, engine = self._utterance, self._engine
        known = engine.recogniser_capabilities.languages
        declared = utterance.language
        sources = known & {declared} if declared and utterance.language_fixed else known
        into: dict[str, set[str]] = {}
        for target in self._targets:
            for source in sources - {target}:
                route = engine.route(source, target)
                if route and route.kind != "text":
                    into.setdefault(route.through or target, set()).add(source)
        when = frozenset().union(*into.values()) if into else None
        return RecognitionRequest(
            utterance.language, utterance.language_fixed, tuple(sorted(into)), when
        )

    async def _into(self, target: str, heard: Recognition) -> None:
        try:
            route = self._engine.route(heard.language, target)
            if route is None:
                raise TranslationError("pair", "This pair of languages cannot be translated yet.")
            begun = time.perf_counter()
            text = (await self._translate(heard, target, route)).strip()
            self._time(f"translate {target}", begun)
            self._emit(Translation(self._utterance.id, target, text, route.quality))
            voice = self._targets[target]
            if voice is not None:
                await self._speak(text, target, voice)
        except BabbleFishError as error:
            self._notice(error, target)

    async def _translate(self, heard: Recognition, target: str, route: Route) -> str:
        if route.kind == "text":
            return await self._engine.translate(
                heard.text, heard.language, target, priority=self._priority
            )
        pivot = route.through or target
        text = heard.translations.get(pivot)
        if text is None or _is_untranslated(text, heard.text):
            if self._engine.translates_text(heard.language, target):
                return await self._engine.translate(
                    heard.text, heard.language, target, priority=self._priority
                )
            if text is None:
                raise TranslationError("bad_output", "The recogniser returned no translation.")
        if pivot == target:
            return text
        return await self._engine.translate(text, pivot, target, priority=self._priority)

    async def _speak(self, text: str, language: str, voice: str) -> None:
        pool = self._engine.synthesiser(language)
        parts = clauses.split(text, language)
        if pool is None or not parts:
            return
        begun = time.perf_counter()
        for number, clause in enumerate(parts):
            speed = self._pace(language)
            priority = self._priority
            if number and priority is Priority.NOW:
                priority = Priority.NEXT
            raw = await pool.call(
                "synthesise", clause.text, language, voice, speed, priority=priority
            )
            samples = checked_speech(raw, clause.text, speed)
            pause = np.zeros(int(clause.pause_after / speed * PLAYOUT_RATE), np.float32)
            last = number == len(parts) - 1
            if not last:
                samples = np.concatenate([samples, pause])
            self._emit(
                Speech(
                    self._utterance.id, language, number, clause.text,
                    Audio(samples, PLAYOUT_RATE), voice, last,
                )
            )  # fmt: skip
            if number == 0:
                self._time(f"first clause {language}", begun)
                self._time(f"first audio {language}", self._begun)
        self._time(f"speak {language}", begun)

    def _time(self, stage: str, begun: float) -> None:
        self._stages[stage] = round((time.perf_counter() - begun) * 1000, 1)

    def _notice(self, error: BabbleFishError, language: str | None = None) -> None:
        self._emit(Notice(self._utterance.id, error.code, error.message, error.stage, language))
