"""Laptops without a laptop: speak in a tone of 3000 Hz, and fail as they are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import numpy as np

from babblefish.engine.cloning_messages import ClonedClause, CloneRequest
from babblefish.engine.stages import PLAYOUT_RATE
from babblefish.errors import CloningError

HERTZ = 3000


@dataclass
class ScriptedCloning:
    """Implements ``two_tier.Cloning``."""

    online: bool = True
    delay: float = 0.05
    """to the first clause"""
    between: float = 0.0
    """seconds before each other clause"""
    dies_before: int | None = None
    """the clause that never comes: the laptop was killed"""
    hangs_before: int | None = None
    expects: float | None = 0.05
    per_character: float = 0.05
    requests: list[CloneRequest] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)

    def speaks(self, language: str) -> bool:
        return self.online and language in ("en", "es")

    def expected(self, text: str, language: str) -> float | None:
        return self.expects if self.speaks(language) else None

    def forget(self, speaker: str) -> None:
        self.forgotten.append(speaker)

    async def speak(self, request: CloneRequest, deadline: float) -> AsyncGenerator[ClonedClause]:
        self.requests.append(request)
        try:
            for number, text in enumerate(request.clauses):
                if number == self.dies_before:
                    raise CloningError("unreachable", "The laptop went away.")
                if number == self.hangs_before:
                    await asyncio.sleep(3600)
                await asyncio.sleep(self.between if number else self.delay)
                last = number == len(request.clauses) - 1
                yield ClonedClause(
                    number, text, spoken(text, self.per_character), last, "laptop", self.delay
                )
            self.answered.append(request.id)
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.append(request.id)
            raise


def spoken(text: str, per_character: float) -> np.ndarray:
    t = np.arange(int(per_character * len(text) * PLAYOUT_RATE)) / PLAYOUT_RATE
    return (0.1 * np.sin(2 * np.pi * HERTZ * t)).astype(np.float32)
