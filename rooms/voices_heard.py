"""Which voice each utterance was heard in, in which language, and when.

The engine says what may be heard; only a listener's playout knows what was. Told by it, this keeps
the transcript, the captions of those who come back, and the trace true. Knows no sound.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rooms import figures

if TYPE_CHECKING:
    from rooms.archive import Archive
    from rooms.publication import CaptionLog, TraceRow

_MOST = 200
"""utterances that may still be about to be heard"""


@dataclass(frozen=True, slots=True)
class HeardVoice:
    language: str
    own: bool
    """a copy of the speaker's own"""
    after_s: float
    """from the end of what was said to the first listener's hearing this voice"""


class VoicesHeard:
    """Of one room."""

    def __init__(
        self, archive: Archive, captions: CaptionLog, traces: deque[TraceRow],
        clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self._archive, self._captions = archive, captions
        self._traces, self._clock = traces, clock
        self._ended: dict[str, float] = {}
        self._heard: dict[str, tuple[HeardVoice, ...]] = {}

    def begin(self, utterance: str, waited: float) -> None:
        """Its last sound was made ``waited`` seconds ago."""
        self._ended[utterance] = self._clock() - waited
        while len(self._ended) > _MOST:
            oldest = next(iter(self._ended))
            del self._ended[oldest]
            self._heard.pop(oldest, None)

    def of(self, utterance: str) -> tuple[HeardVoice, ...]:
        return self._heard.get(utterance, ())

    def note(self, utterance: str, language: str, own: bool) -> None:
        """Somebody begins to hear it in this voice."""
        known, ended = self.of(utterance), self._ended.get(utterance)
        if ended is None or any((v.language, v.own) == (language, own) for v in known):
            return
        heard = HeardVoice(language, own, round(max(0.0, self._clock() - ended), 2))
        if all(voice.language != language for voice in known):
            figures.heard(heard.after_s)
        self._heard[utterance] = (*known, heard)
        if own:
            self._archive.voiced(utterance, language, "cloned")
            self._captions.own_voice(utterance, language)
        for number in range(len(self._traces) - 1, -1, -1):
            if self._traces[number].utterance == utterance:
                self._traces[number] = replace(self._traces[number], voices=self._heard[utterance])
                break
