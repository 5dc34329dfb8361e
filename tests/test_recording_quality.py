"""What is wrong with a recording, said in words; on real speech with known damage."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from babblefish.audio import rms
from babblefish.engine.recording_quality import (
    ENROLMENT,
    REFERENCE,
    PartVoice,
    VoiceActivity,
    assess,
    one_voice,
    parts,
)
from babblefish.engine.stages import SpeakerEncoderCapabilities
from babblefish.errors import AudioError
from bench.damage import RATE, clipped, noisy, telephone
from bench.recording_quality import Judge
from bench.speakers import Recording
from tests import read_aloud

ENCODER = SpeakerEncoderCapabilities("drawn", 2, 0.8, {1.5: 0.60, 3.0: 0.69, 5.0: 0.73})
FRAME = 512


@pytest.fixture(scope="module")
def judge(weights_dir) -> Judge:
    return Judge()


@pytest.fixture(scope="module")
def clips(weights_dir) -> list[Recording]:
    found = [
        Recording(c.samples, c.speaker, c.language, "") for c in read_aloud.speech(weights_dir)
    ]
    return [clip for clip in found if clip.seconds >= 4.0]


def codes(quality) -> list[str]:
    return [fault.code for fault in quality.faults]


def all_speech(seconds: float) -> VoiceActivity:
    return VoiceActivity(np.ones(int(seconds * RATE / FRAME) + 1), FRAME)


def test_clean_speech_is_accepted(judge, clips):
    for clip in clips:
        quality = judge(clip.samples, voices=True, required=REFERENCE)
        assert quality.good, codes(quality)
        assert quality.seconds == pytest.approx(clip.seconds)
        assert 0 < quality.speech_seconds <= clip.seconds + 0.1


@pytest.mark.parametrize("kind", ["white", "pink", "murmur", "music"])
def test_noise_is_measured_and_refused(judge, clips, kind):
    random = np.random.default_rng(3)
    for clip in clips[::3]:
        loud = judge(noisy(clip.samples, kind, 5, clips, random))
        assert "noisy" in codes(loud)
        assert loud.snr_db == pytest.approx(5, abs=6.5)
        clean, some = judge(clip.samples), judge(noisy(clip.samples, kind, 15, clips, random))
        assert loud.snr_db < some.snr_db < clean.snr_db + 1


def test_steady_noise_is_measured_to_three_decibels(judge, clips):
    random = np.random.default_rng(4)
    cleanest = max(clips, key=lambda clip: judge(clip.samples).snr_db)
    for snr in (5, 10, 20):
        quality = judge(noisy(cleanest.samples, "white", snr, clips, random))
        assert quality.snr_db == pytest.approx(snr, abs=3)


def test_a_quiet_recording_is_no_noisier_than_a_loud_one(judge, clips):
    loud = judge(clips[0].samples)
    activity = judge.activity(clips[0].samples)
    quiet = assess(clips[0].samples * np.float32(0.1), activity)
    heard = 35.0  # what is cleaner than that only differs in noise that nobody hears
    assert min(quiet.snr_db, heard) == pytest.approx(min(loud.snr_db, heard), abs=1)
    assert quiet.level_db == pytest.approx(loud.level_db - 20, abs=0.1)
    assert quiet.clipped == pytest.approx(loud.clipped, abs=1e-4)


def test_distortion_is_refused_at_any_volume(judge, clips):
    for clip in clips[::3]:
        activity = judge.activity(clip.samples)
        for gain in (1.0, 0.3):
            damaged = clipped(clip.samples, 0.1) * np.float32(gain)
            assert "clipped" in codes(assess(damaged, activity))
        assert "clipped" not in codes(assess(clip.samples, activity))


def test_telephone_sound_is_refused(judge, clips):
    for clip in clips[::3]:
        quality = judge(telephone(clip.samples))
        assert "muffled" in codes(quality)
        assert quality.bandwidth_hz <= 4000


def test_two_people_one_after_the_other_are_found(judge, clips):
    people = {clip.speaker: clip for clip in clips if clip.speaker}
    for one, two in itertools.combinations(people.values(), 2):
        both = np.concatenate([one.samples[: 5 * RATE], two.samples[: 5 * RATE]])
        assert "two_voices" in codes(judge(both, voices=True)), (one.speaker, two.speaker)


def test_a_microphone_that_is_off_is_named_alone():
    quality = assess(np.full(5 * RATE, 1e-5, np.float32), VoiceActivity(np.zeros(157), FRAME))
    assert codes(quality) == ["silent"]


def test_a_recording_without_speech_is_too_short():
    noise = np.random.default_rng(0).normal(0, 0.1, 5 * RATE).astype(np.float32)
    assert codes(assess(noise, VoiceActivity(np.zeros(157), FRAME))) == ["too_short"]


def test_every_fault_says_what_to_do(judge, clips):
    short = clips[0].samples[:RATE]
    quality = judge(short, required=ENROLMENT)
    assert codes(quality)[0] == "too_short"
    assert "3 s" in quality.faults[0].message
    quiet = clips[0].samples * np.float32(10 ** (-55 / 20) / rms(clips[0].samples))
    found = judge(quiet)
    assert "too_quiet" in codes(found)
    assert all(fault.message.count(".") >= 2 or ":" in fault.message for fault in found.faults)


def test_noise_gates_do_not_count_as_silence_of_the_room():
    """A gate that closes between words leaves digital zero, which says nothing of the noise."""
    random = np.random.default_rng(1)
    speech = random.normal(0, 0.1, 4 * RATE) * (np.sin(np.arange(4 * RATE) / 3000) > 0)
    noise = random.normal(0, 0.03, 4 * RATE)
    gated = np.where(np.arange(4 * RATE) // RATE % 2 == 0, speech + noise, 0).astype(np.float32)
    activity = VoiceActivity(np.tile(np.repeat([1.0, 0.0], 31), 2), FRAME)
    assert assess(gated, activity).snr_db < 15


def test_parts_cover_the_recording_and_are_cut_in_pauses():
    voice = np.zeros(400)
    voice[50:125] = voice[175:380] = 1.0
    found = parts(VoiceActivity(voice, FRAME))
    assert found[0][0] == 0 and found[-1][1] == 400 * FRAME
    assert all(a[1] == b[0] for a, b in itertools.pairwise(found))
    spoken = [voice[a // FRAME : b // FRAME].sum() for a, b in found]
    assert len(found) == 5 and min(spoken) >= 0.4 * max(spoken)
    assert 125 <= found[0][1] // FRAME <= 175
    assert parts(all_speech(1.0)) == [] and parts(VoiceActivity(np.zeros(0), FRAME)) == []
    even = [b - a for a, b in parts(all_speech(8.0))]
    assert len(even) == 5 and max(even) - min(even) <= FRAME


def test_the_most_different_groups_are_compared():
    east, north = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    voices = [PartVoice(v, s) for v, s in ((east, 2.0), (north, 1.5), (east, 2.0), (north, 2.0))]
    assert one_voice(voices) == (pytest.approx(0.0), pytest.approx(3.5))
    assert one_voice(voices[:1]) is None
    quality = assess(np.full(RATE * 8, 0.1, np.float32), all_speech(8), voices, ENCODER)
    assert "two_voices" in codes(quality)


@pytest.mark.parametrize(
    "samples", [np.zeros(0, np.float32), np.full(RATE, np.nan, np.float32), np.ones((2, RATE))]
)
def test_bad_audio_is_named(samples):
    with pytest.raises(AudioError) as caught:
        assess(samples, all_speech(1.0))
    assert caught.value.code == "bad_audio"


def test_voices_without_their_encoder_are_refused():
    with pytest.raises(AudioError):
        assess(np.ones(RATE, np.float32), all_speech(1), [PartVoice(np.ones(2), 1.0)] * 2)
