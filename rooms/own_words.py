"""What a phone's own loudspeaker said, found again in what its microphone heard.

Of phones that two people share: the translation for one of them comes out of the loudspeaker right
beside the microphone. Keeps the last sentences' text in memory only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from babblefish.engine import bleed, own_echo
from babblefish.protocol import Translation, Utterance
from rooms.soundings import KEPT_SECONDS, Recorded, Soundings

_MOST = 100
"""translations remembered"""
_COVERED = 0.7
"""part of an utterance during which the loudspeaker must have been heard"""


class OwnWords:
    """Of one room."""

    def __init__(self, sounds: Soundings) -> None:
        self._sounds = sounds
        self._texts: dict[tuple[str, ...], str] = {}
        """(utterance, language) → translation"""

    def saying(self, translation: Translation) -> None:
        """It is going to be played."""
        self._texts[translation.utterance, translation.language] = translation.text
        while len(self._texts) > _MOST:
            self._texts.pop(next(iter(self._texts)))

    def may_be(self, member: str, text: str) -> bool:
        """Whether a partial caption of what the member's microphone hears says nothing but what
        their phone plays. Costs no look at the sound."""
        played = self._sounds.played_since(member, bleed.LATE_SECONDS + KEPT_SECONDS / 10)
        return own_echo.repeats(text, [self._texts[of] for of in played if of in self._texts])

    async def heard_in(
        self, utterance: Utterance, calculate: Callable[..., Awaitable[bool]]
    ) -> tuple[str, ...]:
        """Of what the phone played, what its microphone heard with ``utterance`` for all that can
        be told. calculate: see ``Engine.calculate``."""
        end = utterance.start + utterance.audio.seconds
        around = self._sounds.loudspeaker(utterance.member, utterance.start, end)
        found = []
        for sound in (around.recorded() or []) if around else []:
            text = self._texts.get(sound.source[:2])
            if text and text not in found and await calculate(_is_covered, utterance, sound):
                found.append(text)
        return tuple(found)


def _is_covered(utterance: Utterance, recorded: Recorded) -> bool:
    """Whether the microphone heard it, and for about as long as anything was said: who repeats
    what the phone has said begins when it has finished."""
    sounding = recorded.sounding()
    assert sounding.sound is not None
    begins = sounding.start - utterance.start
    late = bleed.delay(utterance.audio.samples, sounding.sound, begins)
    if late is None:
        return False
    length = utterance.end - utterance.start
    first, last = begins + late, sounding.end - utterance.start + late
    return min(last, length) - max(first, 0.0) >= _COVERED * length
