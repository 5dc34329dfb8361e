"""People's own voices in rooms: who is heard in them, when, and what happens when a laptop does not
answer. The laptop is scripted; everything else is as it runs."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import pytest_asyncio

from babblefish.audio import wav_file
from babblefish.engine.patience import patience
from babblefish.errors import RoomError
from babblefish.protocol import Resume, Voicing
from babblefish.settings import Settings
from babblefish.storage.storage import Storage
from rooms.hub import Hub
from rooms.playout import Playout
from tests import stored
from tests.patience import until
from tests.phones import Phone, fake_engine, tone
from tests.scripted_cloning import HERTZ, ScriptedCloning
from tests.stored import form
from tests.test_rooms import join

pytestmark = pytest.mark.asyncio(loop_scope="module")
PIERRE_HERTZ, STRANGER_HERTZ = 400, 2000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine():
    async with fake_engine(plain_voice=True) as engine:
        yield engine


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def slow_engine():
    """Its voice needs 0.3 s for a clause."""
    async with fake_engine(plain_voice=True, voice_delay=0.3) as engine:
        yield engine


@pytest.fixture(autouse=True)
def unhurried(monkeypatch):
    """Sounds that are made at once would be a backlog, and said faster."""
    monkeypatch.setattr(Playout, "pace", 1.0)


@asynccontextmanager
async def server(engine, folder, cloning):
    storage = Storage(folder, clock=lambda: stored.NOW, **stored.QUICK)
    hub = Hub(Settings(), engine, storage, cloning=cloning)
    await hub.start()
    await hub.refresh_people()
    try:
        yield hub
    finally:
        await hub.close()


async def enrol(hub: Hub, purposes=("cloning",), hertz=PIERRE_HERTZ) -> str:
    """Pierre, as if he had read three sentences; his voice is a tone."""
    speaker = (await hub.storage.add_speaker("Pierre")).id
    for purpose in purposes:
        await hub.storage.add_consent(speaker, form(purpose))
    sound = tone(hertz, 7.0)[::3].astype(np.float32) / 32768
    if "voiceprint" in purposes:
        print_ = await hub._engine.embed(sound)
        await hub.storage.add_embedding(speaker, "fake", print_, 7.0)
    if "cloning" in purposes:
        audio = wav_file(sound, 16000)
        clip = stored.clip("Bonjour à tous.", audio=audio, seconds=7.0)
        await hub.storage.add_clip(speaker, clip)
    await hub.refresh_people()
    return speaker


@asynccontextmanager
async def meeting(hub: Hub, speaker: str | None, hears=("en",), speed=4, **settings):
    """speed: of the listeners' phones; 1 where it matters that clauses come in time."""
    room = hub.create("Two tiers")
    room.set(**{"glossary": GLOSSARY, "shared_phones": False} | settings)
    pierre = join(room, "Pierre", "fr")
    hub.profiles.seat(pierre, speaker)
    phones = [
        Phone(join(room, f"Dan {i}", language), speed=speed) for i, language in enumerate(hears)
    ]
    async with Phone(pierre, speed=2) as mouth:
        for phone in phones:
            await phone.__aenter__()
        yield SimpleNamespace(
            hub=hub, speaker=speaker, room=room, mouth=mouth, phones=phones, listener=phones[0]
        )  # fmt: skip
        for phone in phones:
            await phone.__aexit__()
    await hub.close_room(room.code)


GLOSSARY = "Archibald, the elder\nBartholomew, the younger"
"""what is said of 5600 Hz: long enough for several clauses"""


async def utter(there, count: int, hertz: int = PIERRE_HERTZ) -> SimpleNamespace:
    """Pierre speaks for the ``count``th time: what each listener hears of it."""
    before = [len(phone._heard) for phone in there.phones]
    there.mouth.say(tone(hertz, 1.0))
    for phone in there.phones:
        await phone.until(lambda p=phone: len(done(p)) >= count)
    sounds = [
        np.concatenate(phone._heard[start:])
        for phone, start in zip(there.phones, before, strict=True)
    ]
    return SimpleNamespace(sounds=sounds, own=[own(s) for s in sounds],
                           neutral=[neutral(s) for s in sounds])  # fmt: skip


def done(phone: Phone) -> list[Voicing]:
    return [v for v in phone.of(Voicing) if v.state in ("played", "skipped")]


