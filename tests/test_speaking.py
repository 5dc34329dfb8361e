"""Who says a translation when the speaker's own voice is late, fails, or keeps up."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from babblefish.engine import precedence, speaking, strain
from babblefish.engine.backlog import Backlog
from babblefish.engine.job_queue import Priority
from babblefish.engine.voices import similar
from babblefish.protocol import Audio, Notice, Speech, Utterance, Voicing
from babblefish.settings import Settings
from rooms.hub import Hub
from tests.phones import Phone, fake_engine, tone


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def utterance(number: int = 0, hertz: int = 400) -> Utterance:
    samples = (tone(hertz, 1.0)[::3] / 32768.0).astype(np.float32)
    return Utterance(f"u{number}", "m", Audio(samples, 16000), 0.0, 1.0, "fr")


async def said(engine, spoken: Utterance, **options) -> list[Speech]:
    messages: list = []
    await engine.process(spoken, {"en": "en-1"}, messages.append, **options)
    assert not [m for m in messages if isinstance(m, Notice)]
    return [m for m in messages if isinstance(m, Speech)]


# --- what is owed ---------------------------------------------------------------------------


def test_what_is_promised_is_owed_until_it_is_kept_or_given_up():
    backlog = Backlog(Clock())
    with backlog.promise(4.0) as first, backlog.promise(2.0):
        assert backlog.wait() == pytest.approx(3.0) and backlog.wait(1.0) == pytest.approx(3.5)
        first.keep(3.0)
        assert backlog.wait() == pytest.approx(1.5)
        first.keep(9.0)
    assert backlog.wait() == 0


def test_the_wait_follows_how_long_speech_takes_to_make():
    clock = Clock()
    backlog = Backlog(clock)
    for _ in range(30):
        with backlog.work(2.0):
            clock.now += 3.0
    assert backlog.wait(1.0) == pytest.approx(1.5, abs=0.01)
    with pytest.raises(RuntimeError), backlog.work(2.0):
        clock.now += 50.0
        raise RuntimeError
    assert backlog.wait(1.0) == pytest.approx(1.5, abs=0.01), "a failure says nothing of speed"
    with pytest.raises(asyncio.CancelledError), backlog.work(2.0):
        clock.now += 0.1
        raise asyncio.CancelledError
    assert backlog.wait(1.0) == pytest.approx(1.5, abs=0.01), "nor does giving up early"
    with pytest.raises(asyncio.CancelledError), backlog.work(2.0):
        clock.now += 13.0
        raise asyncio.CancelledError
    assert backlog.wait(1.0) == pytest.approx(2.5, abs=0.01), "it takes at least that long"


def test_time_spent_on_other_speech_does_not_count():
    clock = Clock()
    backlog = Backlog(clock)
    first, second = backlog.work(1.0), backlog.work(1.0)
    with second:
        with first:
            clock.now += 0.5
        clock.now += 0.5
    assert backlog.wait(1.0) == pytest.approx(0.5)


@pytest.mark.parametrize("voice", ["af_heart", "am_onyx", "ef_dora*0.3+bf_emma*0.7", "", "x"])
def test_the_plain_voice_is_of_the_same_sex_and_always_the_same(voice):
    names = ("en+f2", "en+m3", "en+f4", "en+m7")
    plain = similar(voice, names)
    assert plain in names and plain == similar(voice, names)
    if voice[2:3] == "_":
        assert plain[3] == voice[1]


# --- who says it ----------------------------------------------------------------------------


async def test_the_own_voice_speaks_while_it_keeps_up():
    async with fake_engine(plain_voice=True) as engine:
        clauses = await said(engine, utterance())
    assert len(clauses) > 1
    assert {(c.voice, c.plain) for c in clauses} == {("en-1", False)}


async def test_who_would_be_late_is_spoken_for_plainly_and_the_own_voice_returns(monkeypatch):
    monkeypatch.setattr(speaking, "PLAIN_AFTER_S", 20.0)
    async with fake_engine(plain_voice=True) as engine:
        own = engine.synthesiser("en")
        with engine.backlog(own).promise(60.0):
            late = await said(engine, utterance())
            patient = await said(engine, utterance(1), priority=Priority.BATCH)
        after = await said(engine, utterance(2))
    assert late[-1].last and {c.plain for c in late} == {True}
    assert " ".join(c.text for c in late) == " ".join(c.text for c in after), "nothing is left out"
    assert len(late) < len(after), "in whole sentences, which costs no time"
    assert {c.voice for c in patient} == {"en-1"}, "a file has time"
    assert {c.voice for c in after} == {"en-1"}


async def test_programs_among_themselves_are_spoken_for_plainly_while_people_talk(monkeypatch):
    monkeypatch.setattr(precedence, "_MEMORY_S", 0.01)
    async with fake_engine(plain_voice=True) as engine:
        quiet = await said(engine, utterance(), priority=Priority.PROGRAM)
        assert not engine.stands_back(Priority.PROGRAM)
        with engine._precedence.work(Priority.NOW):
            await asyncio.sleep(0.1)
            assert engine.stands_back(Priority.PROGRAM) and not engine.stands_back(Priority.NOW)
            assert engine.strain_of(Priority.PROGRAM) >= strain.OVERLOADED
            assert engine.strain_of(Priority.NOW) < strain.OVERLOADED
            meanwhile = await said(engine, utterance(1), priority=Priority.PROGRAM)
            people = await said(engine, utterance(2))
    assert {c.plain for c in meanwhile} == {True}
    assert {c.plain for c in (*quiet, *people)} == {False}


async def test_an_own_voice_that_hangs_on_its_first_clause_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(speaking, "PLAIN_AFTER_S", 0.3)
    monkeypatch.setattr(speaking, "_OWN_VOICE_TRIES_S", 0.3)
    async with fake_engine(plain_voice=True, voice_delay=30.0) as engine:
        async with asyncio.timeout(25.0):
            clauses = await said(engine, utterance())
    assert clauses[-1].last and {c.plain for c in clauses} == {True}


async def test_without_a_plain_voice_late_is_better_than_never(monkeypatch):
    monkeypatch.setattr(speaking, "PLAIN_AFTER_S", 0.1)
    monkeypatch.setattr(speaking, "_OWN_VOICE_TRIES_S", 0.1)
    async with fake_engine(voice_delay=0.4) as engine:
        with engine.backlog(engine.synthesiser("en")).promise(60.0):
            clauses = await said(engine, utterance())
    assert clauses[-1].last and {c.voice for c in clauses} == {"en-1"}


async def test_promise_9_a_voice_that_fails_is_stood_in_for_and_the_host_can_see_it():
    async with fake_engine(plain_voice=True) as engine:
        hub = Hub(Settings(), engine)
        await hub.start()
        room = hub.create("Stand-in")
        pierre = room.join(name="Pierre", speaks="fr", hears="fr", microphone=True)
        dan = room.join(name="Dan", speaks="en", hears="en", microphone=True)
        async with Phone(pierre) as speaker, Phone(dan) as listener:
            speaker.say(tone(6500, 1.5))  # the own voice returns garbage
            await listener.until(lambda: any(v.state == "played" for v in listener.of(Voicing)))
        assert room.conversation.traces[0].outcome == "spoken plainly"
        await hub.close()
