"""The voices that this laptop can speak in: each speaker's reference and what F5 needs of it.

Kept in memory only, at most so many; the one not used for longest goes first. Deleting a voice
overwrites its features. Knows no network and no model but the arithmetic of mel frames.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np
import torch

from babblefish.accelerator import f5, pace, sound, text
from babblefish.accelerator_protocol import PutVoice, decode_audio, digest_of
from babblefish.audio import resample
from babblefish.errors import SynthesisError, TransportError

LEAST_SECONDS, MOST_SECONDS = 2.0, 15.0
"""of speech; F5 was trained on stretches of 30 s, reference and new speech together"""
_LEAD, _TAIL = 0.05, 0.1
_SILENCE_AFTER = 0.3
"""seconds; without it, F5 begins with the end of the reference"""
_LEVEL = 0.1
"""root mean square that F5 expects at least"""
_CLIPPED = 0.05
"""of the samples at full scale: F5 would clone the distortion"""


@dataclass(eq=False, slots=True)
class Reference:
    speaker: str
    digest: str
    mel: torch.Tensor
    """(frames, CHANNELS) float32"""
    words: str
    """what is said in it, made readable for F5"""
    pace: float
    """units a second, see ``pace.py``"""
    symbols: dict[str, list[str]] = field(default_factory=dict)
    """key of a checkpoint → ``words`` as its vocabulary has them"""

    def erase(self) -> None:
        """Nothing of the voice is left behind, whoever still holds this."""
        self.mel.zero_()
        self.words = ""
        self.symbols.clear()


class ReferenceVoices:
    """May be used from several threads."""

    def __init__(self, most: int = 64) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Reference] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def put(self, voice: PutVoice) -> Reference:
        """Keep a reference, instead of an earlier one of the same speaker. Takes a few hundredths
        of a second. Raises SynthesisError("bad_reference") that says what is wrong with it."""
        with self._lock:
            known = self._kept.get(voice.speaker_id)
            if known is not None and known.digest == voice.digest:
                self._kept.move_to_end(voice.speaker_id)
                return known
        reference = _prepare(voice)
        with self._lock:
            replaced = [self._kept.pop(voice.speaker_id, None)]
            self._kept[voice.speaker_id] = reference
            while len(self._kept) > self._most:
                replaced.append(self._kept.popitem(last=False)[1])
        for old in replaced:
            if old is not None:
                old.erase()
        return reference

    def get(self, speaker: str, digest: str) -> Reference:
        """Raises SynthesisError("unknown_voice")."""
        with self._lock:
            reference = self._kept.get(speaker)
            if reference is None or reference.digest != digest:
                raise SynthesisError("unknown_voice", "This voice is not here, send it first.")
            self._kept.move_to_end(speaker)
            return reference

    def delete(self, speaker: str) -> bool:
        """Whether there was one."""
        with self._lock:
            reference = self._kept.pop(speaker, None)
        if reference is not None:
            reference.erase()
        return reference is not None

    def clear(self) -> None:
        for speaker in list(self._kept):
            self.delete(speaker)


def _prepare(voice: PutVoice) -> Reference:
    if digest_of(voice.clip, voice.text, voice.sample_rate) != voice.digest:
        raise _bad("The recording is not the one that its digest names.")
    try:
        samples = decode_audio(voice.clip)
    except TransportError as error:
        raise _bad(error.message) from None
    said = text.readable(voice.text, voice.language)
    if not pace.units(said):
        raise _bad("There are no words in the text of the recording.")
    samples = _check(samples, voice.sample_rate)
    seconds = sound.speech_seconds(samples)
    if seconds < LEAST_SECONDS:
        raise _bad(f"The recording holds {seconds:.1f} s of speech; {LEAST_SECONDS:.0f} s or more "
                   "are needed.")  # fmt: skip
    if not pace.fits(said, seconds):
        raise _bad("The text is not what is said in the recording: it is far too long or short.")
    samples = sound.trim(samples, _LEAD, _TAIL)
    level = float(np.sqrt(np.mean(np.square(samples))))
    if level < _LEVEL:
        samples = samples * min(_LEVEL / level, 0.99 / float(np.abs(samples).max()))
    quiet = np.zeros(round(_SILENCE_AFTER * sound.RATE), np.float32)
    mel = f5.mel_of(np.concatenate([samples, quiet]))
    if not torch.isfinite(mel).all():
        raise _bad("The recording cannot be used: it is damaged.")
    return Reference(voice.speaker_id, voice.digest, mel, said, pace.pace_of(said, seconds))


def _check(samples: np.ndarray, rate: int) -> np.ndarray:
    """At ``sound.RATE``."""
    if len(samples) > (MOST_SECONDS + 5.0) * rate:
        raise _bad(f"The recording is longer than {MOST_SECONDS:.0f} s.")
    if len(samples) and np.mean(np.abs(samples) > 0.999) > _CLIPPED:
        raise _bad("The recording is distorted: it was too loud for the microphone.")
    samples = resample(samples, rate, sound.RATE)
    if not sound.voiced(samples).any():
        raise _bad("The recording is silent.")
    if sound.speech_seconds(samples, 0.5) > MOST_SECONDS:
        raise _bad(f"The recording is longer than {MOST_SECONDS:.0f} s.")
    return samples


def _bad(message: str) -> SynthesisError:
    return SynthesisError("bad_reference", message)
