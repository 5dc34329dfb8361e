"""espeak-ng through its shared library."""

from __future__ import annotations

import numpy as np
import pytest

from babblefish.engine.espeak import EspeakSynthesiser, trim
from babblefish.errors import SynthesisError


@pytest.fixture(scope="module")
def espeak() -> EspeakSynthesiser:
    return EspeakSynthesiser()


def test_speaks_a_number_in_every_language_it_claims(espeak):
    assert {"de", "pl", "ru", "ar", "ko", "zh", "no", "nn", "en"} <= set(espeak.capabilities.voices)
    for language, voices in espeak.capabilities.voices.items():
        samples = espeak.synthesise("123", language, voices[0], 1.0)
        assert samples.dtype == np.float32
        assert len(samples) > 4800, language
        assert np.abs(samples).max() <= 1.0


def test_voices_differ(espeak):
    voices = espeak.capabilities.voices["de"]
    assert len(voices) >= 6
    pitches = {round(pitch(espeak.synthesise("Aaah", "de", v, 1.0))) for v in voices}
    assert len(pitches) >= 4


def pitch(samples: np.ndarray) -> float:
    """Hertz, from the autocorrelation of the middle of a 48 kHz sound."""
    middle = samples[len(samples) // 2 - 4800 : len(samples) // 2 + 4800]
    correlation = np.correlate(middle, middle, "full")[len(middle) - 1 :]
    return 48_000 / (160 + int(np.argmax(correlation[160:800])))


def test_speed_is_obeyed(espeak):
    text, voice = "Guten Morgen, wie geht es Ihnen heute?", "de+f2"
    slow, fast = (len(espeak.synthesise(text, "de", voice, s)) for s in (1.0, 1.5))
    assert 1.3 < slow / fast < 1.7


def test_leading_and_trailing_silence_is_trimmed(espeak):
    samples = espeak.synthesise("Guten Morgen.", "de", "de+f2", 1.0)
    audible = np.flatnonzero(np.abs(samples) > 0.01)
    assert audible[0] < 4800
    assert len(samples) - audible[-1] < 4800
    assert len(trim(np.zeros(100, np.float32))) == 0


@pytest.mark.parametrize("text", ["", "  ", "...", "\0", "🎉"])
def test_nothing_to_say_is_no_sound(espeak, text):
    assert len(espeak.synthesise(text, "de", "de+f2", 1.0)) == 0


@pytest.mark.parametrize("text", ["Hallo\0 Welt", "<b>Hallo</b>", "[[hello]]", "a" * 20_000])
def test_odd_text_is_spoken(espeak, text):
    assert len(espeak.synthesise(text, "de", "de+f2", 1.0)) > 4800


@pytest.mark.parametrize(
    ("language", "voice", "speed", "code"),
    [
        ("tlh", "tlh+f2", 1.0, "language"),
        ("de", "fr+f2", 1.0, "voice"),
        ("de", "de+f2", 0.0, "voice"),
        ("de", "de+f2", float("nan"), "voice"),
    ],
)
def test_bad_requests_are_named(espeak, language, voice, speed, code):
    with pytest.raises(SynthesisError) as caught:
        espeak.synthesise("Hallo", language, voice, speed)
    assert caught.value.code == code


def test_the_same_words_twice_sound_the_same(espeak):
    first, second = (espeak.synthesise("Hallo", "de", "de+f2", 1.0) for _ in range(2))
    assert abs(len(first) - len(second)) < 480
