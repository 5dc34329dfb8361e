"""What is kept of a person's speech in meetings, and that nobody else's gets in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from babblefish.audio import resample
from babblefish.engine.espeak import EspeakSynthesiser
from babblefish.engine.kokoro import KokoroSynthesiser
from babblefish.engine.recording_quality import VoiceActivity
from babblefish.engine.reference_material import (
    Heard,
    KnownVoices,
    Limits,
    Sounding,
    Stretch,
    centroid,
    decide,
    is_sentence,
    judge,
    progress,
    strangers,
    worth,
)
from babblefish.engine.stages import PLAYOUT_RATE, SpeakerEncoderCapabilities
from bench.damage import RATE
from bench.recording_quality import Judge
from bench.reference_material import Person, bleed, enrol, mix, take
from bench.speakers import Recording
from tests import read_aloud
from tests.speech import speech_dir

ENCODER = SpeakerEncoderCapabilities("drawn", 4, 0.8, {1.5: 0.60, 3.0: 0.69, 5.0: 0.73})
OWN, STRANGER = np.eye(4, dtype=np.float32)[:2]
KNOWN = KnownVoices(OWN)
TEXTS = [f"This is what somebody says as number {n}." for n in range(40)]


def stretch(number: int, **changes) -> Stretch:
    made = Stretch(
        f"s{number}", "monday", 10.0 * number, 5.0, 4.5, TEXTS[number], "en", 25.0, OWN, True
    )
    return replace(made, **changes)


def heard(**changes) -> Heard:
    """Three seconds of something like speech in a quiet room."""
    count = 3 * RATE
    random = np.random.default_rng(2)
    sound = random.normal(0, 0.05, count) * (np.sin(np.arange(count) / 2000) > -0.5)
    sound += random.normal(0, 1e-4, count)
    made = Heard(
        "new", "monday", 100.0, sound.astype(np.float32), VoiceActivity(np.ones(94), 512),
        "This is a sentence.", "en", 0.9, OWN,
    )  # fmt: skip
    return replace(made, **changes)


def verdict(candidate: Heard, known: KnownVoices = KNOWN, soundings=(), consented: bool = True):
    return judge(candidate, (), known, soundings, ENCODER, consented=consented)


# --- one stretch, by rule -------------------------------------------------------------------


def test_a_clean_stretch_is_material():
    found = verdict(heard())
    assert isinstance(found, Stretch)
    assert (found.id, found.session, found.text, found.language) == (
        "new", "monday", "This is a sentence.", "en",
    )  # fmt: skip
    assert found.seconds == pytest.approx(3.0) and found.whole and found.snr_db > 20


def test_without_consent_nothing_is_kept():
    assert verdict(heard(), consented=False) == "consent"


@pytest.mark.parametrize("changes", [{"text": " "}, {"confidence": 0.3}])
def test_what_was_said_must_be_known(changes):
    assert verdict(heard(**changes)) == "text"


def test_a_sentence_cut_for_its_length_is_not_whole():
    found = verdict(heard(cut=True))
    assert isinstance(found, Stretch) and not found.whole


def test_another_voice_is_refused_whatever_its_quality():
    assert verdict(heard(voiceprint=STRANGER)) == "other_voice"


def test_a_voice_between_two_people_is_nobodys():
    between = (OWN + STRANGER) / np.sqrt(2).astype(np.float32)
    near = (0.9 * OWN + 0.436 * STRANGER).astype(np.float32)
    assert verdict(heard(voiceprint=between)) == "other_voice"
    assert isinstance(verdict(heard(voiceprint=near)), Stretch)
    assert verdict(heard(voiceprint=near), KnownVoices(OWN, (near,))) == "other_voice"


def test_where_no_voice_is_known_the_others_are_still_refused():
    assert isinstance(verdict(heard(), KnownVoices()), Stretch)
    assert verdict(heard(), KnownVoices(others=(OWN,))) == "other_voice"


def test_a_sound_nobody_can_check_rules_a_stretch_out():
    for start, end in ((101.0, 102.0), (98.0, 99.0), (103.2, 104.0)):
        assert verdict(heard(), soundings=[Sounding(start, end)]) == "bleed"
    for start, end in ((97.0, 98.5), (103.5, 104.0)):
        assert isinstance(verdict(heard(), soundings=[Sounding(start, end)]), Stretch)


def test_before_the_voice_is_known_nothing_may_sound():
    silent = Sounding(100.0, 103.0, np.zeros(3 * RATE, np.float32))
    assert isinstance(verdict(heard(), soundings=[silent]), Stretch)
    assert verdict(heard(), KnownVoices(), [silent]) == "bleed"


def test_a_sound_too_short_to_look_for_rules_a_stretch_out():
    click = np.random.default_rng(1).normal(0, 0.1, RATE // 5).astype(np.float32)
    assert verdict(heard(), soundings=[Sounding(101.0, 101.2, click)]) == "bleed"


# --- one stretch, with real voices ----------------------------------------------------------


@pytest.fixture(scope="module")
def models(weights_dir) -> Judge:
    return Judge()


@pytest.fixture(scope="module")
def people(models, weights_dir) -> list[Person]:
    clips = [
        Recording(c.samples, c.speaker, c.language, "") for c in read_aloud.speech(weights_dir)
    ]
    return enrol(clips, models)


@pytest.fixture(scope="module")
def translation(weights_dir) -> np.ndarray:
    text = "The meeting starts at nine o'clock. We should talk about the budget first."
    if speech_dir():
        spoken = KokoroSynthesiser(weights_dir).synthesise(text, "en", "bf_isabella", 1.0)
    else:  # then Kokoro's are the voices of people, and another of them is not unlike enough
        spoken = EspeakSynthesiser().synthesise(text, "en", "en+f2", 1.0)
    return resample(spoken, PLAYOUT_RATE, RATE)


def speech_of(person: Person) -> np.ndarray:
    return max(person.clips, key=len)[: 6 * RATE]


def enrolled(person: Person) -> np.ndarray:
    return person.enrolled[int(np.argmax([len(clip) for clip in person.clips]))]


def test_real_speech_is_taken_also_while_others_listen_with_headphones(models, people, translation):
    random = np.random.default_rng(1)
    taken = []
    for person in people:
        sounding, _ = bleed(translation, len(speech_of(person)), random)
        for known in (None, sounding):
            result = take(models, speech_of(person), enrolled(person), known)
            taken.append(isinstance(result, Stretch))
    assert np.mean(taken) >= 0.9


@pytest.mark.parametrize("level_db", [-6, -15, -25])
def test_no_bleed_of_translations_or_people_is_taken(models, people, translation, level_db):
    random = np.random.default_rng(2)
    for person, other in zip(people, people[1:] + people[:1], strict=True):
        own_words = np.concatenate([c for c in person.clips if c is not max(person.clips, key=len)])
        for voice in (translation, np.concatenate(other.clips), own_words):
            sounding, arrived = bleed(voice, len(speech_of(person)), random)
            poisoned = mix(speech_of(person), arrived, level_db)
            assert not isinstance(take(models, poisoned, enrolled(person), sounding), Stretch)


def test_a_strange_voice_alone_is_not_taken_even_when_nobody_knows_of_it(
    models, people, translation
):
    for person in people:
        strange = [speech_of(other) for other in people if other is not person]
        for voice in (*strange, translation[: 6 * RATE]):
            assert not isinstance(take(models, voice, enrolled(person), None), Stretch)


# --- what is kept ---------------------------------------------------------------------------


def test_the_bounds_hold_however_much_is_said():
    random, kept = np.random.default_rng(3), []
    limits = Limits()
    for number in range(40):
        seconds = float(random.uniform(2, 14))
        new = stretch(
            number, seconds=seconds, speech_seconds=seconds * 0.9,
            snr_db=float(random.uniform(15, 40)), whole=bool(random.integers(2)),
        )  # fmt: skip
        decision = decide(kept, new, OWN, limits)
        if decision.keep:
            kept = [s for s in kept if s.id not in decision.replaces] + [new]
        else:
            assert not decision.replaces and decision.reason
        assert sum(s.seconds for s in kept) <= limits.seconds and len(kept) <= limits.stretches
    assert progress(kept).share == 1.0
    assert np.mean([worth(s, OWN) for s in kept]) > 0.75


def test_a_better_stretch_takes_the_place_of_the_worst():
    kept = [stretch(n, snr_db=30.0 - n) for n in range(12)]
    assert decide(kept, stretch(20, snr_db=40.0)).replaces == ("s11",)
    slightly = decide(kept, stretch(20, snr_db=20.0))
    assert not slightly.keep and slightly.reason == "full"


def test_many_short_stretches_are_bounded_by_their_number():
    kept = [stretch(n, seconds=2.5, snr_db=20.0) for n in range(12)]
    assert len(decide(kept, stretch(20, snr_db=40.0)).replaces) == 1
    assert decide(kept[:11], stretch(20, snr_db=16.0)).keep


def test_a_short_stretch_does_not_push_out_what_is_needed():
    limits = Limits(seconds=21.0, wanted_seconds=20.0)
    kept = [stretch(n, seconds=10.0, snr_db=16.0, whole=False) for n in range(2)]
    new = stretch(9, seconds=2.0, snr_db=40.0)
    assert decide(kept, new, None, limits).reason == "full"


def test_the_same_words_are_kept_once_and_the_better_time():
    kept = [stretch(0)]
    again = stretch(1, text=" this is what, somebody says as number 0")
    assert decide(kept, again).reason == "better_known"
    assert decide(kept, replace(again, snr_db=40.0)).replaces == ("s0",)
    assert decide(kept, replace(again, language="fr")).keep
    assert decide(kept, stretch(0)).reason == "known"


def test_progress_is_told_in_words():
    kept = [stretch(0, speech_seconds=9.0), stretch(1, speech_seconds=5.2)]
    assert progress(kept).text == "voice 71 %: 14 of 20 s"
    assert progress([]).text == "voice 0 %: 0 of 20 s"
    assert progress([stretch(n, speech_seconds=9.0) for n in range(4)]).text == (
        "voice 100 %: 20 of 20 s"
    )


def test_the_enrolled_voice_outweighs_what_was_collected():
    assert centroid([], None) is None
    kept = [stretch(n, voiceprint=STRANGER) for n in range(9)]
    centre = centroid(kept, OWN)
    assert centre @ OWN == pytest.approx(centre @ STRANGER, abs=1e-3)
    assert centroid(kept, None) @ STRANGER == pytest.approx(1.0, abs=1e-3)


def test_strangers_are_found_with_and_without_enrolment():
    kept = [stretch(0, voiceprint=STRANGER), stretch(1), stretch(2)]
    assert strangers(kept, None, ENCODER) == ("s0",)
    assert strangers(kept, OWN, ENCODER) == ("s0",)
    assert strangers(kept, STRANGER, ENCODER) == ("s1", "s2")
    assert strangers([], None, ENCODER) == ()


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("We meet at nine.", True), ("We meet at nine", False), ("and at nine.", False),
        ("« Vous venez ? »", True), ("会议九点开始。", True), ("...", False), ("¿Vienes?", True),
    ],
)  # fmt: skip
def test_whole_sentences_are_told_from_fragments(text, whole):
    assert is_sentence(text) is whole
