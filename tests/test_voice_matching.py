"""Everybody gets the voice nearest to theirs, nobody loses one by it, and the table is true."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from babblefish.engine import voice_blending, voice_matching
from babblefish.engine.espeak import VARIANTS
from babblefish.engine.kokoro import KokoroSynthesiser
from babblefish.engine.pitch import Pitch, measure, semitones
from babblefish.engine.speakers import Ge2eEncoder
from babblefish.engine.voice_matching import ANY, Person, VoiceTable, assignment, match
from babblefish.engine.voices import KOKORO_VOICES, VoiceBook
from tests.test_pitch import voice as buzz

NAMES = ("af_low", "am_mid", "af_high", "am_top")
PITCHES = (100.0, 140.0, 200.0, 280.0)
PRINTS = np.eye(4, 8, dtype=np.float32)
RATE = 16_000


@pytest.fixture
def known() -> VoiceTable:
    return VoiceTable([("en", name) for name in NAMES], np.array(PITCHES), PRINTS)


@pytest.fixture
def book(known) -> VoiceBook:
    return VoiceBook(known)


def assign(book: VoiceBook, member: str) -> str:
    return book.assign(member, "en", NAMES)


def heard(seconds: float) -> Pitch:
    found = measure(buzz(275, seconds), RATE)
    assert found is not None
    return found


# --- who gets which -------------------------------------------------------------------------


def test_the_nearest_pitch_is_given(book):
    for member, hertz in (("a", 190.0), ("b", 105.0), ("c", 300.0)):
        book.describe(member, Person(pitch=hertz))
    assert [assign(book, m) for m in "abc"] == ["af_high", "af_low", "am_top"]


def test_a_voiceprint_counts_more_than_a_small_difference_in_pitch(book):
    book.describe("a", Person(pitch=150.0, voiceprint=PRINTS[2]))
    assert assign(book, "a") == "af_high"


@pytest.mark.parametrize(
    "strange", (Person(105.0, PRINTS[2], "pyannote"), Person(105.0, np.ones(512, np.float32)))
)
def test_a_voiceprint_of_another_encoder_says_nothing(book, strange):
    book.describe("a", strange)
    assert assign(book, "a") == "af_low"


def test_live_speech_gives_a_pitch_once_there_is_enough_of_it(book):
    book.hear("a", heard(0.6))
    assert book._person("a").pitch is None
    book.hear("a", heard(2.0))
    assert assign(book, "a") == "am_top"


def test_nothing_of_live_speech_is_kept_but_its_pitch(book):
    book.hear("a", heard(2.0))
    assert not any(isinstance(value, np.ndarray) for value in vars(book._heard["a"]).values())
    assert book._person("a").voiceprint is None
    book.release("a")
    assert book._person("a") == Person()


def test_whoever_is_unknown_gets_the_next_of_the_list(book):
    assert [assign(book, m) for m in "abcd"] == list(NAMES)


def test_somebody_unknown_leaves_alone_the_voice_that_another_needs(book):
    book.describe("b", Person(pitch=100.0))
    assert assign(book, "a") == "am_mid"
    assert assign(book, "b") == "af_low"


def test_people_get_the_voices_that_are_best_for_all_together(book):
    """The first to speak is nearest to the voice that the other needs far more."""
    book.describe("a", Person(pitch=117.0))
    book.describe("b", Person(pitch=80.0))
    assert assign(book, "a") == "am_mid"
    assert assign(book, "b") == "af_low"


def test_a_voice_already_heard_is_kept_whoever_joins(book):
    book.describe("a", Person(pitch=130.0))
    assert assign(book, "a") == "am_mid"
    book.describe("b", Person(pitch=140.0))
    assert assign(book, "b") != "am_mid"
    assert assign(book, "a") == "am_mid"


def test_a_voice_given_in_ignorance_changes_once_something_far_nearer_is_known(book):
    assert assign(book, "a") == "af_low"
    book.describe("a", Person(pitch=270.0))
    assert assign(book, "a") == "am_top"
    book.describe("a", Person(pitch=100.0))
    assert assign(book, "a") == "am_top", "it changes to and fro"


def test_a_voice_given_in_ignorance_stays_if_it_fits(book):
    assert assign(book, "a") == "af_low"
    book.describe("a", Person(pitch=122.0))
    assert assign(book, "a") == "af_low"


def test_the_voice_of_an_earlier_meeting_returns_when_it_is_free(book):
    again = Person(pitch=100.0, remembered={"en": "am_top", "fr": "elsewhere"})
    book.describe("a", again)
    book.describe("b", again)
    assert assign(book, "a") == "am_top"
    assert assign(book, "b") == "af_low"


def test_a_remembered_blend_returns(book):
    book.describe("a", Person(remembered={"en": "af_low*0.5+am_mid*0.5"}))
    assert assign(book, "a") == assign(book, "a") == "af_low*0.5+am_mid*0.5"


def test_a_choice_is_obeyed_at_once_even_if_somebody_has_that_voice(book):
    book.describe("a", Person(pitch=100.0))
    book.describe("b", Person(pitch=280.0))
    assert (assign(book, "a"), assign(book, "b")) == ("af_low", "am_top")
    book.describe("b", Person(pitch=280.0, chosen={"en": "af_low"}))
    assert (assign(book, "a"), assign(book, "b")) == ("af_low", "af_low")
    book.describe("b", Person(pitch=280.0))
    assert assign(book, "b") == "am_top"
    assert book.taken("en") == {"a": "af_low", "b": "am_top"}


@pytest.mark.parametrize("voice", ("zz_nobody", "af_low*0.5+zz_nobody*0.5", "../x", ""))
def test_a_choice_that_cannot_be_had_is_passed_over(book, voice):
    book.describe("a", Person(pitch=280.0, chosen={"en": voice}, remembered={"en": voice}))
    assert assign(book, "a") == "am_top"


def test_neutral_owes_nothing_to_the_person(book):
    book.describe("a", Person(280.0, PRINTS[3], neutral=True, remembered={"en": "am_top"}))
    assert assign(book, "a") == "af_low"


def test_neutral_is_obeyed_in_the_middle_of_a_meeting(book):
    book.describe("a", Person(pitch=280.0))
    assert assign(book, "a") == "am_top"
    book.describe("a", Person(pitch=280.0, neutral=True))
    assert assign(book, "a") == "af_low"


def test_what_all_voices_have_in_common_does_not_hide_what_sets_them_apart():
    """As with synthetic speech, which sounds more like itself than like anybody."""
    own = np.array([[0, 1, 0, 0], [0, 0.8, 0, 0.8], [0, -1, 0, 0]], np.float32)
    names = ("woman", "hoarse", "man")
    prints = voice_matching.unit(np.array([3.0, 0, 0, 0]) + own)
    known = VoiceTable([("en", n) for n in names], np.full(3, 150.0), prints)
    assert prints[0] @ prints[2] > 0.7
    likeness = [known.likeness(prints[0], "en", name) for name in names]
    assert likeness[0] == pytest.approx(1.0, abs=1e-3)
    assert (likeness[2] or 0) < -0.5


def test_each_language_has_its_own_voices(book, known):
    book.describe("a", Person(pitch=200.0))
    assert book.assign("a", "de", ("de+f2", "de+m3")) == "de+f2", "nothing is known of these"
    assert assign(book, "a") == "af_high"


def test_a_voice_like_one_in_the_room_is_worth_less():
    prints = np.array([[1, 0, 0], [0.98, 0.2, 0], [0, 0, 1]], np.float32)
    names = ("one", "twin", "other")
    known = VoiceTable([("en", n) for n in names], np.array([150.0, 150.0, 158.0]), prints)
    assert match([Person(pitch=150.0)], "en", names, [], known) == ["one"]
    assert match([Person(pitch=150.0)], "en", names, ["one"], known) == ["other"]


_people = st.lists(
    st.tuples(st.sampled_from("abcdefg"), st.none() | st.floats(70, 350), st.booleans()),
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(_people)
def test_nobody_loses_a_voice_and_nobody_shares_while_there_are_free_ones(events):
    known = VoiceTable([("en", n) for n in NAMES], np.array(PITCHES), PRINTS)
    book, present = VoiceBook(known), {}
    for member, hertz, leaves in events:
        if leaves:
            book.release(member)
            present.pop(member, None)
        elif member in present:
            assert assign(book, member) == present[member]
        else:
            counts = {name: list(present.values()).count(name) for name in NAMES}
            book.describe(member, Person(pitch=hertz))
            present[member] = assign(book, member)
            assert counts[present[member]] == min(counts.values())


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_an_assignment_costs_the_least(rows, more, seed):
    matrix = np.random.default_rng(seed).normal(size=(rows, rows + more))
    found = assignment(matrix)
    assert len(set(found)) == rows
    cheapest = min(
        sum(matrix[row, column] for row, column in enumerate(columns))
        for columns in itertools.permutations(range(rows + more), rows)
    )
    assert sum(matrix[row, column] for row, column in enumerate(found)) == pytest.approx(cheapest)


# --- blends ---------------------------------------------------------------------------------


BOTH = voice_matching.unit(PRINTS[0] + PRINTS[3])


class Studio:
    """Voices that sound just as their names say; what they say is their voiceprint."""

    def __init__(self, known: VoiceTable, garbled: str = "") -> None:
        self._known, self._garbled, self._said = known, garbled, ""

    async def speak(self, text: str, voice: str) -> np.ndarray:
        self._said = text
        parts = voice_blending.blend_parts(voice)
        return np.sum([w * self._known.voiceprint("en", name) for name, w in parts], axis=0)

    async def embed(self, samples: np.ndarray) -> np.ndarray:
        return voice_matching.unit(samples)

    async def transcribe(self, samples: np.ndarray) -> str:
        is_blend = int(np.count_nonzero(samples) > 1)
        return f"noise {is_blend}" if self._garbled == self._said else f"Words{'.' * is_blend}"


async def blend(known: VoiceTable, voiceprint: np.ndarray, proof: np.ndarray, garbled: str = ""):
    studio = Studio(known, garbled)
    return await voice_blending.closest_blend(
        Person(voiceprint=voiceprint), "en", NAMES, "af_low", ["choice"],
        voice_blending.Evidence(proof, ["proof"]), known,
        speak=studio.speak, embed=studio.embed, transcribe=studio.transcribe,
    )  # fmt: skip


async def test_a_blend_is_kept_when_it_is_nearer(known):
    found = await blend(known, BOTH, BOTH)
    assert found is not None and found.voice == "af_low*0.50+am_top*0.50"
    assert found.similarity == pytest.approx(1.0, abs=0.01)
    assert found.before == pytest.approx(0.707, abs=0.01)


@pytest.mark.parametrize(
    ("voiceprint", "proof"), ((PRINTS[0], BOTH), (BOTH, PRINTS[0])), ids=("choice", "proof")
)
async def test_a_blend_must_be_nearer_twice(known, voiceprint, proof):
    assert await blend(known, voiceprint, proof) is None


@pytest.mark.parametrize("garbled", ("choice", "proof"))
async def test_a_blend_must_be_understood_alike(known, garbled):
    assert await blend(known, BOTH, BOTH, garbled) is None


@pytest.mark.parametrize("language", KOKORO_VOICES)
def test_blends_of_real_voices_can_be_said_and_keep_their_language(language):
    known, names = voice_matching.table(), KOKORO_VOICES[language]
    person = Person(voiceprint=known.voiceprint(language, names[1]))
    initials = {"en": "ab", "es": "e"}.get(language, language[0])
    for voice in voice_blending.propose(person, language, names, known):
        parts = voice_blending.blend_parts(voice)
        assert sum(weight for name, weight in parts if name[0] in initials) >= 0.2
        book = VoiceBook()
        book.describe("a", Person(chosen={language: voice}))
        assert book.assign("a", language, names) == voice


# --- the table ------------------------------------------------------------------------------


@pytest.mark.parametrize("language", KOKORO_VOICES)
def test_every_voice_is_in_the_table(language):
    known = voice_matching.table()
    for voice in KOKORO_VOICES[language]:
        assert 60 < (known.pitch(language, voice) or 0) < 300, voice
        assert np.linalg.norm(known.voiceprint(language, voice)) == pytest.approx(1, abs=0.01)


def test_espeaks_variants_are_in_the_table_for_all_languages():
    known = voice_matching.table()
    low, high = (
        [known.pitch("de", f"de+{v}") for v in VARIANTS if v[0] == sex] for sex in ("m", "f")
    )
    assert np.mean(low) < np.mean(high)
    assert known.pitch("de", "de+m3") == known.pitch(ANY, "+m3")
    assert known.pitch("pl", "pl+plain") is None


def test_the_table_is_what_the_weights_sound_like(weights_dir):
    from bench.voice_table import measure, provenance, read, speak

    assert len(read()) == sum(map(len, KOKORO_VOICES.values())) + len(VARIANTS)
    kokoro, encoder = KokoroSynthesiser(weights_dir), Ge2eEncoder(weights_dir)
    with np.load(voice_matching.TABLE) as file:
        assert str(file["provenance"]) == json.dumps(provenance(weights_dir))
    row, kept = measure(speak(kokoro, "it", "im_nicola"), encoder), read()["it", "im_nicola"]
    assert row.voiceprint @ kept.voiceprint > 0.99
    assert semitones(row.hertz, kept.hertz) < 0.2
