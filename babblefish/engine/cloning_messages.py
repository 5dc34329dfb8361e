"""What rooms ask of the laptops that speak in people's own voices, and what they get.

Plain data: no laptop, no network.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from babblefish import accelerator_protocol as wire


@dataclass(frozen=True, slots=True)
class CloneReference:
    """How somebody sounds."""

    speaker: str
    """id of the person, as laptops may know it"""
    digest: str
    """names clip and text: another digest is another reference of the same person"""
    text: str = field(repr=False)
    """what is said in the clip"""
    language: str
    clip: np.ndarray = field(repr=False, compare=False)
    """float32 (n,) in [-1, 1]"""
    rate: int
    """Hertz, 8000 to 48000"""

    @classmethod
    def of(
        cls, speaker: str, text: str, language: str, clip: np.ndarray, rate: int
    ) -> CloneReference:
        """With the digest that follows from its content. About 2 ms for ten seconds of sound."""
        digest = wire.digest_of(wire.encode_audio(clip), text, rate)
        return cls(speaker, digest, text, language, clip, rate)


@dataclass(frozen=True, slots=True)
class CloneRequest:
    """Say ``clauses``, one after the other, in the voice of ``reference``."""

    id: str
    """of the utterance; laptops do not see it"""
    speaker: str
    speaker_name: str = field(repr=False)
    language: str
    clauses: tuple[str, ...] = field(repr=False)
    reference: CloneReference


@dataclass(frozen=True, slots=True)
class ClonedClause:
    number: int
    """0, 1, 2 … in order, none left out"""
    text: str = field(repr=False)
    samples: np.ndarray = field(repr=False, compare=False)
    """float32 (n,) at PLAYOUT_RATE, checked; as loud as the laptop made it, without a pause after
    it"""
    last: bool
    laptop: str
    """id of the one that spoke"""
    took_s: float
    """from asking to having it"""


LaptopCondition = Literal["connecting", "ready", "preparing", "resting", "away", "refused"]


@dataclass(frozen=True, slots=True)
class LaptopFigures:
    """Since the laptop was added."""

    asked: int = 0
    spoken: int = 0
    """requests whose last clause came"""
    failed: int = 0
    """those that went wrong or came too late"""
    given_up: int = 0
    """those for which nobody waited to the end: overtaken by another laptop, or not needed"""
    waiting: int = 0
    """of ours, now"""
    first_clause_s: float | None = None
    """usual time from asking to the first clause, of late"""
    transfer_s: float | None = None
    """what of it passed on the way, not at the laptop"""
    upload_s: float | None = None
    """usual time to hand over a voice"""


@dataclass(frozen=True, slots=True)
class LaptopState:
    """One laptop, for the admin's page and ``/status``."""

    id: str
    name: str
    condition: LaptopCondition
    message: str
    """the same for people, in English"""
    asked_now: bool
    """whether it would be asked now"""
    transport: Literal["https", "websocket", ""]
    """how it is reached; "": not at all"""
    health: wire.Health | None
    """as it last answered"""
    health_age_s: float | None
    figures: LaptopFigures
    owed_deletions: int
    """voices that it has yet to delete"""
