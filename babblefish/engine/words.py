"""When the words of a text were said, for the whole of a recording, however long.

Asks a stage that has ``word_times``; a long recording goes to it in pieces that end where it is
quietest, each a job of its own, so that nobody waits long behind them. Checks what comes back.
Knows no rooms and no models.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, Protocol

import numpy as np

from babblefish.engine.job_queue import Priority
from babblefish.engine.stages import SPEECH_RATE, Alignment
from babblefish.errors import RecognitionError
from babblefish.protocol import Word

_PIECE = 28.0
"""seconds of a piece at most; stages take 30"""
_LEAST = 7.0
"""seconds: where the words of a shorter piece cannot be told, those of no part of it can"""
_QUIET = 0.3
"""seconds that a quiet place lasts"""
_HOP = SPEECH_RATE // 100


class Timer(Protocol):
    """A pool of a stage that has ``align``."""

    async def call(self, method: str, *args: Any, **options: Any) -> Any: ...


async def words(
    timer: Timer, samples: np.ndarray, text: str, language: str, priority: Priority
) -> tuple[Word, ...]:
    """See ``Engine.words``."""
    rest = " ".join(text.encode("utf-8", "replace").decode().split())
    found: list[Word] = []
    start, longest = 0, int(_PIECE * SPEECH_RATE)
    while rest and start < len(samples):
        end = piece_end(samples, start, longest)
        whole = end == len(samples)
        raw = await timer.call(
            "align", samples[start:end], rest, language, whole, priority=priority
        )
        seconds = (end - start) / SPEECH_RATE
        aligned = checked(raw, rest, seconds)
        if whole and not aligned.words and seconds > 2 * _LEAST:
            longest = (end - start) // 2  # too much text for one piece
            continue
        offset = start / SPEECH_RATE
        found += [
            Word(w.text, w.start + offset, w.end + offset, w.confidence) for w in aligned.words
        ]
        rest = rest[aligned.used :]
        start = end
    return tuple(found)


def piece_end(samples: np.ndarray, start: int, longest: int) -> int:
    """Where a piece that begins at ``start`` ends: with the recording, or in the quietest place of
    its last third."""
    if len(samples) - start <= longest:
        return len(samples)
    first = start + longest * 2 // 3
    part = samples[first : start + longest]
    hops = len(part) // _HOP
    energy = np.square(part[: hops * _HOP], dtype=np.float64).reshape(hops, _HOP).mean(axis=1)
    width = min(hops, int(_QUIET * 100))
    smooth = np.convolve(energy, np.ones(width), "valid")
    return first + (int(np.argmin(smooth)) + width // 2) * _HOP


def checked(value: Any, text: str, seconds: float) -> Alignment:
    """``value`` if a stage may have meant it, else RecognitionError("bad_output")."""
    if (
        isinstance(value, Alignment)
        and isinstance(value.used, int)
        and 0 <= value.used <= len(text)
        and all(isinstance(word, Word) and isinstance(word.text, str) for word in value.words)
    ):
        times = [0.0, *(t for word in value.words for t in (word.start, word.end)), seconds + 0.1]
        in_order = all(a <= b for a, b in itertools.pairwise(times))
        if in_order and all(math.isfinite(w.confidence) for w in value.words):
            return value
    raise RecognitionError("bad_output", "The recogniser returned something that is no word times.")
