"""Which stretches of a meeting are kept as material for a person's own voice.

Decisions only: is a stretch clean, is it theirs, is it worth keeping, and what makes room for it.
Sound, files and consent are the caller's; without consent the answer is always no. What other
loudspeakers and people may have added is told as ``Sounding``s and looked for with ``bleed``.
``voice_reference.py`` chooses from what is kept.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from babblefish.engine import bleed
from babblefish.engine.recording_quality import (
    REFERENCE,
    FaultCode,
    PartVoice,
    RecordingQuality,
    VoiceActivity,
    assess,
)
from babblefish.engine.speakers import threshold_at
from babblefish.engine.stages import SPEECH_RATE, SpeakerEncoderCapabilities

Refusal = Literal["consent", "text", "long", "bleed", "other_voice", "known"] | FaultCode

_MOST_SECONDS = 15.0
_LEAST_CONFIDENCE = 0.5
"""of the transcript: cloning needs to know what was said"""
_STRICTER = 0.2
"""part of the way from the same-speaker threshold to 1 that a stretch must be above it: that
threshold is for two short clips, this compares one with all that is known, and what is not kept
today may be tomorrow"""
_OWN_MARGIN = 0.05
"""how much more like the speaker than like anybody else in the room a stretch must be"""
_PART_LENIENCY = 0.85
"""share of the same-speaker threshold that a part of a stretch must reach"""
_GAIN = 0.05
"""of ``worth`` that a stretch must have over one that it replaces"""
_SENTENCE_ENDS = ".!?…。！？؟।"


@dataclass(frozen=True, slots=True, eq=False)
class Sounding:
    """Something that the speaker's microphone may have heard: a translation on any loudspeaker of
    the room, or another member talking. Never the speaker's own live voice."""

    start: float
    """seconds on the microphone's clock (that of ``Utterance.start``) when the server had it"""
    end: float
    sound: np.ndarray | None = None
    """(n,) float32 at SPEECH_RATE from ``start`` on; None: not known, so it cannot be ruled out"""


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """An utterance that may become material."""

    id: str
    session: str
    """meeting and connection: stretches of one session have the same microphone and room"""
    start: float
    """seconds on the microphone's clock at the first sample"""
    samples: np.ndarray
    """(n,) float32 at SPEECH_RATE"""
    activity: VoiceActivity
    text: str
    language: str
    confidence: float
    """of the transcript, 0..1"""
    voiceprint: np.ndarray
    parts: Sequence[PartVoice] = ()
    """voices of ``recording_quality.parts``"""
    cut: bool = False
    """it was cut for its length, not where the sentence ended"""


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """A piece of somebody's speech that is kept, without its sound."""

    id: str
    session: str
    start: float
    seconds: float
    speech_seconds: float
    text: str
    language: str
    snr_db: float
    voiceprint: np.ndarray
    whole: bool
    """a whole sentence, from its beginning to its end"""


