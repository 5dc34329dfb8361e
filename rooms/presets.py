"""What rooms are made for: a starting point for the settings of each kind of meeting.

A preset is in force at once when the host chooses another one; what it does not speak of (the
names and terms, whether people wait to be let in) stays as the host set it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from babblefish.errors import RoomError
from rooms.room_settings import RoomSettings


@dataclass(frozen=True, slots=True)
class Preset:
    label: str
    sentence: str
    """for the host: what is different"""
    settings: RoomSettings


PRESETS: dict[str, Preset] = {
    "meeting": Preset(
        "Stand-up or meeting",
        "Everybody talks and hears everybody else; originals are heard softly underneath.",
        RoomSettings(),
    ),
    "lecture": Preset(
        "Lecture",
        "Everybody listens; only those whom you make presenters are heard. Originals are very "
        "quiet, and nothing of a long talk is skipped.",
        RoomSettings(
            original_level=0.05, lag_budget=30.0, preset="lecture", listen_only=True,
            shared_phones=False,
        ),
    ),
    "interview": Preset(
        "Interview",
        "Two people at one phone or tablet hear each other, each in their own language: they "
        "choose both as they join. Each sentence's language is detected. Others may listen in.",
        RoomSettings(
            original_level=0.1, preset="interview", shared_phones=True, detect_language=True
        ),
    ),
}  # fmt: skip
_GOVERNED = (
    "original_level", "lag_budget", "preset", "listen_only", "shared_phones", "detect_language",
)  # fmt: skip


def settings(name: str, usual: RoomSettings) -> RoomSettings:
    """To open a room with. usual: what the server was told to open meetings with.

    Raises RoomError("preset").
    """
    preset = _known(name)
    if name == "meeting":
        return replace(preset.settings, original_level=usual.original_level,
                       lag_budget=usual.lag_budget)  # fmt: skip
    return preset.settings


def changes(name: str, usual: RoomSettings) -> dict[str, Any]:
    """For ``Room.set``: an open room becomes one of another kind. Raises RoomError("preset")."""
    wanted = settings(name, usual)
    return {field: getattr(wanted, field) for field in _GOVERNED}


def _known(name: str) -> Preset:
    if name not in PRESETS:
        raise RoomError("preset", f"Known presets: {', '.join(PRESETS)}.")
    return PRESETS[name]