def own(sound: np.ndarray) -> float:
    """Seconds in which the own voice is loudest."""
    return _seconds(sound, [HERTZ])


def neutral(sound: np.ndarray) -> float:
    return _seconds(sound, [1000, 1100, 1200, 1300])


def _seconds(sound: np.ndarray, hertz: list[int]) -> float:
    frames = sound[: len(sound) // 480 * 480].reshape(-1, 480) / 32768.0
    spectra = np.abs(np.fft.rfft(frames, axis=1)) / 240
    there = np.isin(np.argmax(spectra, axis=1) * 100, hertz) & (spectra.max(axis=1) > 0.03)
    return float(there.sum()) / 100


def whole(heard: float, there) -> bool:
    """Whether that is how long the newest translation takes to say, in either voice: all of it,
    and nothing twice. Spaces between clauses are not said."""
    return -0.2 < heard - 0.05 * len(there.listener.finals[-1].text) < 0.1


async def ready(there, cloning: ScriptedCloning, count: int = 1) -> None:
    """The own voice has come through so often, and is waited for from now on."""
    await until(lambda: len(cloning.answered) >= count)
    await until(lambda: there.hub.own_voices.trust.proven(there.speaker))


# --- first neutral, then the own voice -------------------------------------------------------


async def test_first_the_neutral_voice_then_ones_own_and_each_sentence_once(engine, tmp_path):
    cloning = ScriptedCloning()
    async with server(engine, tmp_path, cloning) as hub:
        speaker = await enrol(hub)
        async with meeting(hub, speaker) as there:
            first = await utter(there, 1)
            assert whole(first.neutral[0], there) and first.own[0] < 0.1
            await ready(there, cloning)
            second = await utter(there, 2)
            assert whole(second.own[0], there) and second.neutral[0] < 0.1
            voicings = [v for v in there.listener.of(Voicing) if v.state == "playing"]
            assert [v.own_voice for v in voicings] == [False, True]
            first_row, second_row = there.room.conversation.traces
            assert [v.own for v in first_row.voices] == [False]
            assert [(v.language, v.own) for v in second_row.voices] == [("en", True)]
            assert 0.0 < second_row.voices[0].after_s < 5.0
            assert "own voice en" in second_row.stages_ms
            again = Phone(there.listener.member, running=False)
            async with again:
                again.link.event(Resume(0))
                assert [c.own_voice for c in again.finals[:2]] == [False, True]
        request = cloning.requests[-1]
        assert request.speaker == speaker and request.speaker_name == "Pierre"
        assert " ".join(request.clauses) == there.listener.finals[-1].text
        assert request.reference.text == "Bonjour à tous." and request.reference.rate == 16000
        assert 6.5 < len(request.reference.clip) / 16000 < 7.5


LONG = 5600
"""Hertz that are heard as all names of the glossary"""


async def proven(hub: Hub, there, cloning: ScriptedCloning) -> None:
    """Pierre's own voice has come through once."""
    await utter(there, 1)
    await ready(there, cloning)
    assert len(cloning.requests) == 1


def gaps(sound: np.ndarray) -> float:
    """The longest silence between the first and the last sound of a translation, seconds."""
    frames = np.abs(sound[: len(sound) // 480 * 480].astype(float)).reshape(-1, 480).max(axis=1)
    loud = np.flatnonzero(frames > 1500)  # the original is softer than that
    return float(np.diff(loud).max()) / 100 - 0.01 if len(loud) > 1 else 0.0


async def test_promise_1_a_laptop_killed_in_the_middle_of_a_sentence(slow_engine, tmp_path):
    cloning = ScriptedCloning()
    async with server(slow_engine, tmp_path, cloning) as hub:
        async with meeting(hub, await enrol(hub), speed=1) as there:
            await proven(hub, there, cloning)
            cloning.dies_before = 1
            broken = await utter(there, 2, LONG)
            assert len(cloning.requests[-1].clauses) > 1, "a sentence of several clauses"
            assert broken.own[0] > 0.5 and broken.neutral[0] > 0.5
            assert whole(broken.own[0] + broken.neutral[0], there), "no word lost, none twice"
            assert gaps(broken.sounds[0]) < 0.3
            # back again: tried out unheard, then heard
            cloning.dies_before = None
            assert whole((await utter(there, 3)).neutral[0], there)
            await ready(there, cloning, 2)
            assert whole((await utter(there, 4)).own[0], there)


async def test_promise_2_a_laptop_that_stalls_or_never_answers(slow_engine, tmp_path):
    cloning = ScriptedCloning()
    async with server(slow_engine, tmp_path, cloning) as hub:
        async with meeting(hub, await enrol(hub), speed=1) as there:
            await proven(hub, there, cloning)
            cloning.hangs_before = 1
            stalled = await utter(there, 2, LONG)
            assert stalled.own[0] > 0.1 and stalled.neutral[0] > 0.5
            assert whole(stalled.own[0] + stalled.neutral[0], there)
            assert gaps(stalled.sounds[0]) < 0.3, "the neutral voice was ready in time"
            assert len(cloning.cancelled) == 1, "and nobody waits for the rest any more"
            cloning.hangs_before = None
            await utter(there, 3)
            await ready(there, cloning, 2)
            cloning.hangs_before = 0
            silent = await utter(there, 4)
            assert whole(silent.neutral[0], there) and silent.own[0] < 0.1
            row = there.room.conversation.traces[-1]
            assert row.total_ms < 3500, "within the deadline"


async def test_who_is_not_expected_in_time_is_not_waited_for(engine, tmp_path):
    cloning = ScriptedCloning()
    async with server(engine, tmp_path, cloning) as hub:
        async with meeting(hub, await enrol(hub)) as there:
            await proven(hub, there, cloning)
            cloning.expects = cloning.delay = 4.0
            late = await utter(there, 2)
            assert whole(late.neutral[0], there) and late.own[0] < 0.1
            direct, after = there.room.conversation.traces
            assert after.total_ms < direct.total_ms + 400


async def test_without_a_laptop_nobody_is_asked_and_nothing_is_read(engine, tmp_path):
    cloning = ScriptedCloning(online=False)
    async with server(engine, tmp_path, cloning) as hub:
        async with meeting(hub, await enrol(hub)) as there:
            for count in (1, 2):
                assert whole((await utter(there, count)).neutral[0], there)
        assert not cloning.requests


# --- consent ---------------------------------------------------------------------------------


async def test_promise_25_nobody_is_imitated_who_did_not_agree(engine, tmp_path):
    cloning = ScriptedCloning()
    async with server(engine, tmp_path, cloning) as hub:
        known = await enrol(hub, purposes=("voiceprint",))
        for speaker in (known, None):
            async with meeting(hub, speaker) as there:
                await utter(there, 1)
                assert whole((await utter(there, 2)).neutral[0], there)
        assert not cloning.requests and not cloning.forgotten


async def test_promises_25_and_26_consent_withdrawn_between_two_sentences(engine, tmp_path):
    cloning = ScriptedCloning()
    async with server(engine, tmp_path, cloning) as hub:
        speaker = await enrol(hub)
        async with meeting(hub, speaker) as there:
            await proven(hub, there, cloning)
            await hub.profiles.withdraw(speaker, "cloning", "self")
            assert cloning.forgotten == [speaker], "laptops are told at once"
            assert not hub.own_voices._kept, "nor is it kept here"
            for count in (2, 3):
                assert whole((await utter(there, count)).neutral[0], there)
            assert len(cloning.requests) == 1, "nothing is asked for any more"


async def test_consent_withdrawn_in_the_middle_of_a_sentence_ends_the_own_voice(engine, tmp_path):
    cloning = ScriptedCloning()
    async with server(engine, tmp_path, cloning) as hub:
        speaker = await enrol(hub)
        async with meeting(hub, speaker, speed=1) as there:
            await proven(hub, there, cloning)
            cloning.between = 0.7

            async def withdraw() -> None:
                await there.listener.until(lambda: there.listener.of(Voicing)[-1].own_voice)
                await hub.profiles.withdraw(speaker, "cloning", "self")

            leaving = asyncio.create_task(withdraw())
            broken = await utter(there, 2, LONG)
            await leaving
            assert broken.own[0] > 0.1 and broken.neutral[0] > 0.5
            assert whole(broken.own[0] + broken.neutral[0], there)


# --- several listeners, and the host ---------------------------------------------------------


async def test_two_languages_at_once_one_request_each_however_many_listen(engine, tmp_path):
    cloning = ScriptedCloning()
    async with server(engine, tmp_path, cloning) as hub:
        async with meeting(hub, await enrol(hub), ("en", "en", "es")) as there:
            await utter(there, 1)
            await ready(there, cloning)
            asked = len(cloning.requests)
            both = await utter(there, 2)
            assert all(whole(heard, there) for heard in both.own) and max(both.neutral) < 0.1
            assert sorted(r.language for r in cloning.requests[asked:]) == ["en", "es"]


async def test_the_host_switches_while_people_talk(engine, tmp_path):
    cloning = ScriptedCloning()
    async with server(engine, tmp_path, cloning) as hub:
        async with meeting(hub, await enrol(hub), speed=1) as there:
            await proven(hub, there, cloning)
            there.room.set(voices="neutral")
            assert whole((await utter(there, 2)).neutral[0], there)
            assert len(cloning.requests) == 1, "a neutral room asks nobody"
            there.room.set(voices="sequential")
            assert whole((await utter(there, 3)).own[0], there)
            cloning.delay = 0.8
            there.room.set(voices="replace")
            both = await utter(there, 4, LONG)
            assert both.own[0] > 0.5 and both.neutral[0] > 0.3
            with pytest.raises(RoomError, match="neutral"):
                there.room.set(voices="louder")


# --- the own voice takes over ----------------------------------------------------------------


async def test_the_own_voice_takes_over_in_the_middle_of_the_first_sentence(engine, tmp_path):
    cloning = ScriptedCloning(delay=1.2)
    async with server(engine, tmp_path, cloning) as hub:
        async with meeting(hub, await enrol(hub), voices="replace", speed=1) as there:
            first = await utter(there, 1, LONG)
            assert first.neutral[0] > 0.4 and first.own[0] > 1.0
            assert whole(first.own[0] + first.neutral[0], there), "no word lost, none twice"
            assert gaps(first.sounds[0]) < 0.3
            (row,) = there.room.conversation.traces
            assert [v.own for v in row.voices] == [False, True]
            assert row.voices[1].after_s > row.voices[0].after_s
            states = [(v.state, v.own_voice) for v in there.listener.of(Voicing)]
            assert states == [("playing", False), ("playing", True), ("played", False)]


@pytest.mark.parametrize("trouble", ["dies_before", "hangs_before"])
async def test_taking_over_from_a_laptop_that_goes_away(engine, tmp_path, trouble):
    cloning = ScriptedCloning(delay=0.5, **{trouble: 1})
    async with server(engine, tmp_path, cloning) as hub:
        async with meeting(hub, await enrol(hub), voices="replace", speed=1) as there:
            heard = await utter(there, 1, LONG)
            assert heard.neutral[0] > 0.3
            assert whole(heard.own[0] + heard.neutral[0], there)
            assert gaps(heard.sounds[0]) < 0.3


async def test_an_own_voice_that_comes_too_late_changes_nothing(engine, tmp_path):
    cloning = ScriptedCloning(delay=4.0)
    async with server(engine, tmp_path, cloning) as hub:
        async with meeting(hub, await enrol(hub), voices="replace") as there:
            heard = await utter(there, 1)
            assert whole(heard.neutral[0], there) and heard.own[0] < 0.1
            await until(lambda: there.room.conversation.traces)
            assert len(cloning.cancelled) == 1, "nobody waits for it"


# --- how long to wait ------------------------------------------------------------------------


async def test_patience():
    assert patience(None, 3.0, 0.0, 0.0) == 0.0, "nobody would answer"
    assert patience(5.0, 3.0, 0.0, 0.0) == 0.0, "it would be too late"
    short, long = patience(0.4, 0.5, 0.0, 0.0), patience(0.4, 6.0, 0.0, 0.0)
    assert 0.4 < short < long < 1.3, "a longer sentence is worth more"
    assert patience(0.1, 6.0, 0.0, 0.0) == pytest.approx(0.4), "late for this laptop"
    assert patience(0.4, 6.0, 0.0, 2.0) < long and patience(0.4, 6.0, 0.0, 9.0) == 0.0
    assert patience(0.4, 6.0, 3.0, 9.0) == 3.0, "what is not heard yet anyway costs nothing"
    assert patience(2.5, 6.0, 3.0, 0.0) >= 3.0