@dataclass(frozen=True, slots=True, eq=False)
class KnownVoices:
    """What is known about voices when a stretch is judged."""

    enrolled: np.ndarray | None = None
    """the person's voiceprint, None where they never enrolled"""
    others: Sequence[np.ndarray] = ()
    """of other members, and of synthetic voices that the room hears"""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of what is kept for one person."""

    seconds: float = 60.0
    stretches: int = 12
    wanted_seconds: float = 20.0
    """with so much speech the material is complete"""


@dataclass(frozen=True, slots=True)
class Verdict:
    keep: bool
    replaces: tuple[str, ...] = ()
    """ids of stretches that make room; their files are to be deleted"""
    reason: Refusal | Literal["full", "better_known", ""] = ""
    """why not"""


@dataclass(frozen=True, slots=True)
class Progress:
    seconds: float
    wanted_seconds: float

    @property
    def share(self) -> float:
        """0..1"""
        return min(1.0, self.seconds / self.wanted_seconds)

    @property
    def percent(self) -> int:
        return math.floor(100 * self.share + 1e-6)

    @property
    def text(self) -> str:
        """Such as: voice 70 %: 14 of 20 s."""
        seconds = math.floor(min(self.seconds, self.wanted_seconds) + 1e-6)
        return f"voice {self.percent} %: {seconds} of {self.wanted_seconds:.0f} s"


# --- one stretch ----------------------------------------------------------------------------


def judge(
    heard: Heard,
    kept: Sequence[Stretch],
    known: KnownVoices,
    soundings: Sequence[Sounding],
    encoder: SpeakerEncoderCapabilities,
    *,
    consented: bool,
) -> Stretch | Refusal:
    """The utterance as material, or why it is none. Takes 40 ms for each sounding that overlaps
    it, else a few; call it where that blocks nobody.

    Raises AudioError("bad_audio") for samples that are no sound.
    """
    if not consented:
        return "consent"
    if not heard.text.strip() or heard.confidence < _LEAST_CONFIDENCE:
        return "text"
    if len(heard.samples) > _MOST_SECONDS * SPEECH_RATE:
        return "long"
    quality = assess(heard.samples, heard.activity, heard.parts, encoder, REFERENCE)
    if quality.faults:
        return quality.faults[0].code
    centre = centroid(kept, known.enrolled)
    if not _is_own(heard, quality, centre, known.others, encoder):
        return "other_voice"
    overlapping = [sounding for sounding in soundings if _may_reach(sounding, heard)]
    if overlapping and centre is None:
        return "bleed"  # nobody knows yet whose voice this should be
    if any(heard_in(heard, sounding) for sounding in overlapping):
        return "bleed"
    return Stretch(
        heard.id, heard.session, heard.start, quality.seconds, quality.speech_seconds,
        heard.text.strip(), heard.language, quality.snr_db, heard.voiceprint,
        not heard.cut and is_sentence(heard.text),
    )  # fmt: skip


def _is_own(
    heard: Heard,
    quality: RecordingQuality,
    centre: np.ndarray | None,
    others: Sequence[np.ndarray],
    encoder: SpeakerEncoderCapabilities,
) -> bool:
    """Whether the voice, and each part of it, is the speaker's and nobody else's."""
    threshold = threshold_at(encoder.same_speaker, quality.speech_seconds)
    if centre is None:
        return not any(float(other @ heard.voiceprint) >= threshold for other in others)
    own = float(centre @ heard.voiceprint)
    if own < threshold + _STRICTER * (1 - threshold) or any(
        float(other @ heard.voiceprint) > own - _OWN_MARGIN for other in others
    ):
        return False
    return all(
        float(centre @ part.voiceprint)
        >= _PART_LENIENCY * threshold_at(encoder.same_speaker, part.seconds)
        for part in heard.parts
    )


def _may_reach(sounding: Sounding, heard: Heard) -> bool:
    end = heard.start + len(heard.samples) / SPEECH_RATE
    return (
        sounding.start - bleed.EARLY_SECONDS < end
        and sounding.end + bleed.LATE_SECONDS > heard.start
    )


def heard_in(heard: Heard, sounding: Sounding) -> bool:
    """Whether the microphone heard ``sounding``, or may have for all that can be told."""
    if sounding.sound is None:
        return True
    return bleed.may_be_heard(heard.samples, sounding.sound, sounding.start - heard.start)


def is_sentence(text: str) -> bool:
    """Whether ``text`` ends as a sentence and does not begin in the middle of one."""
    letters = [letter for letter in text if letter.isalpha()]
    ends = text.rstrip(' "»”’)' + "'").endswith(tuple(_SENTENCE_ENDS))
    return ends and bool(letters) and not letters[0].islower()


# --- what is kept ---------------------------------------------------------------------------


def centroid(kept: Sequence[Stretch], enrolled: np.ndarray | None) -> np.ndarray | None:
    """The person's voiceprint as far as it is known: the enrolled one counts as much as all that
    was collected, so that nothing collected can lead it astray."""
    prints = [stretch.voiceprint * stretch.speech_seconds for stretch in kept]
    if not prints:
        return enrolled
    mean = np.sum(prints, axis=0)
    mean = mean / (np.linalg.norm(mean) + 1e-9)
    if enrolled is not None:
        mean = mean + enrolled
    return (mean / (np.linalg.norm(mean) + 1e-9)).astype(np.float32)


def strangers(
    kept: Sequence[Stretch], enrolled: np.ndarray | None, encoder: SpeakerEncoderCapabilities
) -> tuple[str, ...]:
    """Ids of stretches that turn out not to be the person's: unlike the enrolled voiceprint, or,
    without one, outside the largest group of stretches that are alike. To be deleted.

    Asked after every change: the first stretch of a person who never enrolled may be anybody's.
    """
    if enrolled is not None:
        return tuple(
            stretch.id for stretch in kept
            if enrolled @ stretch.voiceprint
            < _PART_LENIENCY * threshold_at(encoder.same_speaker, stretch.speech_seconds)
        )  # fmt: skip
    groups = [
        [other for other in kept if _alike(stretch, other, encoder)] for stretch in kept
    ]  # fmt: skip
    if not groups:
        return ()
    own = max(groups, key=lambda group: sum(stretch.speech_seconds for stretch in group))
    return tuple(stretch.id for stretch in kept if stretch not in own)


def _alike(one: Stretch, two: Stretch, encoder: SpeakerEncoderCapabilities) -> bool:
    seconds = min(one.speech_seconds, two.speech_seconds)
    threshold = _PART_LENIENCY * threshold_at(encoder.same_speaker, seconds)
    return float(one.voiceprint @ two.voiceprint) >= threshold


def decide(
    kept: Sequence[Stretch],
    new: Stretch,
    centre: np.ndarray | None = None,
    limits: Limits = Limits(),
) -> Verdict:
    """Keep the stretch, keep it in place of others, or drop it. centre: from ``centroid``."""
    if any(stretch.id == new.id for stretch in kept):
        return Verdict(False, reason="known")
    gain = worth(new, centre) - _GAIN
    said = _words(new.text)
    for stretch in kept:
        if stretch.language == new.language and _words(stretch.text) == said:
            better = worth(stretch, centre) <= gain
            return (
                Verdict(better, (stretch.id,)) if better else Verdict(False, reason="better_known")
            )
    seconds = sum(stretch.seconds for stretch in kept) + new.seconds
    count, leaving = len(kept) + 1, []
    for stretch in sorted(kept, key=lambda stretch: worth(stretch, centre)):
        if seconds <= limits.seconds and count <= limits.stretches:
            break
        if worth(stretch, centre) > gain:
            return Verdict(False, reason="full")
        leaving.append(stretch.id)
        seconds, count = seconds - stretch.seconds, count - 1
    if seconds < limits.wanted_seconds and leaving:
        return Verdict(False, reason="full")  # a short one is not worth several long ones
    return Verdict(True, tuple(leaving))


def worth(stretch: Stretch, centre: np.ndarray | None = None) -> float:
    """0..1: how good a stretch is as material for cloning."""
    clean = np.clip((stretch.snr_db - 12.0) / 28.0, 0, 1)
    like = 0.5 if centre is None else np.clip(float(centre @ stretch.voiceprint), 0, 1)
    length = np.clip(stretch.speech_seconds / 6.0, 0, 1)
    return float(0.35 * clean + 0.25 * like + 0.2 * length + 0.2 * stretch.whole)


def progress(kept: Sequence[Stretch], limits: Limits = Limits()) -> Progress:
    return Progress(sum(stretch.speech_seconds for stretch in kept), limits.wanted_seconds)


def _words(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join("".join(c if c.isalnum() else " " for c in folded).split())
