"""espeak-ng as a voice: robotic, instant, a hundred languages. For languages Kokoro lacks.

Calls the shared library that the ``espeakng-loader`` package carries. The library keeps its state
in globals, so one process holds one synthesiser and makes one call at a time. Sentences and
clauses are cut elsewhere.
"""

from __future__ import annotations

import ctypes
import math
from pathlib import Path

import espeakng_loader
import numpy as np

from babblefish import languages
from babblefish.audio import match_loudness, resample
from babblefish.engine.stages import PLAYOUT_RATE, SynthesiserCapabilities
from babblefish.errors import BabbleFishError, SynthesisError, WeightsError

VARIANTS = ("f2", "m3", "f4", "m7", "f5", "m1", "f3", "m5")
"""voices that are easy to tell apart; every language has them"""
_PREFERRED = {"en": "en-US", "pt": "pt-BR", "zh": "cmn", "no": "nb"}
"""which of several accents speaks a language"""
_CONSTRUCTED = "art/"
_MUTE = "cv"
"""listed, but reads nothing aloud"""
_WORDS_PER_MINUTE = 165
_SLOWEST, _FASTEST = 80, 450
_SYNCHRONOUS, _UTF8, _RATE_PARAMETER, _WORD_GAP = 2, 1, 1, 7
_MAX_CHARACTERS = 4000
_AUDIBLE = 0.004
_FADE = 240
"""samples at 48 kHz kept around the audible part, faded"""

_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


class _Voice(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("reserved", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    ]


class EspeakSynthesiser:
    """A ``Synthesiser``. Voice names look like ``pl+f2``."""

    def __init__(self) -> None:
        """Raises WeightsError("broken") when the library cannot be used."""
        try:
            self._library = ctypes.CDLL(espeakng_loader.get_library_path())
            data = espeakng_loader.get_data_path().encode()
            self._rate = self._library.espeak_Initialize(_SYNCHRONOUS, 0, data, 0)
        except OSError as error:
            raise _broken() from error
        if self._rate <= 0:
            raise _broken()
        self._heard: list[np.ndarray] = []
        self._callback = _Callback(self._hear)
        self._codes = self._find_languages()
        self.capabilities = SynthesiserCapabilities(
            voices={
                language: tuple(f"{language}+{variant}" for variant in VARIANTS)
                for language in self._codes
            },
            quality="basic",
            speeds=(_SLOWEST / _WORDS_PER_MINUTE, _FASTEST / _WORDS_PER_MINUTE),
        )

    def synthesise(self, text: str, language: str, voice: str, speed: float) -> np.ndarray:
        """See ``Synthesiser.synthesise``."""
        self._choose(language, voice, speed)
        if not any(c.isalnum() for c in text):
            return np.zeros(0, np.float32)
        spoken = self._speak(text)
        return match_loudness(trim(resample(spoken, self._rate, PLAYOUT_RATE)))

    def _speak(self, text: str) -> np.ndarray:
        """(n,) float32 at the library's rate."""
        self._heard.clear()
        self._library.espeak_SetSynthCallback(self._callback)  # there may be another of our kind
        spoken = text.replace("\0", " ")[:_MAX_CHARACTERS].encode("utf-8", "replace") + b"\0"
        failed = self._library.espeak_Synth(
            ctypes.c_char_p(spoken), ctypes.c_size_t(len(spoken)), 0, 1, 0, _UTF8, None, None
        )
        if failed:
            raise SynthesisError("bad_audio", "espeak-ng could not speak the text.")
        if not self._heard:
            return np.zeros(0, np.float32)
        return np.concatenate(self._heard).astype(np.float32) / 32768.0

    def prepare(self, language: str) -> None:
        """Nothing to do: the library has every language at hand."""

    def _choose(self, language: str, voice: str, speed: float) -> None:
        voices = self.capabilities.voices.get(language)
        if voices is None:
            raise SynthesisError("language", f"espeak-ng does not speak {language!r}.")
        if voice not in voices:
            raise SynthesisError(
                "voice", f"There is no such voice for {language}. Known: {', '.join(voices)}."
            )
        if not (math.isfinite(speed) and speed > 0):
            raise SynthesisError("voice", "The speaking speed must be above 0; 1.0 is natural.")
        name = f"{self._codes[language]}+{voice.rpartition('+')[2]}"
        if self._library.espeak_SetVoiceByName(name.encode()):
            raise SynthesisError("voice", f"espeak-ng cannot load the voice {name}.")
        pace = int(min(_FASTEST, max(_SLOWEST, _WORDS_PER_MINUTE * speed)))
        self._library.espeak_SetParameter(_RATE_PARAMETER, pace, 0)
        self._library.espeak_SetParameter(_WORD_GAP, 0, 0)

    def _hear(self, samples, count: int, _events) -> int:
        if samples and count > 0:
            self._heard.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def _find_languages(self) -> dict[str, str]:
        """Our language code → the name of espeak-ng's voice."""
        self._library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
        listed = self._library.espeak_ListVoices(None)
        dictionaries = Path(espeakng_loader.get_data_path())
        found: dict[str, str] = {}
        number = 0
        while listed[number]:
            voice = listed[number].contents
            number += 1
            path = voice.identifier.decode()
            name = path.rpartition("/")[2]
            tag = ctypes.string_at(voice.languages + 1).decode()
            try:
                code = languages.normalise(tag)
            except BabbleFishError:
                continue
            usual = name == _PREFERRED.get(code, code)
            spellings = (tag.partition("-")[0], code)
            has_words = any((dictionaries / f"{s}_dict").is_file() for s in spellings)
            if usual and has_words and not path.startswith(_CONSTRUCTED):
                found[code] = name
        found.pop(_MUTE, None)
        if "no" in found:
            found["nn"] = found["no"]
        return found


def trim(samples: np.ndarray) -> np.ndarray:
    """48 kHz ``samples`` without leading and trailing silence, the cuts faded."""
    audible = np.flatnonzero(np.abs(samples) > _AUDIBLE)
    if len(audible) == 0:
        return samples[:0]
    start, end = max(0, audible[0] - _FADE), min(len(samples), audible[-1] + _FADE)
    samples = samples[start:end].copy()
    fade = min(_FADE, len(samples) // 2)
    ramp = np.linspace(0.0, 1.0, fade, dtype=np.float32)
    samples[:fade] *= ramp
    samples[len(samples) - fade :] *= ramp[::-1]
    return samples


def _broken() -> WeightsError:
    return WeightsError(
        "broken",
        "espeak-ng does not start. Reinstall it: pip install --force-reinstall espeakng-loader.",
    )
