"""What somebody agrees to before BabbleFish keeps anything of their voice, in their language.

Plain data in ``consent_texts.json``. Its version changes with every change of the wording, so that
a stored consent always says which words were agreed to. Knows no people and stores nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Literal

FALLBACK = "en"
AgreedPurpose = Literal["voiceprint", "cloning", "passive_collection"]


@dataclass(frozen=True, slots=True)
class ConsentText:
    """Each statement is one or two sentences; all of them are shown."""

    version: int
    language: str
    title: str
    voiceprint: str
    """that a voiceprint is kept, and what that is"""
    clips: str
    """that recordings are kept, with their text and language"""
    label: str
    """what the voiceprint is for, and that it grants nothing"""
    meetings: str
    """that what is said in meetings may be recorded too, where that was agreed to"""
    own_voice: str
    """what the recordings are for, and that the voice made of them is marked"""
    deletion: str
    """that everything can be deleted at any moment"""
    storage: str
    """where it stays"""
    voluntary: str
    """that everything else works without"""
    agree: str
    """the button's label"""

    @property
    def statements(self) -> tuple[str, ...]:
        """In the order in which they are read."""
        return (
            self.voiceprint, self.label, self.clips, self.own_voice, self.meetings, self.deletion,
            self.storage, self.voluntary,
        )  # fmt: skip

    @property
    def purposes(self) -> dict[AgreedPurpose, list[str]]:
        """What can be agreed to → the statements that are about it."""
        return {
            "voiceprint": [self.voiceprint, self.label],
            "cloning": [self.clips, self.own_voice],
            "passive_collection": [self.meetings],
        }

    @property
    def wording(self) -> str:
        """All of it as one text, to be stored with the consent."""
        return "\n".join((self.title, *self.statements, self.agree))


def version() -> int:
    return _table()["version"]


@lru_cache(maxsize=1)
def languages() -> frozenset[str]:
    """Codes of the languages that have the text."""
    return frozenset(_table()["languages"])


def consent_text(language: str) -> ConsentText:
    """In ``language`` (this program's code), else in English: ``ConsentText.language`` says."""
    table = _table()["languages"]
    language = language if language in table else FALLBACK
    names = {field.name for field in fields(ConsentText)} - {"version", "language"}
    return ConsentText(version(), language, **{name: table[language][name] for name in names})


@lru_cache(maxsize=1)
def _table() -> dict:
    return json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
