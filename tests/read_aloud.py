"""Speech for the tests of speech models: recordings where there are any, else read by Kokoro.

espeak-ng, which other tests make do with, is too robotic for a recogniser's accuracy and for
telling speakers apart.
"""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path

from babblefish.audio import resample
from babblefish.engine.kokoro import KokoroSynthesiser
from babblefish.engine.stages import PLAYOUT_RATE
from tests.speech import RATE, Clip, clips, speech_dir

_SENTENCES = {
    "en": "Today only platforms one and three are used for the trains to London.",
    "es": "La reunión empieza mañana a las nueve de la mañana en la sala grande.",
    "fr": "Les deux autres sont situés au bord de la mer, près de la grande ville.",
    "it": "La riunione comincia domani mattina alle nove nella sala grande.",
    "pt": "Um grupo de crianças está andando em um rio perto da margem do rio.",
}
_SPEAKERS = ("af_heart", "am_michael", "bf_emma")
_READING = (
    "The meeting starts at nine o'clock tomorrow morning, and everybody is invited.",
    "I think that we should wait for the results before we decide anything.",
    "The report is ready, but we still have to check the numbers in it.",
)


def speech(weights_dir: Path) -> tuple[Clip, ...]:
    """Every language, and several sentences of several speakers."""
    if speech_dir():
        return clips()
    sentences = [sentence(weights_dir, language) for language in _SENTENCES]
    readings = [
        _read(weights_dir, f"{voice}_{number}", text, "en", voice, voice)
        for voice in _SPEAKERS for number, text in enumerate(_READING)
    ]  # fmt: skip
    return (*sentences, *readings)


def sentence(weights_dir: Path, language: str) -> Clip:
    """One of at most eight seconds, whose transcript is known."""
    if speech_dir():
        return next(c for c in clips() if c.language == language and c.transcript and c.seconds < 8)
    voice = _kokoro(weights_dir).capabilities.voices[language][0]
    return _read(weights_dir, language, _SENTENCES[language], language, voice, "")


@lru_cache(maxsize=1)
def _kokoro(weights_dir: Path) -> KokoroSynthesiser:
    return KokoroSynthesiser(weights_dir)


@cache
def _read(weights_dir: Path, name: str, text: str, language: str, voice: str, speaker: str) -> Clip:
    spoken = _kokoro(weights_dir).synthesise(text, language, voice, 1.0)
    return Clip(name, resample(spoken, PLAYOUT_RATE, RATE), language, text, speaker)
