"""Helpers for tests of the storage: a real one in a folder, people in it, and its bytes."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np

from babblefish.storage.records import (
    ConsentForm,
    NewClip,
    Purpose,
    Retention,
    SpokenLine,
    StoredRoom,
    TokenHash,
    TranslatedLine,
)
from babblefish.storage.storage import Storage

ROOT = Path(__file__).resolve().parents[1]
NOW = 1_800_000_000.0
QUICK: dict[str, Any] = {"busy_seconds": 0.05, "retry": (0.02, 0.1)}


@contextlib.asynccontextmanager
async def opened(folder: Path, **options: Any) -> AsyncIterator[Storage]:
    storage = Storage(folder, clock=lambda: NOW, **(QUICK | options))
    await storage.start()
    try:
        yield storage
    finally:
        await storage.close()


def form(purpose: Purpose, wording: str = "I agree.", given_by: str = "themselves") -> ConsentForm:
    return ConsentForm(purpose, given_by, wording, "2", "en")


def voiceprint(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(256).astype("<f4")


def clip(text: str = "one two three", **fields: Any) -> NewClip:
    audio = b"RIFF" + text.encode() * 50
    return NewClip(**({"audio": audio, "seconds": 4.5, "text": text, "language": "en",
                       "source": "enrolment", "quality": {"snr_db": 30.5}} | fields))  # fmt: skip


def room(code: str = "r00m", **fields: Any) -> StoredRoom:
    return StoredRoom(**({"code": code, "name": "Stand-up", "preset": "meeting", "created": NOW,
                          "tokens": (TokenHash("ab" * 32, NOW + 60),)} | fields))  # fmt: skip


def kept_for(days: int) -> Retention:
    return Retention("days", days)


def said(number: int, text: str = "", **fields: Any) -> SpokenLine:
    return SpokenLine(**({"room": "r00m", "utterance": f"u{number}", "sequence": number,
                          "speaker_name": "Dan", "language": "en", "text": text or f"line {number}",
                          "start": NOW + number} | fields))  # fmt: skip


def in_french(number: int, text: str, **fields: Any) -> TranslatedLine:
    return TranslatedLine("r00m", f"u{number}", "fr", text, **fields)


def contains(folder: Path, *needles: bytes) -> list[str]:
    """Which of ``needles`` lie anywhere in any file of ``folder``, and where."""
    return [
        f"{path.name}: {needle[:20]!r}"
        for path in folder.rglob("*")
        if path.is_file()
        for needle in needles
        if needle in path.read_bytes()
    ]


def python(script: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    """A process of its own that runs ``script``; its output can be read line by line."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options,
    )  # fmt: skip
