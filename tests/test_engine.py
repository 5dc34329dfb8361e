"""The engine with scripted stages in real worker processes."""

from __future__ import annotations

import asyncio
import dataclasses

import numpy as np
import pytest

from babblefish.audio import resample
from babblefish.engine import hush
from babblefish.engine.job_queue import Priority
from babblefish.engine.listening import GATHER_S, PATIENT_S, VadStream
from babblefish.errors import TranslationError
from babblefish.protocol import Audio, Notice, Speech, Trace, Transcript, Translation, Utterance
from tests.phones import fake_engine, tone

pytestmark = pytest.mark.asyncio(loop_scope="module")


def utterance(hertz=400, seconds=1.0, language="fr"):
    samples = resample(tone(hertz, seconds) / 32768.0, 48000, 16000)
    return Utterance("u", "m", Audio(samples, 16000), 0.0, seconds, language)


async def process(engine, spoken, targets, **options):
    messages = []
    await engine.process(spoken, targets, messages.append, **options)
    return messages


async def test_transcript_translation_speech_and_trace_in_order(engine):
    messages = await process(engine, utterance(), {"en": "en-1"})
    kinds = [type(m) for m in messages]
    assert kinds[:2] == [Transcript, Translation] and kinds[-1] is Trace
    speech = [m for m in messages if isinstance(m, Speech)]
    assert [s.clause for s in speech] == list(range(len(speech)))
    assert [s.last for s in speech] == [False] * (len(speech) - 1) + [True]
    assert all(s.audio.rate == 48000 and s.audio.samples.dtype == np.float32 for s in speech)
    assert " ".join(s.text for s in speech).split() == messages[1].text.split()
    stages = messages[-1].stages_ms
    assert stages["first audio en"] >= stages["recognise"] > 0


async def test_each_language_once_and_none_for_the_language_spoken(engine):
    targets = {"en": "en-0", "es": None, "fr": "fr-0"}
    messages = await process(engine, utterance(), targets)
    assert {m.language for m in messages if isinstance(m, Translation)} == {"en", "es"}
    assert {m.language for m in messages if isinstance(m, Speech)} == {"en"}


async def test_speech_translation_serves_what_text_translation_cannot(engine):
    assert engine.pair("de", "en") and engine.pair("de", "fr")
    assert engine.pair("en", "de") is None
    messages = await process(engine, utterance(language="de"), {"en": None, "fr": None})
    texts = {m.language: m.text for m in messages if isinstance(m, Translation)}
    assert texts["en"].startswith("[en] said") and texts["fr"].startswith("[fr] [en] said")


async def test_speaking_stops_when_nobody_waits_for_the_rest(engine):
    asked = []

    def pace(language):
        asked.append(language)
        return 1.0 if len(asked) == 1 else None

    spoken = utterance(seconds=1.0)
    whole = await process(engine, spoken, {"en": "en-0"})
    messages = await process(engine, spoken, {"en": "en-0"}, pace=pace)
    clauses = [m for m in messages if isinstance(m, Speech)]
    assert len([m for m in whole if isinstance(m, Speech)]) > 1
    assert [c.clause for c in clauses] == [0] and isinstance(messages[-1], Trace)


async def test_a_recogniser_that_does_not_translate_is_made_up_for(engine):
    messages = await process(engine, utterance(5500), {"en": None})
    texts = [m.text for m in messages if isinstance(m, Translation)]
    assert texts[0].startswith("[en] said 5500"), "translated as text instead"


async def test_silence_yields_an_empty_transcript_and_nothing_else(engine):
    silent = Utterance("u", "m", Audio(np.zeros(16000, np.float32), 16000), 0.0, 1.0, "fr")
    messages = await process(engine, silent, {"en": "en-0"})
    assert [type(m) for m in messages] == [Transcript, Trace] and not messages[0].text


async def test_promise_9_one_failing_language_leaves_the_others(engine):
    messages = await process(engine, utterance(6500), {"en": "en-0", "es": None})
    notices = [m for m in messages if isinstance(m, Notice)]
    assert [(n.language, n.code) for n in notices] == [("en", "bad_output")]
    assert {m.language for m in messages if isinstance(m, Translation)} == {"en", "es"}


async def test_promise_9_a_recogniser_that_died_is_asked_once_more(engine):
    restarts = engine.recogniser.stats.restarts
    messages = await process(engine, utterance(6100), {"en": None})
    assert engine.recogniser.stats.restarts == restarts + 2
    assert [type(m) for m in messages] == [Notice, Trace]
    job = asyncio.create_task(process(engine, utterance(400), {"en": None}))
    assert isinstance((await job)[0], Transcript)


async def test_cancelling_stops_the_work(engine):
    calls = engine.synthesisers[0].stats.calls
    messages = []
    task = asyncio.create_task(engine.process(utterance(), {"en": "en-0"}, messages.append))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.1)
    assert engine.synthesisers[0].stats.calls == calls and not messages


async def test_drafts_are_translated_as_text_and_never_final(engine):
    transcript, translations = await engine.draft(utterance(), ["en", "fr", "de"])
    assert not transcript.final and transcript.text.startswith("said 400")
    assert [(t.language, t.final) for t in translations] == [("en", False)]


async def test_a_drafter_leaves_the_recogniser_to_what_is_final():
    async with fake_engine(delay=2.0, draft_delay=0.0) as engine:
        final = asyncio.create_task(process(engine, utterance(), {"en": None}))
        await asyncio.sleep(0.05)
        transcript, _ = await engine.draft(utterance(), ["en"])
        assert transcript.text.startswith("said 400") and not final.done()
        assert [type(m) for m in await final] == [Transcript, Translation, Trace]
        assert engine.recogniser.stats.calls == 1


