"""How good a recording of a voice is, and what somebody whose recording will not do can change.

Pure arithmetic on samples, on the voice activity found in them and, for the question whether one
person speaks, on voiceprints of the recording's parts. Loads no models, stores nothing, and does
not know whose voice it is. ``bench/recording_quality.py`` shows what its thresholds let through.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from babblefish.audio import check_speech, decibels
from babblefish.engine.speakers import threshold_at
from babblefish.engine.stages import SPEECH_RATE, SpeakerEncoderCapabilities
from babblefish.errors import AudioError

FaultCode = Literal["silent", "too_short", "too_quiet", "clipped", "noisy", "muffled", "two_voices"]

_VOICE = 0.5
"""speech probability from which a frame is speech"""
_SILENT_DB = -60.0
"""peak level, dBFS, below which a microphone was off"""
_FRAME, _HOP = 512, 256
"""samples of a spectrum, and between spectra"""
_EDGES = np.array(
    [3, 4, 5, 6, 8, 9, 12, 15, 18, 22, 28, 35, 43, 53, 66, 82, 102, 127, 158, 196, 243]
)
"""bins between the bands in which noise is looked for, 94 Hz to 7.6 kHz"""
_QUIETEST = 10
"""per cent of a band's frames that hold its noise alone: even where no pause is between words, no
band is voiced all the time"""
_QUIETEST_OF_NOISE = np.array(
    [0.103, 0.104, 0.108, 0.206, 0.112, 0.286, 0.274, 0.281, 0.33, 0.415, 0.437, 0.469, 0.517,
     0.569, 0.598, 0.641, 0.675, 0.71, 0.725, 0.754]
)  # fmt: skip
"""that percentile of steady noise, as a share of its mean power, in each band"""
_QUIETEST_OF_ALL = 0.88
"""the same of all bands together"""
_GATED_DB = -100.0
"""power of a frame, dBFS, below which a noise gate closed: it says nothing about the noise"""
_MOST_SNR_DB = 60.0
_NEAR_PEAK = 0.8
"""share of the peak from which samples count as clipped, where there are too many of them"""
_PEAK = 99.9
"""per cent of a recording's samples that are below its peak, so that a click is none"""
_LOUD = 95
"""per cent of the frames of speech that are less loud in a band than its loudest sounds"""
_FAINT_DB = -55.0
"""of a band, relative to the strongest, below which it is empty"""
_PART_SECONDS = 1.5
"""of speech in each part of a recording that gets a voiceprint of its own"""
_SHIFT = 0.4
"""of a part, by which its end is moved to find a pause"""


@dataclass(frozen=True, slots=True, eq=False)
class VoiceActivity:
    """What a ``VoiceActivityDetector`` said about each frame of a recording."""

    probabilities: np.ndarray
    """(frames,) 0..1"""
    frame_samples: int
    """samples per frame at SPEECH_RATE"""

    def mask(self, count: int) -> np.ndarray:
        """(count,) bool: which samples are speech."""
        speech = np.repeat(self.probabilities > _VOICE, self.frame_samples)[:count]
        return np.pad(speech, (0, count - len(speech)))


@dataclass(frozen=True, slots=True, eq=False)
class PartVoice:
    """The voice of one part of a recording."""

    voiceprint: np.ndarray
    """from ``SpeakerEncoder.embed``"""
    seconds: float
    """of speech that it was made of"""


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a recording must have, measured by ``bench/recording_quality.py``."""

    speech_seconds: float
    snr_db: float
    level_db: float = -46.0
    clipped: float = 0.015
    bandwidth_hz: float = 5000.0


ENROLMENT = Requirements(speech_seconds=3.0, snr_db=13.0)
"""one of three prompts read aloud, for a voiceprint and as reference material"""
REFERENCE = Requirements(speech_seconds=1.6, snr_db=15.5)
"""a stretch of a meeting kept as reference material: there is more where it came from"""


@dataclass(frozen=True, slots=True)
class Fault:
    code: FaultCode
    message: str
    """what is wrong and what to do about it, for people"""


@dataclass(frozen=True, slots=True)
class RecordingQuality:
    seconds: float
    speech_seconds: float
    snr_db: float
    """speech over what sounds beside it, at most 60"""
    level_db: float
    """RMS of the speech, dBFS"""
    clipped: float
    """share of the speech's samples that are about as loud as the loudest"""
    bandwidth_hz: float
    """up to where there is sound in the spectrum while somebody speaks"""
    likeness: float | None
    """cosine similarity of the two most different groups of parts; None: not enough parts"""
    faults: tuple[Fault, ...]
    """most important first"""

    @property
    def good(self) -> bool:
        return not self.faults


