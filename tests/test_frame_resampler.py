"""Sound resampled frame by frame, for programs that send and take 20 ms at a time."""

from __future__ import annotations

import numpy as np
import pytest

from babblefish.audio import FrameResampler

RATES = [(48000, 8000), (48000, 16000), (48000, 24000), (16000, 48000), (48000, 48000)]


def resampled(samples: np.ndarray, source: int, target: int, frame: int) -> np.ndarray:
    resampler = FrameResampler(source, target)
    frames = samples.astype(np.float32).reshape(-1, frame)
    out = [resampler.push(part) for part in frames]
    assert {len(part) for part in out} == {frame * target // source}
    return np.concatenate(out)


def sine(hertz: float, rate: int) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(rate) / rate)


@pytest.mark.parametrize("source, target", RATES)
def test_a_tone_stays_what_it_is_without_seams(source, target):
    out = resampled(sine(440, source), source, target, source // 50)[target // 10 :]
    phase = np.arange(len(out)) / target
    basis = np.stack([np.sin(2 * np.pi * 440 * phase), np.cos(2 * np.pi * 440 * phase)], axis=1)
    fit, *_ = np.linalg.lstsq(basis, out, rcond=None)
    assert abs(np.hypot(*fit) - 0.5) < 0.01
    assert np.abs(out - basis @ fit).max() < 0.003


@pytest.mark.parametrize("source, target", RATES[:3])
def test_what_the_lower_rate_cannot_carry_is_gone(source, target):
    out = resampled(sine(target * 0.56, source), source, target, 960)[target // 10 :]
    assert np.abs(out).max() < 0.005


@pytest.mark.parametrize("lengths", [(320, 320), (320, 10), (320, 7, 5)])
def test_after_what_nobody_wanted_it_goes_on_without_a_seam(lengths):
    sound = sine(440, 16000).astype(np.float32)
    whole, partly = FrameResampler(16000, 48000), FrameResampler(16000, 48000)
    expected = whole.push(sound[:3200])
    at = 320
    partly.push(sound[:at])
    for length in lengths:
        partly.skip(sound[at : at + length])
        at += length
    assert np.allclose(partly.push(sound[at:3200]), expected[3 * at :])


def test_rates_that_do_not_fit_are_refused():
    with pytest.raises(ValueError):
        FrameResampler(48000, 11025)
    with pytest.raises(ValueError):
        FrameResampler(48000, 16000).push(np.zeros(961, np.float32))
