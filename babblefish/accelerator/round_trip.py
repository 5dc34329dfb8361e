"""A second opinion: what a small recogniser hears in what F5 said.

Only where Whisper base and faster-whisper are installed, as on a laptop that is a room server too,
and where listening is quick beside speaking. It looks for what no level or length tells: words
missing at the beginning, or words of the reference.
"""

from __future__ import annotations

import difflib
import importlib.util
import re
import time
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np

from babblefish.accelerator import sound
from babblefish.accelerator.text import readable
from babblefish.audio import resample
from babblefish.engine.catalogue import WHISPER_BASE
from babblefish.engine.models import state

_RATE = 16_000
_QUICK = 0.25
"""seconds that listening may take"""
_ALIKE = 0.45
"""of letters that must come back; Whisper base mishears a quarter of the words, names above all"""
_LANGUAGES = frozenset({"en", "fr", "de", "es", "it", "fi", "lv", "ru"})
"""where what is heard is written as what is said; elsewhere there are several ways to write it"""
_LEAKED = 3
"""words of the reference in a row, that are not to be said"""


class RoundTrip:
    def __init__(self, model: Any, always: bool) -> None:
        self._model, self._always = model, always
        begun = time.perf_counter()
        self._hear(np.zeros(sound.RATE, np.float32), "en")
        self.seconds = time.perf_counter() - begun
        """that listening to a clause takes"""

    @property
    def worthwhile(self) -> bool:
        return self._always or self.seconds <= _QUICK

    def is_wrong(self, samples: np.ndarray, language: str, text: str, reference: str) -> bool:
        """samples: (n,) float32 at 24 kHz in which ``text`` should be said, after ``reference``."""
        if language not in _LANGUAGES:
            return False
        return differs(text, readable(self._hear(samples, language), language), reference)

    def _hear(self, samples: np.ndarray, language: str) -> str:
        heard, _ = self._model.transcribe(
            resample(samples, sound.RATE, _RATE), language=language, beam_size=1, temperature=0.0,
            without_timestamps=True, condition_on_previous_text=False,
        )  # fmt: skip
        return " ".join(segment.text for segment in heard)


def load(weights_dir: Path, *, always: bool = False) -> RoundTrip | None:
    """None where there is no recogniser. always: use it however long it takes."""
    there = state(WHISPER_BASE, weights_dir) == "installed"
    if not there or importlib.util.find_spec("faster_whisper") is None:
        return None
    from faster_whisper import WhisperModel

    folder = weights_dir / WHISPER_BASE.folder
    return RoundTrip(WhisperModel(str(folder), device="cpu", compute_type="int8"), always)


def differs(text: str, heard: str, reference: str) -> bool:
    """Whether ``heard`` is clearly not ``text``: hardly alike, begun too late, or with words of
    the ``reference``. Scripts and numbers that recognisers write in their own way are forgiven."""
    wanted, found = _words(text), _words(heard)
    if not wanted or not found:
        return bool(wanted)
    letters, others = "".join(wanted), "".join(found)
    matcher = difflib.SequenceMatcher(None, letters, others, autojunk=False)
    if matcher.ratio() < _ALIKE:
        return True
    first = next((block for block in matcher.get_matching_blocks() if block.size >= 3), None)
    missing = len(letters) if first is None else first.a - first.b
    if missing > max(6, len(wanted[0]) + 2):
        return True
    said = " ".join(found)
    runs = zip(*(_words(reference)[i:] for i in range(_LEAKED)), strict=False)
    return any(run in said and run not in " ".join(wanted) for run in map(" ".join, runs))


def _words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    return re.findall(r"\w+", plain)
