"""The real rooms on an engine that offers languages and voices but is never asked for speech."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np

from babblefish.engine.stages import SpeakerEncoderCapabilities
from babblefish.settings import Settings
from rooms.hub import Hub
from rooms.publication import TraceRow
from rooms.room import Room


class QuietEngine:
    """The part of ``Engine`` that rooms without speech use."""

    profile_name, strain = "quiet", 0.0
    pools: tuple = ()
    recogniser_capabilities = SimpleNamespace(
        languages=frozenset({"en", "fr", "pl", "ar"}), glossary=True
    )
    speaker_encoder = SimpleNamespace(
        capabilities=SpeakerEncoderCapabilities("fake", 2, 0.3, {1.0: 0.9, 3.0: 0.95})
    )

    def languages(self) -> list:
        return []

    def hearing(self, language: str) -> str | None:
        return "voice" if language in self.recogniser_capabilities.languages else None

    def voices(self, language: str) -> tuple[str, ...]:
        return (f"{language}-1", f"{language}-2")

    def prepare(self, spoken: set[str], heard: set[str]) -> None:
        pass

    def pair(self, source: str, target: str) -> str:
        return "good"

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def listen(self) -> QuietStream:
        return QuietStream()


class QuietStream:
    frame_samples = 512

    async def probability(self, frame: np.ndarray, patience: float = 0.0) -> float:
        return 0.0


def hub(**settings) -> Hub:
    return Hub(Settings(http=True, **settings), QuietEngine())


def trace(room: Room, speaker: str = "Pierre", total_ms: float | None = 900.0, **changes) -> None:
    """Add one utterance to the room's trace."""
    number = len(room.conversation.traces)
    values = {
        "utterance": f"u{number}", "at": time.time() + number,
        "speaker": speaker, "language": "fr", "targets": ("en", "pl"), "audio_s": 2.4,
        "stages_ms": {"recognise": 412.0, "translate en": 31.0, "first clause en": 380.5,
                      "translate pl": 44.0, "speak en": 900.0},
        "total_ms": total_ms, "outcome": "spoken",
    }  # fmt: skip
    room.conversation.traces.append(TraceRow(**(values | changes)))
