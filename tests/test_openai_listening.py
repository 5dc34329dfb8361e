"""Recordings over OpenAI's interface, with its own client against the real server: every form of
answer, every field honoured or refused by name, and work that ends with the caller."""

from __future__ import annotations

import asyncio
import io
import json

import numpy as np
import openai
import pytest
import pytest_asyncio
import webvtt

from tests.openai_server import OpenAIServer, openai_server
from tests.phones import tone
from tests.sound_files import flac, wav

pytestmark = pytest.mark.asyncio(loop_scope="module")


def two_people(*more: float) -> np.ndarray:
    """Tones at 1 s, 4 s and 7 s, of two voices, and at 11 s, 14 s … those of ``more`` (Hertz);
    float32 at 48 kHz."""
    gap = np.zeros(48_000, np.float32)
    low, high = (tone(hertz, 2.0) / 32768 for hertz in (400, 3000))
    parts = [gap, low, gap, high, gap, low, gap, gap]
    for hertz in more:
        parts += [tone(hertz, 2.0) / 32768, gap]
    return np.concatenate(parts).astype(np.float32)


SOUND = ("talk.wav", wav(two_people()))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory):
    async with openai_server(tmp_path_factory.mktemp("data"), max_upload_mb=8) as server:
        yield server


async def heard(server: OpenAIServer, file=SOUND, key: str = "all", **fields):
    fields = {"model": "whisper-1", "language": "fr"} | fields
    return await server.client(key).audio.transcriptions.create(file=file, **fields)


async def test_the_text_and_the_languages_that_were_spoken(server):
    found = await heard(server)
    assert found.text.split(" for ")[0] == "said 400" and found.text.count("said") == 3
    assert [language.code for language in found.languages] == ["fr"]
    assert found.usage.type == "duration" and found.usage.seconds == 11


async def test_verbose_json_has_segments_or_words_as_asked(server):
    usual = await heard(server, response_format="verbose_json")
    assert usual.language == "french" and usual.duration == pytest.approx(11, abs=0.3)
    assert [round(s.start + 0.35) for s in usual.segments] == [1, 4, 7] and usual.words is None
    assert [s.id for s in usual.segments] == [0, 1, 2]
    assert usual.segments[1].text.startswith("said 3000") and usual.segments[0].avg_logprob == 0
    words = await heard(server, response_format="verbose_json", timestamp_granularities=["word"])
    assert [word.word for word in words.words] == words.text.split() and words.segments is None
    assert all(0 <= word.start <= word.end <= 12 for word in words.words)
    both = await heard(
        server, response_format="verbose_json", timestamp_granularities=["word", "segment"]
    )
    assert both.words and both.segments


async def test_text_and_subtitles(server):
    text = await heard(server, response_format="text")
    assert text == (await heard(server)).text + "\n"
    srt = await heard(server, response_format="srt")
    cues = webvtt.from_buffer(io.StringIO(srt), format="srt")
    assert len(cues) == 3 and cues[1].text.startswith("said 3000")
    vtt = await heard(server, response_format="vtt")
    assert vtt.startswith("WEBVTT\n") and len(webvtt.from_buffer(io.StringIO(vtt))) == 3


async def test_speakers_are_told_apart(server):
    found = await heard(server, model="gpt-4o-transcribe-diarize", response_format="diarized_json")
    assert [segment.speaker for segment in found.segments] == ["A", "B", "A"]
    assert found.task == "transcribe" and found.duration == pytest.approx(11, abs=0.3)


@pytest.mark.parametrize("form", ["json", "text", "diarized_json"])
async def test_a_stream_of_events(server, form):
    stream = await heard(
        server, model="gpt-4o-transcribe", stream=True, response_format=form,
        chunking_strategy="auto",
    )  # fmt: skip
    events = [event async for event in stream]
    deltas = [event for event in events if event.type == "transcript.text.delta"]
    done = events[-1]
    assert done.type == "transcript.text.done" and len(deltas) == 3
    assert "".join(event.delta for event in deltas) == done.text
    segments = [event for event in events if event.type == "transcript.text.segment"]
    if form == "diarized_json":
        assert [event.speaker for event in segments] == ["A", "B", "A"]
        assert [event.segment_id for event in deltas] == [event.id for event in segments]
    else:
        assert not segments and deltas[0].segment_id is None


async def test_names_languages_and_the_end_of_a_long_prompt_reach_the_recogniser(server):
    sound = ("talk.flac", flac(two_people(5600)))
    found = await heard(server, sound, model="gpt-transcribe", keywords=["Żaneta", "Kowalski"])
    assert found.text.endswith("this is Kowalski, Żaneta")
    found = await heard(
        server, language=openai.omit, languages=["es", "fr-FR"], prompt="Said before. " * 1000
    )
    assert {language.code for language in found.languages} == {"es", "fr"}
    one = await heard(server, language=openai.omit, languages=["spa_Latn"])
    assert [language.code for language in one.languages] == ["es"]


