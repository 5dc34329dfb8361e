"""Two people at one phone: each hears the other in their own language. With scripted stages."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from babblefish.audio import resample, rms
from babblefish.engine import own_echo
from babblefish.engine.identification import UNHEARD, UNKNOWN, Identity
from babblefish.engine.pitch import Pitch
from babblefish.engine.spoken_language import weigh_languages
from babblefish.engine.stages import SPEECH_RATE
from babblefish.engine.voices import VoiceBook
from babblefish.errors import RoomError
from babblefish.protocol import Caption, Configure, Roster, Voicing
from bench.damage import across_the_room
from bench.shared_phone import left_over
from rooms.hub import Hub
from rooms.room import Room
from rooms.shared_phone import FIRST, SECOND, Two, voice_key
from tests.phones import Phone, join, seconds_at, tone

pytestmark = pytest.mark.asyncio(loop_scope="module")
ES, EN = 400, 3000
"""Hertz that the scripted recogniser takes for Spanish and English where both may be spoken"""


@pytest.fixture
def room(hub: Hub) -> Room:
    return hub.create("Interview", "interview")


def table(room: Room) -> Phone:
    return Phone(join(room, "Table", "es", speaks="auto", also="en"))


def played(phone: Phone) -> int:
    return sum(v.state == "played" for v in phone.of(Voicing))


async def test_each_of_two_hears_the_other_and_both_read_both(room):
    async with table(room) as phone:
        phone.say(tone(ES, 1.5))
        await phone.until(lambda: played(phone) == 1)
        phone.say(tone(EN, 1.5))
        await phone.until(lambda: played(phone) == 2)
        first, second = (
            [c for c in phone.finals if c.utterance == of]
            for of in dict.fromkeys(c.utterance for c in phone.finals)
        )
        assert [(c.language, c.translated) for c in first] == [("es", False), ("en", True)]
        assert [(c.language, c.translated) for c in second] == [("en", False), ("es", True)]
        assert first[1].text.startswith("[en] said 400") and first[1].synthetic
        assert second[1].text.startswith("[es] said 3000") and second[1].synthetic
        assert first[1].original_text == first[0].text
        assert {c.name for c in first} == {"Table"} and {c.name for c in second} == {"Table · 2"}
        person = phone.of(Roster)[-1].people[0]
        assert (person.speaks, person.hears, person.also) == (None, "es", "en")
        assert {c.color for c in first} == {person.color}
        assert {c.color for c in second} == {person.also_color} != {person.color}
        spoken = 0.05 * (len(first[1].text) + len(second[1].text))
        assert abs(sum(seconds_at(phone.heard, 1000 + 100 * n) for n in range(4)) - spoken) < 0.8
        assert {v.state for v in phone.of(Voicing)} == {"playing", "played"}, "nothing is skipped"
    rows = list(room.conversation.traces)
    assert [(r.language, r.targets, r.outcome) for r in rows] == [
        ("es", ("en",), "spoken"), ("en", ("es",), "spoken"),
    ]  # fmt: skip


async def test_only_their_two_languages_are_expected(room):
    async with table(room) as phone:
        assert room.conversation.among(phone.member.id) == ("es", "en")
        assert room.conversation.spoken_language(phone.member.id) is None
        phone.link.event(Configure(hears="fr", also="es"))
        assert room.conversation.among(phone.member.id) == ("fr", "es")
        phone.say(tone(EN, 1.0))
        await phone.until(lambda: len(phone.finals) == 2)
        assert {c.language for c in phone.finals} == {"fr", "es"}
        phone.link.event(Configure(also=""))
        assert room.conversation.among(phone.member.id) == ()
        assert phone.of(Roster)[-1].people[0].also is None


async def test_others_listen_in_and_are_heard_in_both_languages(room):
    room.set(detect_language=False)
    async with table(room) as phone, Phone(join(room, "Pierre", "fr")) as pierre:
        phone.say(tone(ES, 1.0))
        await pierre.until(lambda: played(pierre) == 1)
        assert pierre.finals[0].language == "fr" and pierre.finals[0].name == "Table"
        await phone.until(lambda: played(phone) == 1)
        pierre.say(tone(600, 1.0))
        await phone.until(lambda: played(phone) == 3)
        theirs = [c for c in phone.finals if c.name == "Pierre"]
        assert {c.language for c in theirs} == {"es", "en"}, "one after the other, both"
        assert len({c.utterance for c in theirs}) == 1
    async with Phone(join(room, "Ana", "es")) as ana, table(room) as phone:
        ana.say(tone(ES, 1.0))
        await phone.until(lambda: played(phone) == 1)
        assert {(c.language, c.translated) for c in phone.finals} == {("es", False), ("en", True)}


async def test_what_was_missed_comes_back_in_both_languages(room):
    room.set(detect_language=False)
    member = join(room, "Table", "es", speaks="auto", also="en")
    async with Phone(join(room, "Ana", "es")) as ana:
        async with Phone(member) as phone:
            phone.say(tone(ES, 1.0))
            await phone.until(lambda: played(phone) == 1)
        ana.say(tone(500, 1.0))
        await ana.until(lambda: any("said 500" in c.text for c in ana.finals))
        await asyncio.sleep(0.2)
        async with Phone(member) as again:
            await again.until(lambda: len(again.finals) == 4)
            assert [c.language for c in again.finals] == ["es", "en", "es", "en"]


async def test_partial_captions_show_both_too(room):
    async with table(room) as phone:
        phone.say(tone(ES, 3.0))
        await phone.until(lambda: phone.finals)
        partials = [c for c in phone.of(Caption) if not c.final]
        assert {c.language for c in partials} == {"es", "en"}


async def test_two_languages_are_for_interviews_and_must_serve_each_other(hub, room):
    for hears, also in (("es", "es"), ("es", "xx"), ("es", "de")):
        with pytest.raises(RoomError) as error:
            join(room, "Table", hears, also=also)
        assert error.value.code == "language" and error.value.message
    member = join(room, "Table", "es", also="en")
    assert member.pair == ("es", "en")
    room.set(preset="meeting")
    assert member.pair is None and room.conversation.among(member.id) == ()
    assert join(hub.create("Stand-up"), "Table", "es", also="en").pair is None


async def test_who_waits_at_the_door_brings_both_languages_along(room):
    room.set(waiting_list=True)
    place = room.admission.enter(
        "1.2.3.4", name="Table", speaks="auto", hears="es", microphone=True, also="en"
    )
    assert room.admission.admit(place.id).pair == ("es", "en")


# --- who of the two ---------------------------------------------------------------------------


def voice(number: int) -> Identity:
    return Identity(None, number, 1.0, 9.0)


async def test_the_language_says_who_it_was_until_both_voices_are_known():
    two, pair = Two(), ("es", "en")

    def say(who: Identity, language: str) -> int:
        number = two.speaker(who, language, pair)
        two.heard(who, language)
        return number

    assert [say(voice(0), "es"), say(voice(0), "en")] == [FIRST, SECOND], "one voice for both"
    assert [say(UNHEARD, "en"), say(voice(UNKNOWN), "es")] == [SECOND, FIRST]
    for _ in range(3):
        assert say(voice(0), "es") == FIRST and say(voice(1), "en") == SECOND
    assert say(voice(0), "en") == FIRST, "somebody tries the other's language"
    assert say(voice(2), "en") == SECOND, "a cold, or another microphone: a voice never heard"


async def test_each_of_the_two_gets_a_voice_by_their_own_pitch():
    two, book = Two(), VoiceBook()
    high, low = Pitch(220.0, 2.0), Pitch(110.0, 2.0)
    names = ("af_heart", "am_michael", "bf_emma", "am_fenrir")
    two.pitched("m", "u1", high, book)
    assert book.assign(voice_key("m", FIRST), "en", names)[1] == "f"
    two.spoke("m", "u1", FIRST, book)
    two.pitched("m", "u2", low, book)
    assert book.assign(voice_key("m", SECOND), "en", names)[1] == "m", "from the first sentence on"
    two.spoke("m", "u2", SECOND, book)
    assert book.assign(voice_key("m", FIRST), "en", names)[1] == "f"


async def test_one_of_two_languages_is_heard_whatever_else_is_likely():
    heard = {"gl": 0.6, "es": 0.2, "en": 0.1, "pt": 0.1}
    assert weigh_languages(heard, None, 0.5, ("es", "en")) == ("es", pytest.approx(2 / 3))
    assert weigh_languages({}, None, 0.5, ("es", "en"))[1] == 0.5


@pytest.mark.parametrize(("text", "says_no_more"), [
    ("Hello, how are you?", True), ("hello how were you", True), ("Hello.", True), ("", False),
    ("No.", False), ("Wait, I meant tomorrow.", False), ("How are you today? I am fine.", False),
])  # fmt: skip
async def test_what_a_phone_said_itself_is_told_from_what_somebody_says(text, says_no_more):
    assert own_echo.repeats(text, ["Good morning.", "Hello! How are you?"]) == says_no_more


# --- the phone's own loudspeaker --------------------------------------------------------------


@pytest.fixture(scope="module")
def voices(speech) -> tuple[np.ndarray, np.ndarray]:
    """(what the loudspeaker plays, what somebody says), 4 s each and as loud."""
    long = [clip.samples for clip in speech if clip.seconds >= 2]
    other = resample(long[-1], SPEECH_RATE, round(0.83 * SPEECH_RATE))
    # higher: where there are no recordings, all clips are read aloud by one and the same voice
    found = [np.resize(samples, 4 * SPEECH_RATE) for samples in (long[0], other)]
    return tuple((each / rms(each) * 0.05).astype(np.float32) for each in found)


def table_sounds(played: np.ndarray, talk: np.ndarray, level_db: float) -> np.ndarray:
    """8 s: the loudspeaker from 1.3 s on, somebody from 3 s on."""
    arrived = np.zeros(8 * SPEECH_RATE, np.float32)
    arrived[SPEECH_RATE : SPEECH_RATE + len(played)] = played
    arrived = across_the_room(arrived, 0.3, np.random.default_rng(3), 0.3)
    microphone = arrived * 10 ** (level_db / 20)
    microphone[3 * SPEECH_RATE : 3 * SPEECH_RATE + len(talk)] += talk
    noise = np.random.default_rng(4).normal(size=len(microphone)) * 3e-4
    return (microphone + noise).astype(np.float32)


def cleaned(microphone: np.ndarray, played: np.ndarray, usual: float | None = None) -> np.ndarray:
    [late] = own_echo.delays(microphone, [(played, 1.0)])
    assert late == pytest.approx(0.3, abs=0.02)
    aligned = np.zeros(len(microphone), np.float32)
    first = round((1.0 + late) * SPEECH_RATE)
    aligned[first : first + len(played)] = played
    return own_echo.silenced(microphone, aligned, usual)


@pytest.mark.parametrize("level_db", [0, -6, -12, -20])
async def test_a_loudspeaker_alone_is_silenced_and_who_talks_over_it_is_not(voices, level_db):
    played, talk = voices
    alone = cleaned(table_sounds(played, talk * 0, level_db), played)
    inside = slice(int(1.4 * SPEECH_RATE), int(5.2 * SPEECH_RATE))
    assert rms(alone[inside]) < 0.001, "nothing of it is left"
    both = cleaned(table_sounds(played, talk, level_db), played)
    during = slice(3 * SPEECH_RATE, 7 * SPEECH_RATE)
    kept = np.sum(both[during] * talk) / np.sum(talk**2)
    assert kept > (0.7 if level_db == 0 else 0.9)
    assert rms(both[int(1.4 * SPEECH_RATE) : int(2.6 * SPEECH_RATE)]) < 0.001


async def test_what_a_canceller_leaves_of_it_is_too_faint_to_be_somebody(voices):
    played, talk = voices
    patchy = left_over(table_sounds(played, talk * 0, -20), np.random.default_rng(5))
    usual = own_echo.loudness(talk)
    assert rms(cleaned(patchy.astype(np.float32), played)) > 0.0005, "by the bands alone it stays"
    assert rms(cleaned(patchy.astype(np.float32), played, usual)) < 0.0005
    patchy[3 * SPEECH_RATE : 7 * SPEECH_RATE] += talk
    both = cleaned(patchy.astype(np.float32), played, usual)[3 * SPEECH_RATE : 7 * SPEECH_RATE]
    assert np.sum(both * talk) / np.sum(talk**2) > 0.9


async def test_what_is_no_echo_is_left_as_it_is(voices):
    played, talk = voices
    assert own_echo.delays(talk, [(played, 0.0)]) is None
