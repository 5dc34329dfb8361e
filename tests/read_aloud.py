"""Speech for the tests of speech models: recordings where there are any, else read by Kokoro.

espeak-ng, which other tests make do with, is too robotic for a recogniser's accuracy and for
telling speakers apart.
"""

from __future__ import annotations

from functools import lru_cache
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


@lru_cache(maxsize=1)
def speech(weights_dir: Path) -> tuple[Clip, ...]:
    if speech_dir():
        return clips()
    kokoro = KokoroSynthesiser(weights_dir)

    def read(name: str, text: str, language: str, voice: str, speaker: str = "") -> Clip:
        spoken = resample(kokoro.synthesise(text, language, voice, 1.0), PLAYOUT_RATE, RATE)
        return Clip(name, spoken, language, text, speaker)

    found = [
        read(language, text, language, kokoro.capabilities.voices[language][0])
        for language, text in _SENTENCES.items()
    ]
    for voice in _SPEAKERS:
        for number, text in enumerate(_READING):
            found.append(read(f"{voice}_{number}", text, "en", voice, voice))
    return tuple(found)
