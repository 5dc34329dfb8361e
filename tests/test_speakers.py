"""Voiceprints of real speakers."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest

from babblefish.engine.speakers import Ge2eEncoder, threshold_at
from babblefish.errors import SpeakerError, WeightsError
from tests import read_aloud

RATE = 16_000


@pytest.fixture(scope="module")
def speech(weights_dir):
    return read_aloud.speech(weights_dir)


@pytest.fixture(scope="module")
def encoder(weights_dir) -> Ge2eEncoder:
    return Ge2eEncoder(weights_dir)


@pytest.fixture(scope="module")
def utterances(encoder, speech) -> dict[str, list[tuple[np.ndarray, float]]]:
    """speaker → (voiceprint, seconds) of about 3 s each."""
    found: dict[str, list] = {}
    for clip in speech:
        if not clip.speaker:
            continue
        size = min(len(clip.samples), 3 * RATE)
        for start in range(0, len(clip.samples) - size + 1, size):
            piece = clip.samples[start : start + size]
            found.setdefault(clip.speaker, []).append((encoder.embed(piece), size / RATE))
    return {speaker: prints[:8] for speaker, prints in found.items()}


def test_a_voiceprint_has_length_one_and_tells_speakers_apart(encoder, utterances):
    same, different = [], []
    labelled = [(s, p) for s, prints in utterances.items() for p, _ in prints]
    for (one, a), (two, b) in itertools.combinations(labelled, 2):
        assert np.linalg.norm(a) == pytest.approx(1.0, abs=1e-3)
        (same if one == two else different).append(float(a @ b))
    threshold = threshold_at(encoder.capabilities.same_speaker, 3.0)
    assert np.mean(np.array(same) < threshold) < 0.1
    assert np.mean(np.array(different) >= threshold) < 0.1


@pytest.mark.parametrize(
    ("audio", "code"),
    [
        (np.zeros(0, np.float32), "bad_audio"),
        (np.zeros(RATE * 3, np.float32), "bad_audio"),
        (np.full(RATE, np.nan, np.float32), "bad_audio"),
        (np.ones(RATE, np.int16), "bad_audio"),
        (np.ones(1, np.float32), "too_short"),
        (np.random.default_rng(0).normal(0, 0.1, RATE * 3).astype(np.float32), "too_short"),
    ],
)
def test_bad_input_is_named(encoder, audio, code):
    with pytest.raises(SpeakerError) as caught:
        encoder.embed(audio)
    assert caught.value.code == code


def test_quiet_speech_gives_the_same_voiceprint(encoder, speech):
    samples = next(c.samples for c in speech if c.seconds > 3.5)
    assert encoder.embed(samples) @ encoder.embed(samples * 0.05) > 0.97


def test_weights_that_are_missing_or_broken_say_what_to_do(tmp_path):
    with pytest.raises(WeightsError):
        Ge2eEncoder(tmp_path)
    (tmp_path / "ge2e").mkdir()
    (tmp_path / "ge2e" / "pretrained.pt").write_bytes(b"no weights")
    with pytest.raises(WeightsError) as caught:
        Ge2eEncoder(tmp_path)
    assert caught.value.code == "broken"


def test_thresholds_come_without_torch():
    code = "import sys, babblefish.engine.speakers; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
