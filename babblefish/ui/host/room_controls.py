"""What a room is for, who comes in and what is said in it: the controls of its settings that are
more than a slider. Makes Gradio components and says what they show; changes rooms only when told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gradio as gr

from rooms import presets
from rooms.glossary import MOST_TERMS

if TYPE_CHECKING:
    from rooms.hub import Hub
    from rooms.room import Room

CHOICES = [(preset.label, name) for name, preset in presets.PRESETS.items()]


VOICES = [
    ("Own voice when it is ready, neutral until then", "sequential"),
    ("Begin in a neutral voice, change to the own one in mid-sentence", "replace"),
    ("Neutral voices only", "neutral"),
]
_VOICES = {
    "sequential": "From their second sentence on, people are waited for a little; no sentence "
    "is said twice.",
    "replace": "Sound starts as early as it can; only what was not heard yet is replaced.",
    "neutral": "Nobody is imitated in this room.",
}


def describe_voices(room: Room) -> str:
    told = _VOICES[room.settings.voices]
    if room.settings.voices == "neutral":
        return told
    return f"{told} Needs a laptop that speaks, and holds only for people who agreed to it."


def describe(name: str) -> str:
    return presets.PRESETS[name].sentence


def create(shown: dict[str, Any]) -> None:
    """Adds them to the parts of the page in ``shown``."""
    shown["preset"] = gr.Radio(CHOICES, label="Made for", elem_id="bf-preset")
    shown["voices"] = gr.Radio(
        VOICES, label="Whose voice speaks the translations", elem_id="bf-voices"
    )
    shown["waiting"] = gr.Checkbox(
        label="People wait until you admit them",
        info="Whoever joins sees nothing of the room until then.",
    )
    shown["glossary"] = gr.Textbox(
        label="Names and terms, one per line", lines=4, max_lines=12, max_length=5000,
        placeholder="Zyrianova\nBabbleFish\nISO 27001", elem_id="bf-glossary",
    )  # fmt: skip


def wanted(room: Room) -> dict[str, dict[str, Any]]:
    """Part → the keyword arguments of its update, for the state of things now."""
    able = room.engine.recogniser_capabilities.glossary
    listens = "They are listened for" if able else "They are written as you spell them"
    return {
        "preset": {"value": room.settings.preset, "info": describe(room.settings.preset)},
        "voices": {"value": room.settings.voices, "info": describe_voices(room)},
        "waiting": {"value": room.settings.waiting_list},
        "glossary": {
            "value": room.settings.glossary,
            "info": f"{listens}, and translations leave them as they are. The names of the "
            f"people in the room are known already. At most {MOST_TERMS}.",
        },
    }


def changes(hub: Hub) -> dict[str, Callable[[Room, Any], None]]:
    """Part → what its change does. They raise RoomError."""
    return {
        "preset": lambda room, value: room.set(**presets.changes(str(value), hub.usual)),
        "voices": lambda room, value: room.set(voices=str(value)),
        "waiting": lambda room, value: room.set(waiting_list=bool(value)),
        "glossary": lambda room, value: room.set(glossary=str(value)),
    }