async def test_a_language_that_the_drafter_lacks_is_drafted_by_the_recogniser():
    async with fake_engine(draft_delay=0.0) as engine:
        drafter = engine._drafter
        drafter.capabilities = dataclasses.replace(drafter.capabilities, languages=frozenset())
        transcript, _ = await engine.draft(utterance(), ["en"])
        assert transcript.text.startswith("said 400")
        assert (drafter.stats.calls, engine.recogniser.stats.calls) == (0, 1)


async def test_speech_follows_the_pace_asked_for(engine):
    lengths = []
    for speed in (1.0, 1.25):
        messages = await process(
            engine, utterance(), {"en": "en-0"}, pace=lambda language, s=speed: s
        )
        lengths.append(sum(m.audio.seconds for m in messages if isinstance(m, Speech)))
    assert lengths[1] < lengths[0] * 0.85


async def test_what_is_offered_is_what_is_served(engine):
    offers = {o.code: o for o in engine.languages()}
    assert {c for c, o in offers.items() if o.speak} == {"en", "fr", "es", "de"}
    assert {c for c, o in offers.items() if o.hear == "voice"} == {"en", "fr", "es"}
    assert offers["de"].hear is None and offers["fr"].name == "français"
    ranks = [o.hear is None for o in engine.languages()]
    assert ranks == sorted(ranks), "best served first"
    with pytest.raises(TranslationError, match="served"):
        await engine.translate("x", "en", "de")


async def test_many_microphones_share_calls_for_voice_activity(engine):
    streams = [engine.listen() for _ in range(20)]
    loud, quiet = np.full(512, 0.1, np.float32), np.full(512, 1e-3, np.float32)
    calls = engine._vad.stats.calls
    for _ in range(5):
        answers = await asyncio.gather(
            *(s.probability(loud if i % 2 else quiet) for i, s in enumerate(streams))
        )
        assert answers == [float(i % 2) for i in range(20)]
    assert engine._vad.stats.calls - calls <= 15
    assert await streams[0].probability(np.zeros(512, np.float32)) == 0.0


async def test_frames_that_come_one_by_one_are_gathered_as_long_as_they_have_time(engine):
    streams, frame = [engine.listen() for _ in range(30)], np.full(512, 0.1, np.float32)
    now, stats = asyncio.get_running_loop().time, engine._vad.stats

    async def arrive(after: float, stream: VadStream, patience: float) -> float:
        await asyncio.sleep(after)
        return await stream.probability(frame, patience)

    for patience in (GATHER_S, PATIENT_S):
        calls, begun = stats.calls, now()
        await asyncio.gather(
            *(arrive(0.004 * i, stream, patience) for i, stream in enumerate(streams))
        )
        assert stats.calls - calls <= (now() - begun) / patience + 2

    async def takes(patience: float) -> list[float]:
        took = []
        for _ in range(50):
            begun = now()
            await streams[0].probability(frame, patience)
            took.append(now() - begun)
        return took

    assert min(await takes(0.0)) < 0.015 < np.median(await takes(GATHER_S))
    assert np.median(await takes(PATIENT_S)) > 0.03

    async def patient() -> float:
        begun = now()
        await streams[1].probability(frame, PATIENT_S)
        return now() - begun

    waits = [patient() for _ in range(20)]
    met = [(await asyncio.gather(wait, streams[2].probability(frame, 0.0)))[0] for wait in waits]
    assert min(met) < 0.015, "it goes with what is urgent"


async def test_files_wait_for_people(engine):
    order = []

    async def run(name, priority):
        await process(engine, utterance(seconds=0.5), {"en": None}, priority=priority)
        order.append(name)

    async with asyncio.TaskGroup() as group:
        for i in range(8):
            group.create_task(run(f"file {i}", Priority.BATCH))
        await asyncio.sleep(0)
        group.create_task(run("person", Priority.NOW))
    assert order.index("person") <= 3


async def test_programs_are_not_listened_to_until_a_person_hears_the_first_clause(monkeypatch):
    monkeypatch.setattr(hush, "MOST_S", 600.0)
    went: dict[type, list[bool]] = {}

    def emit(message):
        went.setdefault(type(message), []).append(program.done())

    async with fake_engine(voice_delay=0.3) as engine:
        work = asyncio.create_task(engine.process(utterance(), {"en": "en-0"}, emit))
        program = asyncio.create_task(engine.turn_to_listen(Priority.PROGRAM))
        await asyncio.wait_for(engine.turn_to_listen(Priority.NOW), 60)
        await work
        assert went[Transcript] == [False] and went[Translation] == [False]
        assert went[Speech][0] is False and went[Speech][-1] is True
        await asyncio.wait_for(engine.turn_to_listen(Priority.BATCH), 60)


async def test_nobody_waits_for_what_programs_say_or_for_what_came_to_nothing(monkeypatch):
    monkeypatch.setattr(hush, "MOST_S", 600.0)
    async with fake_engine() as engine:
        said = asyncio.create_task(
            process(engine, utterance(), {"en": "en-0"}, priority=Priority.PROGRAM)
        )
        await asyncio.sleep(0)
        await asyncio.wait_for(engine.turn_to_listen(Priority.PROGRAM), 60)
        assert not said.done()
        await said
        for wanted in ({"en": None}, {"xx": "xx-0"}, {}):
            await process(engine, utterance(), wanted)
            await asyncio.wait_for(engine.turn_to_listen(Priority.PROGRAM), 60)
        given_up = asyncio.create_task(engine.process(utterance(), {"en": "en-0"}, print))
        await asyncio.sleep(0.01)
        given_up.cancel()
        await asyncio.wait((given_up,))
        await asyncio.wait_for(engine.turn_to_listen(Priority.PROGRAM), 60)