def assess(
    samples: np.ndarray,
    activity: VoiceActivity,
    voices: Sequence[PartVoice] = (),
    encoder: SpeakerEncoderCapabilities | None = None,
    required: Requirements = ENROLMENT,
) -> RecordingQuality:
    """How good a recording is.

    samples: (n,) float32 at SPEECH_RATE. voices: of its ``parts``, where they are known, with
    the capabilities of the ``encoder`` that made them. Raises AudioError("bad_audio") for what
    is empty, not finite or not mono.
    """
    samples = check_speech(samples, AudioError)
    if voices and encoder is None:
        raise AudioError("bad_audio", "Voiceprints cannot be compared without their encoder.")
    speech = activity.mask(len(samples))
    bands = _bands(samples)
    voiced = _frames_of(speech, len(bands))
    noise = _noise(bands)
    likeness = one_voice(voices)
    quality = RecordingQuality(
        len(samples) / SPEECH_RATE,
        float(speech.sum()) / SPEECH_RATE,
        _snr(bands, voiced, noise),
        decibels(float(np.sqrt(np.mean(np.square(samples[speech], dtype=np.float64)))))
        if speech.any()
        else decibels(0.0),
        _clipped(samples[speech]),
        _bandwidth(bands, voiced),
        None if likeness is None else likeness[0],
        (),
    )
    mixed = likeness is not None and encoder is not None and _is_mixed(*likeness, encoder)
    peak_db = decibels(float(np.abs(samples).max()))
    return _with_faults(quality, required, mixed, peak_db)


def _with_faults(
    quality: RecordingQuality, required: Requirements, mixed: bool, peak_db: float
) -> RecordingQuality:
    """``quality`` with what is wrong in it, in the order in which people should mend it."""
    if peak_db < _SILENT_DB:
        text = "Nothing was recorded. Check that the microphone is on and allowed, and try again."
        return replace(quality, faults=(Fault("silent", text),))
    faults = []
    if quality.speech_seconds < required.speech_seconds:
        text = (
            f"Too short: {quality.speech_seconds:.0f} s of speech, at least "
            f"{required.speech_seconds:.0f} s are needed. Read the whole text, without a hurry."
        )
        faults.append(Fault("too_short", text))
    if quality.speech_seconds > 0:
        faults += _faults_of_speech(quality, required)
    if mixed:
        text = "Two voices can be heard. Record again while nobody else is speaking."
        faults.append(Fault("two_voices", text))
    return replace(quality, faults=tuple(faults))


def _faults_of_speech(quality: RecordingQuality, required: Requirements) -> list[Fault]:
    found: list[tuple[bool, FaultCode, str]] = [
        (
            quality.level_db < required.level_db,
            "too_quiet",
            "Too quiet. Hold the microphone closer, or speak louder.",
        ),
        (
            quality.clipped > required.clipped,
            "clipped",
            "Too loud: the sound is distorted. Hold the microphone further away.",
        ),
        (
            quality.snr_db < required.snr_db,
            "noisy",
            "Too noisy. Go somewhere quieter, or hold the microphone closer.",
        ),
        (
            quality.bandwidth_hz < required.bandwidth_hz,
            "muffled",
            "It sounds like a telephone call. Use the phone's own microphone in place of a "
            "wireless headset.",
        ),
    ]
    return [Fault(code, text) for wrong, code, text in found if wrong]


# --- noise ----------------------------------------------------------------------------------


def _bands(samples: np.ndarray) -> np.ndarray:
    """Mean power in each band, (frames, bands)."""
    padded = np.pad(samples.astype(np.float64), (0, max(0, _FRAME - len(samples))))
    window = np.hanning(_FRAME + 1)[:-1]
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[::_HOP] * window
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    # of both halves of the spectrum, so that all bands add up to the mean square
    power *= 2 / (_FRAME * np.square(window).sum())
    return np.add.reduceat(power[:, : _EDGES[-1]], _EDGES[:-1], axis=1)


