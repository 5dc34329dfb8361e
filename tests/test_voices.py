"""Who speaks with which voice: everybody with their own, the clearly different ones first."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from babblefish.engine.kokoro import RATE, KokoroSynthesiser, blend_parts
from babblefish.engine.voices import KOKORO_VOICES, VoiceBook

NAMES = ("first", "second", "third", "fourth")


# --- who gets which -------------------------------------------------------------------------


def test_members_get_voices_of_their_own_the_best_first():
    book = VoiceBook()
    assert [book.assign(f"m{n}", "fr", NAMES) for n in range(4)] == list(NAMES)


def test_a_member_keeps_their_voice():
    book = VoiceBook()
    before = {member: book.assign(member, "fr", NAMES) for member in ("a", "b", "c")}
    book.release("a")
    assert {member: book.assign(member, "fr", NAMES) for member in ("c", "b")} == {
        member: before[member] for member in ("c", "b")
    }


def test_the_voice_of_a_member_who_left_is_free_again():
    book = VoiceBook()
    voices = {m: book.assign(m, "fr", NAMES) for m in ("a", "b", "c", "d")}
    book.release("b")
    assert book.assign("e", "fr", NAMES) == voices["b"]


def test_releasing_frees_the_voices_of_all_languages():
    book = VoiceBook()
    for language in ("fr", "en"):
        book.assign("a", language, NAMES)
    book.release("a")
    assert {book.assign("b", language, NAMES) for language in ("fr", "en")} == {"first"}


def test_releasing_a_stranger_changes_nothing():
    book = VoiceBook()
    book.assign("a", "fr", NAMES)
    book.release("b")
    assert book.assign("c", "fr", NAMES) == "second"


def test_languages_do_not_take_voices_from_each_other():
    book = VoiceBook()
    assert book.assign("a", "fr", NAMES) == book.assign("b", "en", NAMES) == "first"


def test_more_members_than_voices_share_them_evenly():
    book = VoiceBook()
    given_out = [book.assign(f"m{n}", "fr", NAMES) for n in range(10)]
    counts = [given_out.count(name) for name in NAMES]
    assert counts == [3, 3, 2, 2]


def test_a_voice_that_is_gone_is_replaced():
    book = VoiceBook()
    assert book.assign("a", "fr", ("old", "other")) == "old"
    assert book.assign("a", "fr", NAMES) == "first"


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), max_size=40))
def test_nobody_shares_while_there_are_free_voices(events):
    book, present = VoiceBook(), {}
    names = tuple("123456")
    for member, leaves in events:
        if leaves:
            book.release(member)
            present.pop(member, None)
        else:
            voice = book.assign(member, "fr", names)
            assert present.get(member, voice) == voice
            present[member] = voice
        assert len(set(present.values())) == len(present)


# --- Kokoro's voices ------------------------------------------------------------------------


@pytest.mark.parametrize("language", KOKORO_VOICES)
def test_a_room_of_eight_has_eight_voices(language):
    voices = KOKORO_VOICES[language]
    assert len(set(voices)) == len(voices) >= 8
    blends = {tuple(sorted(blend_parts(voice))) for voice in voices}
    assert len(blends) == len(voices), "the same voice, written twice"


@pytest.mark.parametrize("language", KOKORO_VOICES)
def test_female_and_male_characters_take_turns(language):
    sexes = [character(voice)[1] for voice in KOKORO_VOICES[language][:4]]
    assert sexes in (list("fmfm"), list("mfmf"))


def character(voice: str) -> str:
    """The part of a blend that a listener notices: the heaviest, else the last."""
    return max(reversed(blend_parts(voice)), key=lambda part: part[1])[0]


@pytest.mark.parametrize("language", [code for code in KOKORO_VOICES if code != "en"])
def test_every_voice_knows_the_sounds_of_its_language(language):
    initial = {"es": "e"}.get(language, language[0])
    for voice in KOKORO_VOICES[language]:
        natives = sum(weight for name, weight in blend_parts(voice) if name[0] == initial)
        assert natives >= 0.2, voice


def test_every_voice_exists(weights_dir):
    known = set(np.load(weights_dir / "kokoro" / "voices.npz").files)
    for voices in KOKORO_VOICES.values():
        for voice in voices:
            assert {name for name, _ in blend_parts(voice)} <= known, voice


def test_a_blend_with_a_man_sounds_like_one(weights_dir):
    """French has no man's voice of its own."""
    kokoro = KokoroSynthesiser(weights_dir)
    hers, his = (
        pitch(kokoro.synthesise("Anna Maria Romana.", "fr", voice))
        for voice in KOKORO_VOICES["fr"][:2]
    )
    assert hers > 1.2 * his


def pitch(samples: np.ndarray) -> float:
    """Hertz at which a 48 kHz sound repeats itself most, over its loudest half second."""
    samples = samples[::2]
    power = np.convolve(np.square(samples), np.ones(RATE // 2), "valid")
    part = samples[int(power.argmax()) :][: RATE // 2]
    spectrum = np.abs(np.fft.rfft(part, 2 * len(part))) ** 2
    likeness = np.fft.irfft(spectrum)[: RATE // 60]
    shortest = RATE // 350
    return RATE / (shortest + int(np.argmax(likeness[shortest:])))
