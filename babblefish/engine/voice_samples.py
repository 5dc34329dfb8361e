"""What a voice sounds like, for people who choose one: a few words, synthesised behind what the
rooms say at the moment, and kept for the next who asks."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np

from babblefish.audio import match_loudness, to_int16
from babblefish.engine import clauses, enrolment_prompts
from babblefish.engine.speaking import checked_speech
from babblefish.errors import SynthesisError

if TYPE_CHECKING:
    from babblefish.engine.engine import Engine

_KEPT = 64
_MOST_WAITING = 8
_PATIENCE_S = 75.0
"""phones wait for 90 s"""
_BEHIND_S = 4.0
"""for which clauses of rooms go first; in a talk without a pause there would always be another"""
_TEXT_SECONDS = 2.5


class VoiceSamples:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kept: OrderedDict[tuple[str, str], np.ndarray] = OrderedDict()
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def sample(self, language: str, voice: str) -> np.ndarray:
        """(n,) int16 at PLAYOUT_RATE. Raises SynthesisError("voice" | "busy"), WorkerError."""
        key = (language, voice)
        if voice not in self._engine.voices(language):
            raise SynthesisError("voice", "There is no such voice for this language.")
        if key not in self._kept:
            if self._waiting >= _MOST_WAITING:
                raise _busy()
            self._waiting += 1
            try:
                async with asyncio.timeout(_PATIENCE_S), self._turn:
                    if key not in self._kept:
                        self._kept[key] = await self._speak(language, voice)
            except TimeoutError as error:
                raise _busy() from error
            finally:
                self._waiting -= 1
        self._kept.move_to_end(key)
        found = self._kept[key]
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return found

    async def _speak(self, language: str, voice: str) -> np.ndarray:
        pool = self._engine.synthesiser(language)
        if pool is None:
            raise SynthesisError("voice", "There is no voice for this language.")
        text = _text(language)
        raw = await pool.call(
            "synthesise", text, language, voice, 1.0, deadline=time.monotonic() + _BEHIND_S
        )
        return to_int16(match_loudness(checked_speech(raw, text, 1.0)))


def _text(language: str) -> str:
    """The beginning of a prompt, in the language where there is one."""
    prompt = enrolment_prompts.prompts(language)
    said = ""
    for clause in clauses.split(prompt.sentences[0], prompt.language):
        said = f"{said} {clause.text}".strip()
        if clauses.seconds(said) >= _TEXT_SECONDS:
            break
    return said


def _busy() -> SynthesisError:
    return SynthesisError("busy", "Everybody is talking just now. Try again in a moment.")
