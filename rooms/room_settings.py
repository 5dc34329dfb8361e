"""What a host may change while a room is open. Plain values, so that they are easily kept."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from babblefish.errors import RoomError
from rooms import glossary

Voices = Literal["sequential", "replace", "neutral"]
"""How people's own voices are used where a laptop speaks with them: waited for a little, taken over
to in the middle of a sentence, or not at all."""


@dataclass(frozen=True, slots=True)
class RoomSettings:
    """What a host may change while the room is open."""

    original_level: float = 0.2
    """0..1: loudness of originals that a listener does not understand, until they change it"""
    lag_budget: float = 12.0
    """seconds of delay after which sound is skipped and the caption marked"""
    partial_captions: bool = True
    preset: str = "meeting"
    """see ``presets.py``: what the settings below began with"""
    listen_only: bool = False
    """only presenters are heard"""
    presenters: str = ""
    """ids of members, with spaces between them"""
    shared_phones: bool = True
    """people who share a phone are told apart by their voices"""
    detect_language: bool = False
    """whatever people say they speak: each sentence may be in another language"""
    waiting_list: bool = False
    """whoever joins waits until the host lets them in"""
    glossary: str = ""
    """names and terms, one a line"""
    voices: Voices = "sequential"

    def __post_init__(self) -> None:
        if not 0.0 <= self.original_level <= 1.0:
            raise RoomError("setting", "The original voice's level is between 0 and 1.")
        if not 3.0 <= self.lag_budget <= 120.0:
            raise RoomError("setting", "The lag budget is between 3 and 120 seconds.")
        if self.voices not in get_args(Voices):
            raise RoomError("setting", f"Voices are one of: {', '.join(get_args(Voices))}.")
        glossary.terms(self.glossary)

    @property
    def two_on_a_phone(self) -> bool:
        """Whether two people at one phone may hear each other, each in their own language."""
        return self.preset == "interview"

    def changed(self, **changes: Any) -> RoomSettings:
        """Raises RoomError("setting" | "glossary")."""
        known = {field.name for field in fields(self)}
        if unknown := set(changes) - known:
            raise RoomError("setting", f"There is no setting {', '.join(sorted(unknown))}.")
        return replace(self, **changes)
