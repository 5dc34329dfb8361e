"""Who listens at a phone: one person, or two who share it, each in their own language.

An ``Ear`` is what a publication tells and plays something to. Two of them share one loudspeaker
and therefore one playout, where the second one's tracks have names of their own. Knows no sound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from babblefish.protocol import ServerEvent
from rooms.clips import Clips
from rooms.playout import Playout

if TYPE_CHECKING:
    from rooms.member import Member


class Ear:
    """Made by ``Member.ears``."""

    def __init__(self, member: Member, hears: str, second: bool = False) -> None:
        self.member, self.hears = member, hears
        self.id = f"{member.id}/{hears}" if second else member.id
        playout = member.playout
        self.playout: Playout | Clips | _Aside = _Aside(playout, hears) if second else playout

    @property
    def connected(self) -> bool:
        return self.member.connected

    @property
    def audible(self) -> bool:
        """Whether what is spoken here is heard."""
        return self.member.audible

    def send(self, event: ServerEvent) -> None:
        self.member.send(event)

    def is_told(self, speaker: Member, spoken: str | None) -> bool:
        """Whether what was said in language ``spoken`` (None: not known yet) into ``speaker``'s
        phone is for this ear: of two at one phone, each hears the other."""
        if self.member is not speaker:
            return True
        return speaker.pair is not None and spoken is not None and self.hears != spoken


class _Aside:
    """The playout as the second of two people uses it: each of its methods names an utterance
    first, and theirs are told from the first one's by the language."""

    def __init__(self, playout: Playout | Clips, language: str) -> None:
        self._playout, self._language = playout, language

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._playout, name)

        def named(utterance: str, *values: Any, **more: Any) -> Any:
            return method(f"{utterance}/{self._language}", *values, **more)

        return named


def track(name: str, hears: str) -> tuple[str, str]:
    """(utterance, language) of a playout's track; hears: the first person's language."""
    utterance, _, language = name.partition("/")
    return utterance, language or hears
