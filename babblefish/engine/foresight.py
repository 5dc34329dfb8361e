"""Speaks the beginning of a sentence before its end is known.

While somebody is still talking, partial translations often begin with a clause that the final one
will begin with too. Synthesised then, while the machine waits for more speech anyway, it is ready
when the sentence ends, and sound starts right after recognition. A clause that the final
translation does not begin with is thrown away: what is heard is never a guess.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from babblefish.engine import clauses
from babblefish.engine.clauses import Clause
from babblefish.engine.job_queue import Priority
from babblefish.engine.workers import WorkerPool
from babblefish.protocol import Translation

_MOST = 3
"""clauses tried per utterance and language"""
_ROOM_FOR_MORE = 2
"""words that must follow a clause before it is believed: the last ones often change"""
_UNSURE_OF_SHORT = 1
"""words at the end of a text too short for that which are not believed"""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A clause that is being, or has been, synthesised."""

    text: str
    voice: str
    speed: float
    speech: asyncio.Task[np.ndarray]

    @property
    def given_up(self) -> bool:
        return self.speech.cancelled() or self.speech.cancelling() > 0

    def give_up(self) -> None:
        """Nobody will hear it; what is done already stays, it costs nothing."""
        if not self.speech.done():
            self.speech.cancel()


class Foresight:
    """The beginnings of one utterance, per language."""

    def __init__(
        self,
        synthesiser: Callable[[str], WorkerPool | None],
        pace: Callable[[str], float | None] = lambda language: 1.0,
        priority: Priority = Priority.NEXT,
    ) -> None:
        """synthesiser, pace: language → who speaks it, how fast."""
        self._synthesiser, self._pace, self._priority = synthesiser, pace, priority
        self._foreseen: dict[str, list[Foreseen]] = {}

    def expect(self, translation: Translation, voices: Mapping[str, str | None]) -> None:
        """A partial translation: start on its first clause if no synthesis would wait for it.

        voices: as ``targets`` of ``Engine.process``.
        """
        language, voice = translation.language, voices.get(translation.language)
        pool = self._synthesiser(language)
        first = _beginning(translation.text, language)
        if voice is None or pool is None or first is None or not pool.idle:
            return
        tried = self._foreseen.setdefault(language, [])
        if len(tried) >= _MOST or any((f.text, f.voice) == (first, voice) for f in tried):
            return
        speed = self._pace(language) or 1.0
        call = pool.call("synthesise", first, language, voice, speed, priority=self._priority)
        task = asyncio.create_task(call, name="foresight")
        task.add_done_callback(_ignore)
        tried.append(Foreseen(first, voice, speed, task))

    def find(self, text: str, language: str, voice: str) -> tuple[Foreseen, list[Clause]] | None:
        """The longest clause spoken in advance that ``text`` begins with, and all clauses of
        ``text`` cut accordingly. Synthesis of the others is given up: it would delay this one."""
        found = None
        for foreseen in sorted(self._foreseen.get(language, ()), key=lambda f: -len(f.text)):
            parts = clauses.split_after(text, foreseen.text, language)
            if found is None and foreseen.voice == voice and parts and not foreseen.given_up:
                found = foreseen, parts
            else:
                foreseen.give_up()
        return found


def _beginning(text: str, language: str) -> str | None:
    """The first clause, if enough follows it; of a text that is hardly more than a clause, what
    stands before its last word."""
    parts = clauses.split(text, language)
    if not parts:
        return None
    if len(text[len(parts[0].text) :].split()) >= _ROOM_FOR_MORE:
        return parts[0].text
    return clauses.opening(text, language, _UNSURE_OF_SHORT)


def _ignore(task: asyncio.Task) -> None:
    """A clause that could not be spoken in advance is spoken again when it is needed."""
    if not task.cancelled():
        task.exception()
