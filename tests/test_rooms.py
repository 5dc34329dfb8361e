"""Rooms with scripted stages: who reads and hears what."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from babblefish.audio import FrameResampler
from babblefish.engine.job_queue import Priority
from babblefish.engine.voice_matching import VoiceTable
from babblefish.engine.voices import VoiceBook
from babblefish.errors import RoomError
from babblefish.protocol import (
    Caption,
    Configure,
    Retract,
    Roster,
    Speaking,
    Voicing,
    Warn,
)
from tests.phones import Phone, join, seconds_at, tone

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_listener_of_another_language_reads_and_hears_the_translation(hub):
    room = hub.create("Stand-up")
    async with Phone(join(room, "Pierre", "fr")) as pierre, Phone(join(room, "Dan", "en")) as dan:
        pierre.say(tone(400, 1.5))
        await dan.until(lambda: any(v.state == "played" for v in dan.of(Voicing)))
        (caption,) = dan.finals
        assert caption.text.startswith("[en] said 400") and caption.language == "en"
        assert caption.original_text.startswith("said 400") and caption.original_language == "fr"
        assert (caption.name, caption.translated, caption.synthetic) == ("Pierre", True, True)
        assert caption.quality == "basic"
        (own,) = pierre.finals
        assert own.text.startswith("said 400") and not own.translated
        assert not pierre.of(Voicing), "nobody hears their own translation"
        voices = room.conversation._voices
        voice = int(voices.assign(pierre.member.id, "en", ("en-0",)).rsplit("-")[1])
        spoken = seconds_at(dan.heard, 1000 + 100 * voice)
        assert abs(spoken - 0.05 * len(caption.text)) < 0.4
        assert 0.8 < seconds_at(dan.heard, 400, level=0.02) < 1.8, "the original, low"
        assert seconds_at(dan.heard, 400, level=0.15) < 0.1
    (row,) = room.conversation.traces
    assert row.outcome == "spoken" and row.language == "fr" and row.targets == ("en",)
    assert row.total_ms > 0 and {"endpoint", "recognise", "translate en"} <= set(row.stages_ms)


async def test_how_high_people_speak_decides_on_their_voice_from_the_first_sentence_on(hub):
    room = hub.create("Stand-up")
    names = [("en", f"en-{number}") for number in range(4)]
    known = VoiceTable(
        names, np.array([100.0, 140.0, 200.0, 280.0]), np.eye(4, 8, dtype=np.float32)
    )
    room.conversation._voices = VoiceBook(known)
    async with Phone(join(room, "Pierre", "fr")) as pierre, Phone(join(room, "Dan", "en")) as dan:
        pierre.say(tone(200, 1.5))
        await dan.until(lambda: any(v.state == "played" for v in dan.of(Voicing)))
        assert seconds_at(dan.heard, 1200) > 0.5, "the voice that is as high as his own"
        assert seconds_at(dan.heard, 1000) < 0.1, "not the first of the list"


async def test_a_listener_of_the_same_language_hears_the_original_and_no_synthesis(hub, engine):
    room = hub.create("Stand-up")
    calls = engine.synthesisers[0].stats.calls
    async with Phone(join(room, "Dan", "en")) as dan, Phone(join(room, "Ann", "en")) as ann:
        dan.say(tone(400, 1.0))
        await ann.until(lambda: ann.finals)
        await asyncio.sleep(0.3)
        assert not ann.finals[0].translated and not ann.finals[0].synthetic
        assert seconds_at(ann.heard, 400, level=0.2) > 0.7
    assert engine.synthesisers[0].stats.calls == calls


async def test_twenty_listeners_cost_one_translation_and_one_synthesis(hub, engine):
    room = hub.create("Lecture")
    speaker = join(room, "Eva", "fr")
    listeners = [Phone(join(room, f"L{i}", "en", microphone=False)) for i in range(20)]
    before = engine.synthesisers[0].stats.calls, engine.translator.stats.calls
    async with Phone(speaker) as eva:
        for phone in listeners:
            await phone.__aenter__()
        room.settings = type(room.settings)(partial_captions=False)
        eva.say(tone(400, 0.4))
        for phone in listeners:
            await phone.until(lambda p=phone: any(v.state == "played" for v in p.of(Voicing)))
        texts = {tuple(c.text for c in phone.finals) for phone in listeners}
        for phone in listeners:
            await phone.__aexit__()
    assert len(texts) == 1
    synthesised = engine.synthesisers[0].stats.calls - before[0]
    clauses = len({(s.utterance) for s in eva.finals})
    assert clauses == 1 and synthesised <= 3
    assert engine.translator.stats.calls - before[1] <= 3


async def test_promise_13_two_people_at_once_both_appear_in_order(hub):
    room = hub.create("Stand-up")
    async with (
        Phone(join(room, "Pierre", "fr")) as pierre,
        Phone(join(room, "Zoe", "fr")) as zoe,
        Phone(join(room, "Dan", "en")) as dan,
    ):
        pierre.say(tone(400, 1.0))
        zoe.say(tone(700, 1.6))
        await dan.until(lambda: sum(v.state == "played" for v in dan.of(Voicing)) == 2)
        order = [v.utterance for v in dan.of(Voicing) if v.state == "playing"]
        by_utterance = {c.utterance: c for c in dan.finals}
        assert [by_utterance[u].name for u in order] == ["Pierre", "Zoe"]
        ats = {c.name: c.at for c in dan.finals}
        assert ats["Pierre"] < ats["Zoe"]
        assert len({c.color for c in dan.finals}) == 2


async def test_partials_come_while_the_person_talks_and_the_final_replaces_them(hub):
    room = hub.create("Stand-up")
    async with Phone(join(room, "Pierre", "fr")) as pierre, Phone(join(room, "Dan", "en")) as dan:
        pierre.say(tone(400, 3.0))
        await dan.until(lambda: dan.finals)
        captions = dan.of(Caption)
        partials = [c for c in captions if not c.final]
        assert partials and captions.index(partials[0]) < captions.index(dan.finals[0])
        assert {c.utterance for c in captions} == {dan.finals[0].utterance}
        assert all(c.seq == 0 for c in partials) and dan.finals[0].seq > 0
        assert partials[0].text.startswith("[en] ")
        assert [s.active for s in dan.of(Speaking)] == [True, False]
        room.set(partial_captions=False)
        seen = len(partials)
        pierre.say(tone(500, 2.0))
        await dan.until(lambda: len(dan.finals) == 2)
        assert len([c for c in dan.of(Caption) if not c.final]) == seen


async def test_programs_among_themselves_get_no_partials_while_people_talk(
    hub, engine, monkeypatch
):
    room = hub.create("Machines")
    seats = join(room, "Kiosk", "fr"), join(room, "Desk", "en")
    async with Phone(seats[0], program=True) as kiosk, Phone(seats[1], program=True) as desk:
        monkeypatch.setattr(engine, "stands_back", lambda priority: priority is Priority.PROGRAM)
        kiosk.say(tone(400, 3.0))
        await desk.until(lambda: desk.finals)
        assert not [c for c in desk.of(Caption) if not c.final]
        async with Phone(join(room, "Marie", "en")) as marie:
            kiosk.say(tone(500, 3.0))
            await marie.until(lambda: marie.finals)
            assert [c for c in marie.of(Caption) if not c.final], "a person reads"


async def test_live_sound_is_made_only_where_somebody_hears_it(hub, monkeypatch):
    room = hub.create("Machines")
    kiosk, desk = join(room, "Kiosk", "fr"), join(room, "Desk", "en")
    made = []
    monkeypatch.setattr(
        FrameResampler, "push", lambda self, samples: made.append(1) or np.repeat(samples, 3)
    )
    speech = (tone(400, 0.02)[::3] / 32768).astype(np.float32)
    with kiosk.attach(print) as mouth:
        with desk.attach(print, take=print):
            mouth.hear_speech(speech)
            assert not room.is_heard_live(kiosk) and not made, "it takes whole clips"
        with desk.attach(print, audible=False):
            mouth.hear_speech(speech)
            assert not made, "it only reads"
        with desk.attach(print):
            mouth.hear_speech(speech)
            assert len(made) == 1 and desk.playout.originals.waiting == 1
        assert not room.is_heard_live(kiosk), "it hung up"
    assert kiosk.session.received == 3 * len(speech), "all of it is interpreted"


@pytest.mark.parametrize("hertz", [6000, 6100, 6300, 6400])
async def test_promise_9_a_failing_stage_costs_one_notice_and_the_room_goes_on(hub, hertz):
    room = hub.create("Stand-up")
    async with Phone(join(room, "Pierre", "fr")) as pierre, Phone(join(room, "Dan", "en")) as dan:
        pierre.say(tone(hertz, 1.0))
        await dan.until(lambda: dan.of(Warn))
        warning = dan.of(Warn)[0]
        assert warning.utterance and warning.message and "secret" not in warning.message
        pierre.say(tone(400, 1.0))
        await dan.until(lambda: dan.finals)
        assert dan.finals[-1].text.startswith("[en] said 400")
    assert room.conversation.traces[0].outcome not in ("spoken", "captioned")


async def test_promise_9_a_voice_that_returns_garbage_still_leaves_the_caption(hub):
    room = hub.create("Stand-up")
    async with Phone(join(room, "Pierre", "fr")) as pierre, Phone(join(room, "Dan", "en")) as dan:
        pierre.say(tone(6500, 1.0))
        await dan.until(lambda: dan.of(Warn) and dan.finals)
        assert dan.finals[0].text.startswith("[en] said 6500")


async def test_speech_in_a_language_that_cannot_be_translated_is_read_in_the_original(hub):
    room = hub.create("Stand-up")
    de = join(room, "Jan", "en", speaks="de")
    async with Phone(de) as jan, Phone(join(room, "Pierre", "fr")) as pierre:
        jan.say(tone(400, 1.0))
        await pierre.until(lambda: pierre.finals)
        assert pierre.finals[0].text.startswith("[fr] [en] said 400"), "through speech → English"


async def test_a_click_leaves_no_caption(hub):
    room = hub.create("Stand-up")
    async with Phone(join(room, "Pierre", "fr")) as pierre, Phone(join(room, "Dan", "en")) as dan:
        pierre.say(tone(400, 0.05), tone(400, 1.0))
        await dan.until(lambda: dan.finals)
        assert len(dan.finals) == 1 and len(dan.of(Retract)) == 0


async def test_changing_language_holds_from_the_next_sentence(hub):
    room = hub.create("Stand-up")
    async with Phone(join(room, "Pierre", "fr")) as pierre, Phone(join(room, "Dan", "en")) as dan:
        dan.link.event(Configure(hears="es-MX", name="Daniel"))
        pierre.say(tone(400, 1.0))
        await dan.until(lambda: dan.finals)
        assert dan.finals[0].language == "es"
        assert dan.of(Roster)[-1].people[1].name == "Daniel"
        with pytest.raises(RoomError, match="translated into"):
            dan.link.event(Configure(hears="pl"))


async def test_two_people_on_one_phone_are_told_apart(hub):
    room = hub.create("Interview")
    async with Phone(join(room, "Table", "fr")) as table, Phone(join(room, "Dan", "en")) as dan:
        table.say(tone(400, 2.0), tone(3000, 2.0), tone(400, 2.0))
        await dan.until(lambda: len(dan.finals) == 3)
        assert [c.name for c in dan.finals] == ["Table", "Table · 2", "Table"]


async def test_the_first_clause_is_spoken_in_advance_while_the_speaker_talks(hub, engine):
    room = hub.create("Stand-up")
    pool = engine.synthesisers[0]
    async with Phone(join(room, "Pierre", "fr")) as pierre, Phone(join(room, "Dan", "en")) as dan:
        before = pool.stats.calls
        pierre.say(tone(400, 5.0))
        await dan.until(lambda: pool.stats.calls > before)
        assert not dan.finals and not dan.of(Voicing), "made, but not heard before it is certain"
        await dan.until(lambda: any(v.state == "played" for v in dan.of(Voicing)))
        assert len(dan.finals) == 1


async def test_promise_7_a_stalled_listener_holds_up_nobody(hub):
    room = hub.create("Stand-up")
    stalled = Phone(join(room, "Stalled", "en"), running=False)
    async with Phone(join(room, "Pierre", "fr")) as pierre, Phone(join(room, "Dan", "en")) as dan:
        async with stalled:
            pierre.say(*[tone(400, 0.6)] * 4)
            await dan.until(lambda: sum(v.state == "played" for v in dan.of(Voicing)) == 4)
        assert stalled.member.playout.backlog < 60
        assert len(dan.finals) == len(stalled.finals) == 4


async def test_languages_that_meet_are_made_ready_before_anybody_speaks(hub, monkeypatch):
    prepared = []

    async def call(method, *pair, **options):
        prepared.append((method, *pair))

    monkeypatch.setattr(hub._engine.translator, "call", call)
    room = hub.create("Early birds")
    join(room, "Pierre", "fr")
    dan = join(room, "Dan", "en", speaks="auto")
    await asyncio.sleep(0)
    assert set(prepared) == {("prepare", "en", "fr")}, "into English the recogniser translates"
    room.configure(dan, None, None, "es")
    await asyncio.sleep(0)
    assert {("prepare", "fr", "es"), ("prepare", "es", "fr")} <= set(prepared)