async def test_what_could_not_be_understood_is_told_beside_the_rest(server):
    sound = ("talk.wav", wav(two_people(6400)))
    answer = await server.client().audio.transcriptions.with_raw_response.create(
        file=sound, model="whisper-1", temperature=0.4
    )
    assert answer.headers["babblefish-problems"] == "1"
    assert answer.headers["babblefish-ignored"] == "temperature"
    problem = json.loads(answer.text)["problems"][0]
    assert problem["code"] == "bad_audio" and problem["end"] == pytest.approx(13, abs=0.5)
    assert answer.parse().text.count("said") == 3
    events = [event async for event in await heard(server, sound, stream=True)]
    assert events[-1].problems[0]["code"] == "bad_audio"


# --- translations -----------------------------------------------------------------------------


async def english(server: OpenAIServer, file=SOUND, **fields):
    fields = {"model": "whisper-1", "extra_body": {"language": "fr"}} | fields
    return await server.client().audio.translations.create(file=file, **fields)


async def test_what_was_said_in_english(server):
    found = await english(server)
    assert found.text.count("[en] said") == 3
    verbose = await english(server, response_format="verbose_json")
    assert verbose.language == "english" and len(verbose.segments) == 3
    assert verbose.segments[0].text.startswith("[en] said 400")
    assert (await english(server, response_format="srt")).count("[en] said") == 3
    assert "[en]" not in (await english(server, extra_body={"language": "en"})).text


# --- what is refused ----------------------------------------------------------------------------

WRONG = [
    ({"model": "tts-1"}, "model", "model_not_found"),
    ({"language": "klingon"}, "language", "language"),
    ({"language": "ja"}, "language", "language"),
    ({"languages[]": ["fr", "ja"]}, "language", "language"),
    ({"languages[]": ["fr", "klingon"]}, "languages", "language"),
    ({"response_format": "docx"}, "response_format", "bad_input"),
    ({"temperature": "7"}, "temperature", "bad_input"),
    ({"stream": "perhaps"}, "stream", "bad_input"),
    ({"stream": "true", "response_format": "srt"}, "stream", "bad_input"),
    ({"timestamp_granularities[]": "word"}, "timestamp_granularities", "bad_input"),
    (
        {"timestamp_granularities[]": "letter", "response_format": "verbose_json"},
        "timestamp_granularities", "bad_input",
    ),
    ({"include[]": "logprobs"}, "include", "unsupported_parameter"),
    ({"known_speaker_names[]": "Eve"}, "known_speaker_names", "unsupported_parameter"),
    ({"known_speaker_references[]": "data:"}, "known_speaker_references", "unsupported_parameter"),
    ({"chunking_strategy[threshold]": "0.5"}, "chunking_strategy", "unknown_parameter"),
    ({"chunking_strategy": "by ear"}, "chunking_strategy", "bad_input"),
    ({"keywords[]": "x" * 41}, "keywords", "bad_input"),
    ({"prompt": ["a", "b"]}, "prompt", "bad_input"),
    ({"colour": "red"}, "colour", "unknown_parameter"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "param", "code"), WRONG)
async def test_every_field_is_honoured_or_refused_by_its_name(server, change, param, code):
    answer = await server.http.post(
        "/v1/audio/transcriptions", data={"model": "whisper-1"} | change, files={"file": SOUND}
    )
    error = answer.json()["error"]
    assert (error["param"], error["code"], error["type"]) == (param, code, "invalid_request_error")
    assert answer.status_code == (404 if code == "model_not_found" else 400)
    assert error["message"].endswith(".") and not server.uploads_left()


@pytest.mark.parametrize(
    ("file", "status", "code"),
    [
        (b"", 400, "empty_audio"),
        (b"Dear all, see you tomorrow. " * 50, 415, "file_unreadable"),
        (SOUND[1][:400_000], 400, "truncated"),
        (bytes(9_000_000), 413, "too_large"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_bad_file_is_refused_in_openais_words(server, file, status, code, stream):
    with pytest.raises(openai.APIStatusError) as caught:
        await heard(server, ("talk.wav", file), stream=stream)
    error = caught.value
    assert (error.status_code, error.code, error.type) == (status, code, "invalid_request_error")
    assert error.param == ("file" if status != 413 else None) and not server.uploads_left()


async def test_the_file_and_the_key_are_needed(server):
    answer = await server.http.post("/v1/audio/transcriptions", data={"model": "whisper-1"})
    assert answer.status_code in (400, 415)
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    with pytest.raises(openai.PermissionDeniedError):
        await heard(server, key="text")


@pytest.mark.parametrize("stream", [True, False])
async def test_whoever_hangs_up_is_not_worked_for_any_more(server, stream):
    sound = ("long.wav", wav(two_people(*[400.0 + 100 * n for n in range(1, 24)])))
    recogniser = server.engine.recogniser.stats
    begun = recogniser.calls
    request = server.http.build_request(
        "POST", "/v1/audio/transcriptions", files={"file": sound},
        data={"model": "whisper-1", "stream": str(stream).lower()},
    )  # fmt: skip
    sending = asyncio.create_task(server.http.send(request, stream=stream))
    if stream:
        answer = await sending
        lines = aiter(answer.aiter_lines())
        while not (await anext(lines)).startswith("data:"):
            pass
        await answer.aclose()
    else:
        await server.until(lambda: recogniser.calls > begun)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    await server.until(lambda: server.gate.open == 0 and not server.uploads_left())
    assert recogniser.calls - begun < 26