def _frames_of(speech: np.ndarray, count: int) -> np.ndarray:
    """(count,) bool: which spectra have speech in their middle."""
    middles = np.minimum(np.arange(count) * _HOP + _FRAME // 2, len(speech) - 1)
    return speech[middles]


def _noise(bands: np.ndarray) -> np.ndarray:
    """Power of the noise in each band, (bands,).

    Steady noise shows where a band has a pause, people's murmur where all have one; the larger
    of both counts.
    """
    total = bands.sum(axis=1)
    heard = total > 10 ** (_GATED_DB / 10)
    if not heard.any():
        return np.zeros(bands.shape[1])
    steady = np.percentile(bands[heard], _QUIETEST, axis=0) / _QUIETEST_OF_NOISE
    murmur = float(np.percentile(total[heard], _QUIETEST)) / _QUIETEST_OF_ALL
    return steady * max(1.0, murmur / max(float(steady.sum()), 1e-12))


def _snr(bands: np.ndarray, voiced: np.ndarray, noise: np.ndarray) -> float:
    if not voiced.any():
        return -_MOST_SNR_DB
    floor = max(float(noise.sum()), 1e-12)
    speech = max(float(bands[voiced].sum(axis=1).mean()) - floor, 1e-12)
    return float(np.clip(10 * np.log10(speech / floor), -_MOST_SNR_DB, _MOST_SNR_DB))


def _bandwidth(bands: np.ndarray, voiced: np.ndarray) -> float:
    """Upper edge, Hertz, of the highest band that is not empty while somebody speaks."""
    if not voiced.any():
        return 0.0
    loud = np.percentile(bands[voiced], _LOUD, axis=0)
    audible = loud > loud.max() * 10 ** (_FAINT_DB / 10)
    highest = int(np.flatnonzero(audible)[-1]) if audible.any() else -1
    return float(_EDGES[highest + 1]) * SPEECH_RATE / _FRAME


def _clipped(speech: np.ndarray) -> float:
    """Share of samples near the peak: speech is rarely at its loudest, clipped speech often."""
    if not len(speech):
        return 0.0
    levels = np.abs(speech)
    return float(np.mean(levels >= _NEAR_PEAK * np.percentile(levels, _PEAK)))


# --- one voice ------------------------------------------------------------------------------


def parts(activity: VoiceActivity) -> list[tuple[int, int]]:
    """Where to cut a recording, [start, end) in samples, into parts for voiceprints: with about
    1.5 s of speech each, cut in pauses, where one person may give way to another. At least two
    parts from 3 s of speech on, else none."""
    wanted = _PART_SECONDS * SPEECH_RATE / activity.frame_samples
    speech = activity.probabilities > _VOICE
    spoken = np.cumsum(speech)
    count = int(spoken[-1] / wanted) if len(spoken) else 0
    if count < 2:
        return []
    share = spoken[-1] / count
    cuts = [
        _pause_between(speech, *np.searchsorted(spoken, (i + np.array([-1, 1]) * _SHIFT) * share))
        for i in range(1, count)
    ]
    edges = [frame * activity.frame_samples for frame in (0, *cuts, len(spoken))]
    return list(itertools.pairwise(edges))


def _pause_between(speech: np.ndarray, first: int, last: int) -> int:
    """The middle of the longest pause in frames [first, last], or of these frames."""
    edges = np.flatnonzero(np.diff(np.pad(~speech[first : last + 1], 1).astype(int)))
    pauses = edges.reshape(-1, 2)
    if not len(pauses):
        return int(first + last) // 2
    start, end = pauses[int(np.argmax(pauses[:, 1] - pauses[:, 0]))]
    return int(first + (start + end) // 2)


def one_voice(voices: Sequence[PartVoice]) -> tuple[float, float] | None:
    """Cosine similarity of the two most different groups of parts, and the seconds of speech in
    the smaller group. None for fewer than two parts.

    The two most different parts found a group each; the others join the one they are more like.
    """
    if len(voices) < 2:
        return None
    prints = np.stack([voice.voiceprint for voice in voices])
    seconds = np.array([voice.seconds for voice in voices])
    alike = prints @ prints.T
    one, two = np.unravel_index(int(np.argmin(alike)), alike.shape)
    first = alike[one] >= alike[two]
    first[one], first[two] = True, False
    groups = [seconds[side] @ prints[side] for side in (first, ~first)]
    likeness = groups[0] @ groups[1] / (np.linalg.norm(groups[0]) * np.linalg.norm(groups[1]))
    return float(likeness), float(min(seconds[first].sum(), seconds[~first].sum()))


def _is_mixed(likeness: float, seconds: float, encoder: SpeakerEncoderCapabilities) -> bool:
    return likeness < threshold_at(encoder.same_speaker, seconds)
