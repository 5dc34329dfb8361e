"""Recordings that programs send, against the real server with scripted stages: what comes back,
and that nothing of it stays."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio
import webvtt

from babblefish.engine.job_queue import Priority
from tests.phones import tone
from tests.sound_files import flac, wav
from tests.uploads import SECONDS, Served, events, serving, two_people

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    async with serving(tmp_path_factory.mktemp("data")) as served:
        yield served


async def test_a_form_gets_segments_with_speakers_words_and_times(server):
    answer = await server.send("/transcribe", wav(two_people()), source_lang="fra_Latn")
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    said = answer.json()
    assert said["language"] == "fr" and said["seconds"] == pytest.approx(11, abs=0.3)
    assert [s["speaker"] for s in said["segments"]] == ["Speaker 1", "Speaker 2", "Speaker 1"]
    assert [round(s["start"] + 0.35) for s in said["segments"]] == [1, 4, 7]
    assert said["segments"][1]["text"].startswith("said 3000 for")
    assert said["text"].count("said") == 3 and said["problems"] == []
    for segment in said["segments"]:
        assert [w["word"] for w in segment["words"]] == segment["text"].split()
        times = [(w["start"], w["end"]) for w in segment["words"]]
        assert times == sorted(times)
        assert segment["start"] <= times[0][0] and times[-1][1] <= segment["end"] + 1
        assert all(0 <= w["confidence"] <= 1 for w in segment["words"])


async def test_words_cost_nothing_where_they_are_not_wanted(server):
    said = (await server.send("/transcribe", wav(two_people()), words="false")).json()
    assert [s["words"] for s in said["segments"]] == [[], [], []]


async def test_the_file_itself_as_body_with_fields_in_the_address(server):
    answer = await server.http.post(
        "/transcribe?source_lang=es&words=no", content=flac(two_people()),
        headers={"Content-Type": "audio/flac"},
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    assert answer.json()["language"] == "es"


async def test_each_language_gets_its_translation(server):
    sent = wav(two_people())
    answer = await server.send(
        "/transcribe-translate", sent, source_lang="fr", target_lang=["eng_Latn,es", "fr-FR"]
    )
    said = answer.json()
    assert set(said["translations"]) == {"en", "es", "fr"}
    first = said["segments"][0]
    assert first["translations"]["es"] == f"[es] {first['text']}"
    assert first["translations"]["fr"] == first["text"], "said in it already"
    assert said["translations"]["es"].count("[es] said") == 3


async def test_a_translation_that_fails_costs_that_alone(server):
    sent = wav(two_people(and_then=5700))
    answer = await server.send("/transcribe-translate", sent, source_lang="fr", target_lang="es,fr")
    said = answer.json()
    assert [(problem["code"], problem["language"]) for problem in said["problems"]] == [
        ("bad_output", "es")
    ]
    assert len(said["segments"]) == 4 and set(said["segments"][3]["translations"]) == {"fr"}


async def test_a_sentence_that_cannot_be_recognised_is_told_and_the_rest_is_heard(server):
    said = (await server.send("/transcribe", wav(two_people(and_then=6400)))).json()
    assert len(said["segments"]) == 3
    (problem,) = said["problems"]
    assert problem["code"] == "bad_audio" and problem["language"] is None
    assert problem["end"] == pytest.approx(13, abs=0.5)


async def test_subtitles_and_text(server):
    sent = wav(two_people())
    srt = await server.send("/transcribe-translate", sent, target_lang="es", format="srt")
    assert srt.headers["content-type"].startswith("application/x-subrip")
    cues = webvtt.from_buffer(io.StringIO(srt.text), format="srt")
    assert len(cues) == 3 and cues[0].text.startswith("Speaker 1: [es] said 400")
    vtt = await server.send("/transcribe", sent, format="vtt")
    assert vtt.text.startswith("WEBVTT\n")
    assert len(webvtt.from_buffer(io.StringIO(vtt.text), format="vtt")) == 3
    txt = await server.send("/transcribe", sent, format="txt")
    assert txt.headers["content-type"].startswith("text/plain")
    assert [line.split(":")[0] for line in txt.text.splitlines()] == [
        "Speaker 1", "Speaker 2", "Speaker 1",
    ]  # fmt: skip


async def test_names_and_what_came_before_reach_the_recogniser(server):
    sent = wav(two_people(and_then=5600))
    said = await server.send("/transcribe", sent, glossary=["Zażółć\nKubernetes", "Ana"])
    assert said.json()["segments"][3]["text"] == "this is Ana, Kubernetes, Zażółć"
    sent = wav(two_people(and_then=5800))
    said = await server.send("/transcribe", sent, prompt="Minutes of the board")
    assert said.json()["segments"][3]["text"] == "after Minutes of the board"


async def test_rooms_come_first(server, monkeypatch):
    """Whatever is asked of a stage for a recording waits behind all that people wait for."""
    engine, asked = server.app.state.engine, []
    stages = (engine.recogniser, engine.translator, engine.speaker_encoder)
    for pool in stages:

        async def call(method, *args, priority=Priority.NOW, pool=pool, was=pool.call, **more):
            asked.append((pool.name, method, priority))
            return await was(method, *args, priority=priority, **more)

        monkeypatch.setattr(pool, "call", call)
    answer = await server.send("/transcribe-translate", wav(two_people()), target_lang="es")
    assert answer.status_code == 200 and answer.json()["segments"][0]["words"]
    assert {(name, method) for name, method, _ in asked} == {
        ("recogniser", "transcribe"), ("recogniser", "align"), ("translator", "translate"),
        ("speaker", "embed"),
    }  # fmt: skip
    assert {priority for _, _, priority in asked} == {Priority.BATCH}


async def test_events_come_as_it_is_found(server):
    answer = await server.send(
        "/transcribe-translate", wav(two_people()), "text/event-stream",
        source_lang="fr", target_lang="en",
    )  # fmt: skip
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = events(answer.text)
    assert found[0] == ("progress", {"seconds_done": 0.0, "seconds_total": 11.0})
    assert found[-2][0] == "progress" and found[-2][1]["seconds_done"] == pytest.approx(11, abs=0.1)
    segments = [data for name, data in found if name == "segment"]
    assert [segment["id"] for segment in segments] == [0, 1, 2]
    assert segments[0]["translations"]["en"].startswith("[en]") and segments[0]["words"]
    done = found[-1]
    assert done[0] == "done" and done[1]["segments"] == 3 and done[1]["language"] == "fr"


async def test_events_arrive_while_the_rest_is_still_to_be_done(server):
    """The first sentence is told before a recogniser that hangs is given up on the second."""
    sound = two_people(and_then=6200)
    request = server.http.build_request(
        "POST", "/transcribe", files={"file": wav(sound)},
        headers={"Accept": "text/event-stream"},
    )  # fmt: skip
    answer = await server.http.send(request, stream=True)
    lines = answer.aiter_lines()
    async with asyncio.timeout(SECONDS):
        while await anext(lines) != "event: segment":
            pass
    assert server.left(), "it is not done yet"
    await answer.aclose()  # hanging up
    await server.until(lambda: not server.left())
    await server.until(
        lambda: not [t for t in asyncio.all_tasks() if t.get_name() == "recording session"]
    )


async def test_hanging_up_ends_the_work_for_a_plain_answer_too(server):
    sound = np.concatenate([tone(6200, 2.0) / 32768, np.zeros(96000)]).astype("f4")
    sending = asyncio.create_task(server.send("/transcribe", wav(sound)))

    def listening() -> bool:
        return any(t.get_name() == "recording session" for t in asyncio.all_tasks())

    await server.until(lambda: listening() and bool(server.left()))
    sending.cancel()
    await server.until(lambda: not listening() and not server.left())
    assert server.app.state.gate.open == 0
