"""When does an utterance start, pause and end: a pure state machine.

In go one speech probability and one level per voice-activity frame, out come decisions in
samples. It knows no audio, clock, model or room; time is the number of frames received.

The endpoint is adaptive. A pause of ``pause_s`` is reported at once, so that work on what may be
the whole utterance can start early; the utterance ends when the pause outlasts the *endpoint*:
shorter when the recogniser says the sentence sounds complete or the utterance is already long,
longer for a speaker who was cut off before.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

_LOUDNESS_DECAY = 0.995
"""per frame: after four seconds, half"""
_FLOOR_S = 3.0
"""seconds before an utterance that tell what silence is like"""
_INAUDIBLE = 2e-4
"""a level (linear RMS) that is silence wherever the floor is"""


@dataclass(frozen=True, slots=True)
class SegmenterSettings:
    rate: int = 16_000
    """Hertz of the sample positions in decisions"""
    frame_samples: int = 512
    start_threshold: float = 0.5
    """probability from which a frame opens an utterance"""
    end_threshold: float = 0.35
    """probability below which a frame of a running utterance is a pause"""
    quiet: float = 0.05
    """part of the speaker's loudness (RMS) below which it is one too: models of voice activity
    are slow to let go, by a third of a second, which would all be added to the delay"""
    onset_s: float = 0.09
    """voiced time, within twice that long, before an utterance is believed"""
    min_speech_s: float = 0.16
    """an utterance with less voiced time than this is discarded"""
    pre_roll_s: float = 0.35
    """kept from before the onset, so that first syllables are whole"""
    reach_back_s: float = 0.8
    """the onset is where sound began, as far as it went on from there: models of voice activity
    believe a quiet voice after long silence only half a second later"""
    reach_gap_s: float = 0.14
    """silence that may be inside of that"""
    above_floor: float = 4.0
    """times the level (RMS) of silence that is sound"""
    pause_s: float = 0.12
    """silence after which a possible end is reported"""
    endpoint_complete_s: float = 0.55
    """silence that ends a sentence that sounds complete"""
    endpoint_s: float = 0.8
    """silence that ends any other"""
    max_patience: float = 1.6
    """largest factor on both for a speaker who pauses inside sentences"""
    long_s: float = 7.0
    """from this length on, endpoints shrink, to keep the delay bounded"""
    max_s: float = 12.0
    """a longer utterance is split"""
    split_search_s: float = 4.0
    """the split falls on the quietest moment of this much of its end"""
    tail_s: float = 0.3
    """kept after the last voiced frame of an ended utterance, as far as it has been heard"""
    draft_first_s: float = 0.28
    draft_every_s: float = 0.9
    """when partial captions are worth making"""
    draft_level: float = 0.3
    """part of the speaker's loudness that a frame must have for one: as a word dies away a pause
    may be next, and what may be the whole utterance must not wait for a partial caption"""


@dataclass(frozen=True, slots=True)
class Started:
    start: int
    """first sample, pre-roll included"""


@dataclass(frozen=True, slots=True)
class Draft:
    """Still talking: a good moment for a partial caption of [start, end)."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Paused:
    """[start, end) may be the whole utterance."""

    start: int
    end: int
    voiced_end: int
    """first sample after the last voiced frame"""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The pause reported last was none."""


@dataclass(frozen=True, slots=True)
class Ended:
    """[start, end) is an utterance; unless ``forced``, nothing was said since the last Paused
    with the same ``voiced_end``."""

    start: int
    end: int
    voiced_end: int
    forced: bool = False
    """split while the speaker went on talking"""


@dataclass(frozen=True, slots=True)
class Discarded:
    """What Started announced was too short to be speech."""


Decision = Started | Draft | Paused | Resumed | Ended | Discarded


class Segmenter:
    """One speaker's microphone. ``push`` each frame; see the module docstring."""

    def __init__(self, settings: SegmenterSettings | None = None) -> None:
        self.settings = settings or SegmenterSettings()
        self._frame_s = self.settings.frame_samples / self.settings.rate
        self._frames = 0
        self._patience = 1.0
        self._last_end = 0
        self._since_end = 0
        """frames since the last unforced end, for learning patience"""
        onset_window = max(2, round(2 * self.settings.onset_s / self._frame_s))
        self._onset: deque[bool] = deque(maxlen=onset_window)
        self._before: deque[float] = deque(maxlen=round(_FLOOR_S / self._frame_s))
        """levels since the last utterance"""
        self._speaking = False
        self._reset()

    def _reset(self) -> None:
        self._start = 0
        self._voiced = 0
        self._voiced_end = 0
        self._pause = 0
        self._paused = False
        self._complete: bool | None = None
        self._next_draft = 0.0
        self._loudness = 0.0
        self._levels: list[tuple[float, float]] = []
        """(probability, level) of each frame of the utterance"""

    @property
    def speaking(self) -> bool:
        return self._speaking

    @property
    def position(self) -> int:
        """Samples received."""
        return self._frames * self.settings.frame_samples

    @property
    def keep_from(self) -> int:
        """Earliest sample that a later decision can name; older audio may be forgotten."""
        if self._speaking:
            return self._start
        s = self.settings
        reach = s.pre_roll_s + s.reach_back_s + 2 * s.onset_s + 0.1
        return max(0, self.position - round(reach * s.rate))

    def hint(self, complete: bool) -> None:
        """Whether what was said up to the pause reported last sounds like a whole sentence."""
        if self._paused:
            self._complete = complete

    def push(self, probability: float, level: float) -> list[Decision]:
        """One frame: speech probability 0..1 and level (linear RMS) → decisions, in order."""
        self._frames += 1
        if not self._speaking:
            return self._push_silence(probability, level)
        return self._push_speech(probability, level)

    def flush(self) -> list[Decision]:
        """The microphone closed: end what is running."""
        self._onset.clear()
        if not self._speaking:
            return []
        return self._end(forced=False)

    def _push_silence(self, probability: float, level: float) -> list[Decision]:
        s = self.settings
        self._since_end += 1
        self._before.append(level)
        self._onset.append(probability >= s.start_threshold)
        if sum(self._onset) * self._frame_s < s.onset_s:
            return []
        if self._since_end * self._frame_s < 0.35 and self._last_end:
            self._patience = min(s.max_patience, self._patience * 1.15)
        self._open(self.position - self._frames_of_sound() * s.frame_samples)
        self._voiced = sum(self._onset)
        self._onset.clear()
        self._before.clear()
        self._levels.append((probability, level))
        self._voiced_end = self.position
        return [Started(self._start)]

    def _frames_of_sound(self) -> int:
        """How many frames ago the sound began that has led up to this onset, without a gap longer
        than ``reach_gap_s``; at least as many as made the onset."""
        s = self.settings
        levels = list(self._before)[::-1]
        sound = max(_INAUDIBLE, s.above_floor * sorted(levels)[len(levels) // 5])
        count = len(self._onset)
        for number in range(count, min(len(levels), count + round(s.reach_back_s / self._frame_s))):
            if levels[number] > sound:
                count = number + 1
            elif (number + 1 - count) * self._frame_s > s.reach_gap_s:
                break
        return count

    def _open(self, onset: int) -> None:
        s = self.settings
        self._reset()
        self._speaking = True
        self._start = max(self._last_end, onset - round(s.pre_roll_s * s.rate), 0)
        self._next_draft = s.draft_first_s + (self.position - self._start) / s.rate

    def _push_speech(self, probability: float, level: float) -> list[Decision]:
        s = self.settings
        out: list[Decision] = []
        self._levels.append((probability, level))
        if self._is_voiced(probability, level):
            self._voiced += 1
            self._voiced_end = self.position
            self._pause = 0
            if self._paused:
                self._paused, self._complete = False, None
                out.append(Resumed())
        else:
            self._pause += 1
        length = (self.position - self._start) / s.rate
        pause = self._pause * self._frame_s
        if not self._paused and pause >= s.pause_s and self._voiced_s() >= s.min_speech_s:
            self._paused = True
            out.append(Paused(self._start, self._end_sample(), self._voiced_end))
        if pause >= self._endpoint():
            return out + self._end(forced=False)
        if length >= s.max_s:
            return out + self._split()
        clear = self._pause == 0 and level >= s.draft_level * self._loudness
        if clear and length >= self._next_draft:
            self._next_draft = length + s.draft_every_s
            out.append(Draft(self._start, self.position))
        return out

    def _is_voiced(self, probability: float, level: float) -> bool:
        s = self.settings
        self._loudness = max(level, self._loudness * _LOUDNESS_DECAY)
        threshold = s.start_threshold if self._pause else s.end_threshold
        return probability >= threshold and level >= s.quiet * self._loudness

    def _voiced_s(self) -> float:
        return self._voiced * self._frame_s

    def _endpoint(self) -> float:
        """Seconds of silence that end the utterance now."""
        s = self.settings
        if self._voiced_s() < s.min_speech_s:
            return s.endpoint_complete_s
        base = s.endpoint_complete_s if self._complete else s.endpoint_s
        length = (self._voiced_end - self._start) / s.rate
        shrink = max(0.6, 1.0 - 0.1 * max(0.0, length - s.long_s))
        return max(s.pause_s + self._frame_s, base * self._patience * shrink)

    def _end_sample(self) -> int:
        tail = round(self.settings.tail_s * self.settings.rate)
        return min(self.position, self._voiced_end + tail)

    def _end(self, forced: bool) -> list[Decision]:
        s = self.settings
        enough = self._voiced_s() >= s.min_speech_s
        ended = Ended(self._start, self._end_sample(), self._voiced_end, forced)
        self._speaking = False
        self._last_end = ended.end
        self._since_end = 0
        self._patience = max(1.0, self._patience * 0.97)
        self._onset.clear()
        return [ended] if enough else [Discarded()]

    def _split(self) -> list[Decision]:
        """Cut at the quietest moment near the end and go on from there as a new utterance."""
        s = self.settings
        span = min(len(self._levels) - 1, round(s.split_search_s / self._frame_s))
        recent = self._levels[-span:]
        smooth = [
            sum(p + level for p, level in recent[max(0, i - 1) : i + 2])
            for i in range(1, len(recent) - 1)
        ]
        quietest = 1 + min(range(len(smooth)), key=smooth.__getitem__)
        frames_after = len(recent) - 1 - quietest
        cut = self.position - frames_after * s.frame_samples
        ended = Ended(self._start, cut, cut, forced=True)
        rest = self._levels[-frames_after:] if frames_after else []
        pause, paused_voice = self._pause, self._voiced_end
        self._last_end = cut
        self._open(cut)
        self._start = cut
        self._levels = rest
        self._voiced = sum(p >= s.end_threshold for p, _ in rest)
        self._voiced_end = max(cut, paused_voice)
        self._pause = min(pause, frames_after)
        return [ended, Started(cut)]
