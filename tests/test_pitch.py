"""How high people speak: exact on made-up voices, near Praat on recordings, octaves right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from babblefish.engine import pitch
from babblefish.engine.pitch import Pitch, PitchMemory, measure, semitones
from tests import sounds

RATE = 16_000


def voice(hertz: float, seconds: float = 1.0, rate: int = RATE, tilt: float = 1.0) -> np.ndarray:
    """A buzz with the overtones of vocal cords, its pitch wavering by 2 %."""
    time = np.arange(int(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(hertz * (1 + 0.02 * np.sin(2 * np.pi * 3 * time))) / rate
    overtones = range(1, int(min(4000, rate / 2) / hertz))
    return (0.1 * sum(np.sin(n * phase) / n**tilt for n in overtones)).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(
    hertz=st.floats(70, 400), tilt=st.floats(0.3, 2.0), rate=st.sampled_from((16_000, 24_000)),
    level=st.floats(0.01, 3.0),
)  # fmt: skip
def test_a_steady_voice_is_measured_exactly(hertz, tilt, rate, level):
    found = measure(level * voice(hertz, rate=rate, tilt=tilt), rate)
    assert found is not None
    assert semitones(found.hertz, hertz) < 0.3
    assert 0.8 < found.seconds <= 1.0


@pytest.mark.parametrize("hertz", (90.0, 150.0, 260.0))
def test_octaves_are_right_in_spite_of_strong_overtones_and_subharmonics(hertz):
    time = np.arange(RATE) / RATE
    second = voice(hertz) + 0.25 * np.sin(2 * np.pi * 2 * hertz * time)
    creaking = voice(hertz, 2.0)
    creaking[: RATE // 2] = voice(hertz / 2, 0.5)  # an octave lower at the start of a sentence
    without_fundamental = voice(hertz) - 0.1 * np.sin(
        2 * np.pi * np.cumsum(hertz * (1 + 0.02 * np.sin(2 * np.pi * 3 * time))) / RATE
    )
    rough = voice(hertz) + 0.15 * voice(hertz / 2)  # every other cycle differs a little
    for samples in (second, creaking, without_fundamental, rough):
        found = measure(samples.astype(np.float32), RATE)
        assert found is not None and semitones(found.hertz, hertz) < 0.5


@pytest.mark.parametrize("snr", (20.0, 5.0))
def test_noise_between_and_under_the_words_changes_nothing(snr):
    speech = np.concatenate([voice(130, 0.4), np.zeros(RATE // 2, np.float32), voice(130, 0.6)])
    noise = np.random.default_rng(0).normal(0, 1, len(speech))
    noise *= np.sqrt(np.mean(speech**2)) / 10 ** (snr / 20)
    found = measure((speech + noise).astype(np.float32), RATE)
    assert found is not None and semitones(found.hertz, 130) < 0.3
    assert found.seconds < 1.1


def test_hum_and_an_offset_are_no_voice():
    time = np.arange(2 * RATE) / RATE
    noise = np.random.default_rng(0).normal(0, 0.02, len(time))
    quiet = (0.3 + 0.02 * np.sin(2 * np.pi * 50 * time) + noise).astype(np.float32)
    assert measure(quiet, RATE) is None
    spoken = quiet.copy()
    spoken[RATE // 2 :] += voice(210, 1.5)
    found = measure(spoken, RATE)
    assert found is not None and semitones(found.hertz, 210) < 0.3


@pytest.mark.parametrize(
    "name", ("silence", "white noise", "quiet noise", "loud noise", "coughs", "keyboard", "click")
)
def test_what_is_not_voiced_has_no_pitch(name):
    assert measure(sounds.non_speech()[name], RATE) is None


def test_whispering_has_no_pitch():
    assert measure(sounds.whispered(voice(150, 3.0)), RATE) is None


@pytest.mark.parametrize(
    "samples",
    (
        np.zeros(0, np.float32), np.zeros(10, np.float32), voice(150, 0.2),
        np.full(RATE, np.nan, np.float32), np.full(RATE, np.inf, np.float32),
    ),
)  # fmt: skip
def test_too_little_or_broken_sound_has_no_pitch(samples):
    assert measure(samples, RATE) is None


REFERENCE = {
    "en_numbers": 187.9, "en_sentence": 120.0, "es_numbers": 191.8, "fr_numbers": 164.5,
    "fr_sentence": 124.1, "it_sentence": 161.8, "pt_sentence": 138.0, "de_sentence": 89.0,
    "speaker_367-130732-0003": 242.6, "speaker_2609-156975-0000": 111.5,
    "speaker_2033-164914-0002": 157.6, "speaker_3080-5032-0002": 182.2,
}  # fmt: skip
"""median Hertz by Praat's autocorrelation, 60 to 450 Hz, 10 ms"""


def test_recordings_agree_with_praat(speech):
    known = [(clip, REFERENCE[clip.name]) for clip in speech if clip.name in REFERENCE]
    if not known:
        pytest.skip("there are no recordings here")
    for clip, hertz in known:
        found = measure(clip.samples, RATE)
        assert found is not None and semitones(found.hertz, hertz) < 0.6, clip.name


# --- over many utterances -------------------------------------------------------------------


def test_a_memory_is_the_mean_in_octaves_weighted_by_seconds():
    memory = PitchMemory()
    assert memory.pitch is None
    memory.add(Pitch(100.0, 1.0))
    memory.add(Pitch(200.0, 3.0))
    assert memory.pitch is not None
    assert memory.pitch.hertz == pytest.approx(100 * 2**0.75)
    assert memory.pitch.seconds == 4.0


def test_a_memory_stays_put_but_follows_in_the_end():
    memory = PitchMemory()
    for _ in range(100):
        memory.add(Pitch(100.0, 5.0))
    memory.add(Pitch(200.0, 2.0))
    assert memory.pitch is not None and memory.pitch.hertz < 102
    for _ in range(200):
        memory.add(Pitch(200.0, 5.0))
    assert memory.pitch.hertz > 195


def test_semitones():
    assert semitones(100, 200) == semitones(200, 100) == pytest.approx(12)
    assert pitch.semitones(150, 150) == 0
