"""Who spoke at one microphone: decisions on voiceprints as they scatter, and on real voices."""

from __future__ import annotations

import itertools
import pickle
import subprocess
import sys

import numpy as np
import pytest

from babblefish.engine.ge2e_calibration import GE2E
from babblefish.engine.identification import (
    OWNER,
    UNKNOWN,
    Enrolled,
    Identifier,
    Sample,
    calibration_of,
)
from babblefish.engine.speakers import Ge2eEncoder
from babblefish.engine.stages import LikelihoodRatio, SpeakerEncoderCapabilities
from babblefish.engine.voice_clusters import MOST_VOICES
from tests import read_aloud

RATE = 16_000
ABLE = Ge2eEncoder.capabilities
AVERAGE = np.array(GE2E.average)
SIMILAR = {1.0: 0.45, 1.5: 0.5, 3.0: 0.65, 5.0: 0.72}
"""seconds → similarity of one person's voiceprints under the same conditions, as GE2E has it"""


class Person:
    """Somebody whose voiceprints scatter around what is their own."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.own = self._direction()

    def _direction(self) -> np.ndarray:
        vector = self.random.normal(size=len(AVERAGE))
        vector -= (vector @ AVERAGE) * AVERAGE / (AVERAGE @ AVERAGE)
        return vector / np.linalg.norm(vector)

    def says(self, seconds: float, similar: float | None = None) -> np.ndarray:
        """A voiceprint that is as similar to another one of theirs as is usual."""
        similar = SIMILAR[seconds] if similar is None else similar
        seen = np.sqrt(similar) * self.own + np.sqrt(1 - similar) * self._direction()
        whole = AVERAGE + 0.7 * seen
        return (whole / np.linalg.norm(whole)).astype(np.float32)

    def enrolled(self, name: str, *qualities: float) -> Enrolled:
        samples = (Sample(self.says(5.0), 5.0, quality) for quality in qualities or (1.0, 1.0))
        return Enrolled(name, tuple(samples))


@pytest.fixture
def people() -> list[Person]:
    return [Person(seed) for seed in range(6)]


# --- enrolled ---


def test_the_enrolled_owner_is_named_and_a_stranger_at_their_phone_is_not(people):
    anna, *others = people
    identifier = Identifier(ABLE, "anna", [anna.enrolled("anna")])
    found = identifier.identify(anna.says(3.0), 3.0)
    assert (found.person, found.voice) == ("anna", OWNER)
    assert found.posterior > 0.9
    assert found.margin > 2.0
    for number, stranger in enumerate(others, 1):
        found = identifier.identify(stranger.says(3.0), 3.0)
        assert (found.person, found.voice) == (None, number)


def test_who_walks_over_to_another_phone_is_themselves_there(people):
    anna, bela, cleo, *_ = people
    everybody = [anna.enrolled("anna"), bela.enrolled("bela"), cleo.enrolled("cleo")]
    for owner in ("anna", "cleo", None):
        identifier = Identifier(ABLE, owner, everybody)
        assert identifier.identify(people[4].says(3.0), 3.0).person is None
        assert identifier.identify(bela.says(3.0), 3.0).person == "bela"
        assert identifier.identify(bela.says(3.0), 3.0).voice == UNKNOWN


def test_doubt_is_answered_by_no_name_and_teaches_nothing(people):
    anna, bela, *_ = people
    identifier = Identifier(ABLE, "anna", [anna.enrolled("anna"), bela.enrolled("bela")])
    between = anna.says(3.0) + bela.says(3.0)
    between /= np.linalg.norm(between)
    for _ in range(3):
        found = identifier.identify(between, 3.0)
        assert (found.person, found.voice, found.known) == (None, UNKNOWN, False)
    assert identifier.count == 0


def test_the_same_voiceprint_says_less_of_shorter_speech(people):
    enrolled, strange, posteriors = [people[0].enrolled("anna")], people[1].says(3.0), []
    for seconds in (1.0, 2.0, 5.0):
        identifier = Identifier(ABLE, None, enrolled)
        posteriors.append(identifier.identify(strange, seconds).posterior)
    assert posteriors[0] < posteriors[1] < posteriors[2]
    assert abs(GE2E.elsewhere.of(0.0, 1.0, 10.0)) < abs(GE2E.elsewhere.of(0.0, 5.0, 10.0))


def test_owning_the_phone_weighs_but_does_not_name(people):
    anna, bela, *_ = people
    enrolled = [anna.enrolled("anna"), bela.enrolled("bela")]
    unclear = [anna.says(1.5, 0.15) for _ in range(60)]

    def named(owner: str) -> int:
        found = [Identifier(ABLE, owner, enrolled).identify(p, 1.5).person for p in unclear]
        assert "bela" not in found
        return found.count("anna")

    assert named("bela") + 5 < named("anna") < 60
    stranger = people[3].says(1.0, 0.9)
    for _ in range(8):
        identifier = Identifier(ABLE, "anna", enrolled)
        identifier.identify(anna.says(3.0), 3.0)
        assert identifier.identify(stranger, 1.0).person is None


def test_a_bad_recording_does_not_spoil_an_enrolment(people):
    anna, bela, *_ = people
    good = anna.enrolled("anna", 1.0, 1.0, 1.0).samples
    for poor in (
        Sample(bela.says(5.0), 5.0, quality=1.0),
        Sample(bela.says(5.0), 20.0, quality=0.1),
    ):
        identifier = Identifier(ABLE, None, [Enrolled("anna", (*good, poor))])
        assert identifier.identify(bela.says(3.0), 3.0).person is None
        assert identifier.identify(anna.says(3.0), 3.0).person == "anna"


def test_more_samples_name_more_surely(people):
    anna = people[0]
    samples = [Sample(anna.says(1.5, 0.25), 1.5) for _ in range(6)]
    shorts = [anna.says(1.5, 0.25) for _ in range(40)]

    def named(count: int) -> int:
        enrolled = [Enrolled("anna", tuple(samples[:count]))]
        found = [Identifier(ABLE, None, enrolled).identify(p, 1.5).person for p in shorts]
        return found.count("anna")

    assert named(1) + 10 < named(6)


def test_enrolling_and_deleting_take_effect_at_once(people):
    anna, bela, *_ = people
    identifier = Identifier(ABLE)
    assert identifier.identify(anna.says(3.0), 3.0).voice == OWNER
    assert identifier.identify(bela.says(3.0), 3.0).voice == 1
    identifier.know([bela.enrolled("bela")])  # the guest: their voice here is theirs from now on
    assert identifier.identify(bela.says(3.0), 3.0).person == "bela"
    assert identifier.identify(anna.says(3.0), 3.0).voice == OWNER
    identifier.know([bela.enrolled("bela"), anna.enrolled("anna")], "anna")
    assert identifier.count == 0
    found = identifier.identify(anna.says(3.0), 3.0)
    assert (found.person, found.voice) == ("anna", OWNER)
    identifier.know([])
    assert identifier.identify(anna.says(3.0), 3.0).person is None
    assert identifier.identify(anna.says(3.0), 3.0).voice == OWNER
    assert identifier.identify(bela.says(3.0), 3.0).voice == 1


def test_a_word_too_short_for_a_voiceprint_is_the_only_speakers_or_nobodys(people):
    anna, bela, *_ = people
    identifier = Identifier(ABLE, "anna", [anna.enrolled("anna"), bela.enrolled("bela")])
    for _ in range(6):
        assert identifier.identify(anna.says(3.0), 3.0).person == "anna"
    assert identifier.identify(None, 0.4).person == "anna"
    identifier.identify(bela.says(3.0), 3.0)
    assert not identifier.identify(None, 0.4).known


# --- nobody enrolled ---


def test_two_people_alternating_become_two_voices(people):
    for one, two in itertools.permutations(people, 2):
        identifier = Identifier(ABLE)
        for _ in range(8):
            assert identifier.identify(one.says(3.0), 3.0).voice == OWNER
            assert identifier.identify(two.says(3.0), 3.0).voice == 1


def test_one_person_stays_one_voice(people):
    for person in people:
        identifier = Identifier(ABLE)
        for _ in range(60):  # more than are remembered
            assert identifier.identify(person.says(3.0), 3.0).voice == OWNER
        assert identifier.count == 1


def test_a_voice_that_may_be_the_owners_is_shown_as_theirs_until_it_is_surely_another(people):
    """Two seconds that are unlike them are not enough, more of the same voice are."""
    one, two = (person.own for person in people[:2])
    other = two - (two @ one) * one
    unlike = 0.155 * one + np.sqrt(1 - 0.155**2) * other / np.linalg.norm(other)
    owner, guest = (AVERAGE + 0.7 * seen for seen in (one, unlike))
    owner, guest = (p.astype(np.float32) / np.linalg.norm(p) for p in (owner, guest))
    identifier = Identifier(ABLE)
    for _ in range(4):
        assert identifier.identify(owner, 3.0).voice == OWNER
    assert [identifier.identify(guest, 2.0).voice for _ in range(3)] == [OWNER, 1, 1]
    assert identifier.identify(owner, 3.0).voice == OWNER


def test_short_or_unclear_speech_never_opens_a_voice(people):
    one, two, *_ = people
    identifier = Identifier(ABLE)
    assert identifier.identify(None, 0.4).voice == OWNER
    assert identifier.identify(one.says(3.0), 3.0).voice == OWNER
    assert identifier.identify(two.says(1.0), 1.0).voice == OWNER
    assert identifier.identify(two.says(3.0), 3.0).voice == 1
    assert identifier.identify(None, 0.5).voice == 1
    assert identifier.identify(one.says(1.0), 1.0).voice == OWNER
    assert identifier.count == 2


def test_the_number_of_voices_is_bounded():
    identifier = Identifier(ABLE)
    for seed in range(40):
        identifier.identify(Person(seed).says(5.0), 5.0)
    assert identifier.count <= MOST_VOICES


def test_a_mistake_made_early_does_not_last(people):
    one, two, *_ = people
    middle = one.says(3.0) + two.says(3.0)
    identifier = Identifier(ABLE)
    for voiceprint in (one.says(3.0), middle / np.linalg.norm(middle)):
        assert identifier.identify(voiceprint, 3.0).voice == OWNER
    turns = [
        (
            identifier.identify(one.says(3.0), 3.0).voice,
            identifier.identify(two.says(3.0), 3.0).voice,
        )
        for _ in range(8)
    ]
    assert turns[2:] == [(OWNER, 1)] * 6


# --- calibrations ---


@pytest.mark.parametrize("ratio", [GE2E.here, GE2E.elsewhere])
def test_more_similar_is_never_less_likely(ratio: LikelihoodRatio):
    for seconds, known in itertools.product((0.5, 1.0, 1.5, 3.0, 5.0, 60.0), repeat=2):
        values = [ratio.of(x, seconds, known) for x in np.linspace(-1, 1, 101)]
        assert all(b >= a for a, b in itertools.pairwise(values))
        assert -12 <= values[0] < -1
        assert 1 < values[-1] <= 12


def test_an_encoder_that_was_never_measured_goes_by_its_thresholds():
    able = SpeakerEncoderCapabilities("drawn", 8, 0.8, {1.5: 0.33, 3.0: 0.38, 5.0: 0.41})
    ratio = calibration_of(pickle.loads(pickle.dumps(able))).elsewhere
    for seconds, threshold in able.same_speaker.items():
        assert ratio.of(threshold, seconds, seconds) == pytest.approx(0.0, abs=0.2)
        assert ratio.of(threshold + 0.3, seconds, seconds) > 4
    one, two = np.eye(8, dtype=np.float32)[:2]
    identifier = Identifier(able)
    voices = [identifier.identify(print_, 3.0).voice for print_ in (one, two, one, two)]
    assert voices == [OWNER, 1, OWNER, 1]


def test_it_comes_without_torch():
    code = "import sys, babblefish.engine.identification; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- real voices ---


_ALIKE = "bf_emma"
"""where there are no recordings: too like the other woman that Kokoro reads with"""


@pytest.fixture(scope="module")
def voices(weights_dir) -> dict[str, list[np.ndarray]]:
    """Speaker → voiceprints of 3 s each."""
    encoder, found = Ge2eEncoder(weights_dir), {}
    for clip in read_aloud.speech(weights_dir):
        for start in range(0, len(clip.samples) - 3 * RATE + 1, 3 * RATE):
            if clip.speaker and clip.speaker != _ALIKE:
                piece = clip.samples[start : start + 3 * RATE]
                found.setdefault(clip.speaker, []).append(encoder.embed(piece))
    return {speaker: prints[:8] for speaker, prints in found.items()}


def enrol(voices: dict[str, list[np.ndarray]], *speakers: str) -> list[Enrolled]:
    """With the first half of what they say."""
    return [
        Enrolled(s, tuple(Sample(p, 3.0) for p in voices[s][: max(1, len(voices[s]) // 2)]))
        for s in speakers
    ]


def test_real_people_are_named_wherever_they_speak(voices):
    everybody = enrol(voices, *voices)
    for speaker, owner in itertools.product(voices, [*voices, None]):
        for print_ in voices[speaker][max(1, len(voices[speaker]) // 2) :]:
            found = Identifier(ABLE, owner, everybody).identify(print_, 3.0).person
            assert found == speaker or (found is None and owner != speaker)


def test_real_strangers_get_no_name(voices):
    for stranger in voices:
        others = [speaker for speaker in voices if speaker != stranger]
        for owner in [*others, None]:
            identifier = Identifier(ABLE, owner, enrol(voices, *others))
            assert all(identifier.identify(p, 3.0).person is None for p in voices[stranger])


def test_real_people_alternating_and_alone(voices):
    for one, two in itertools.permutations(voices, 2):
        identifier = Identifier(ABLE)
        for first, second in zip(voices[one], voices[two], strict=False):
            assert identifier.identify(first, 3.0).voice == OWNER
            assert identifier.identify(second, 3.0).voice == 1
    for prints in voices.values():
        identifier = Identifier(ABLE)
        assert {identifier.identify(p, 3.0).voice for p in prints} == {OWNER}
