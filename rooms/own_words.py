"""What a phone's own loudspeaker said, found again in what its microphone heard.

Of phones that two people share: the translation for one of them comes out of the loudspeaker right
beside the microphone. Keeps the last sentences' text in memory only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from babblefish.engine import bleed, own_echo
from babblefish.engine.stages import SPEECH_RATE
from babblefish.protocol import Audio, Translation, Utterance
from rooms.soundings import KEPT_SECONDS, Recorded, Soundings

_MOST = 100
"""translations remembered"""
_MOST_LEVELS = 9
"""utterances, partial ones too, by which it is known how loud people are"""
_COVERED = 0.7
"""part of an utterance during which the loudspeaker must have been heard"""


class OwnWords:
    """Of one room."""

    def __init__(self, sounds: Soundings) -> None:
        self._sounds = sounds
        self._texts: dict[tuple[str, ...], str] = {}
        """(utterance, language) → translation"""
        self._levels: dict[str, deque[float]] = {}
        """member → loudness of what was said there while the phone was silent"""

    def forget(self, member: str) -> None:
        self._levels.pop(member, None)

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

    async def without(
        self, utterance: Utterance, calculate: Callable[..., Awaitable[Any]]
    ) -> Cleaned:
        """``utterance`` without what the phone played itself. calculate: see
        ``Engine.calculate``."""
        end = utterance.start + utterance.audio.seconds
        around = self._sounds.loudspeaker(utterance.member, utterance.start, end)
        sounds = (around.recorded() or []) if around else []
        levels = self._levels.setdefault(utterance.member, deque(maxlen=_MOST_LEVELS))
        if not sounds:
            levels.append(await calculate(own_echo.loudness, utterance.audio.samples))
            return Cleaned(utterance)
        texts = [self._texts.get(sound.source[:2], "") for sound in sounds]
        usual = float(np.median(levels)) if levels else None
        return await calculate(clean, utterance, sounds, texts, usual)


@dataclass(frozen=True, slots=True)
class Cleaned:
    utterance: Utterance
    words: tuple[str, ...] = ()
    """what the phone said nearly all the time while anything was heard"""


def clean(
    utterance: Utterance, sounds: Sequence[Recorded], texts: Sequence[str],
    usual: float | None = None,
) -> Cleaned:  # fmt: skip
    """sounds: what the loudspeaker played, each with its text. usual: see ``own_echo.silenced``.
    Takes some ten milliseconds."""
    microphone = utterance.audio.samples
    played = [(_sound(each), each.start - utterance.start) for each in sounds]
    late = own_echo.delays(microphone, played)
    if late is None:
        return Cleaned(utterance)
    mixed, words = np.zeros(len(microphone), np.float32), []
    length = utterance.end - utterance.start
    for (sound, begins), delay, text in zip(played, late, texts, strict=True):
        offset = round((begins + delay) * SPEECH_RATE)
        first, end = max(0, offset), min(len(mixed), offset + len(sound))
        if first >= end:
            continue
        mixed[first:end] += sound[first - offset : end - offset]
        # who repeats what the phone has said begins when it has finished
        if text and (end - first) / SPEECH_RATE >= _COVERED * length and text not in words:
            words.append(text)
    samples = own_echo.silenced(microphone, mixed, usual)
    audio = Audio(samples, utterance.audio.rate)
    return Cleaned(replace(utterance, audio=audio), tuple(words))


def _sound(recorded: Recorded) -> np.ndarray:
    sound = recorded.sounding().sound
    assert sound is not None
    return sound
