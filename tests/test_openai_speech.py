"""Text read aloud for programs: ``/v1/audio/speech`` with OpenAI's own client, and ``/speak``."""

from __future__ import annotations

import base64
import io
import json
import os
import signal

import av
import httpx
import numpy as np
import openai
import pytest
import pytest_asyncio

from babblefish.ui.programs.sound_formats import MEDIA_TYPES, REMARK
from tests.openai_server import openai_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = "Well, this is a sentence to be read aloud. And this is a second one, a little longer."


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory):
    async with openai_server(tmp_path_factory.mktemp("data")) as server:
        yield server


def heard(file: bytes) -> tuple[float, float, str]:
    """Seconds, loudest frequency and remark of a sound file."""
    with av.open(io.BytesIO(file)) as container:
        stream = container.streams.audio[0]
        frames = [frame.to_ndarray() for frame in container.decode(stream)]
        remark = {**container.metadata, **stream.metadata}.get("comment", "")
        rate = stream.rate
    sound = np.concatenate([frame[0] for frame in frames]).astype(np.float64)
    hertz = np.argmax(np.abs(np.fft.rfft(sound))) * rate / len(sound)
    return len(sound) / rate, float(hertz), remark


def pcm(data: bytes) -> np.ndarray:
    return np.frombuffer(data, "<i2") / 32768


# --- OpenAI's client ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", MEDIA_TYPES)
async def test_every_format_is_speech_of_the_right_length_and_says_that_it_is_synthetic(
    server, name
):
    answer = await server.client().audio.speech.create(
        model="tts-1",
        voice="alloy",
        input=TEXT,
        response_format=name,
        extra_body={"language": "en"},
    )
    assert answer.response.headers["content-type"] == MEDIA_TYPES[name]
    assert answer.response.headers["babblefish-synthetic-speech"] == "yes"
    if name == "pcm":
        seconds = len(pcm(answer.content)) / 24_000
    else:
        seconds, hertz, remark = heard(answer.content)
        assert hertz == pytest.approx(1000, abs=500) and remark == REMARK
    said = 0.05 * len(TEXT.replace(" ", ""))
    assert said < seconds < said + 4


async def test_the_first_sound_is_sent_while_the_rest_is_still_being_made(server):
    text = " ".join(f"This is sentence number {n} of quite a few." for n in range(40))
    begun = server.voice.stats.calls
    async with server.client().audio.speech.with_streaming_response.create(
        model="tts-1", voice="nova", input=text, response_format="pcm",
        extra_body={"language": "en"},
    ) as answer:  # fmt: skip
        pieces = answer.iter_bytes()
        first = await anext(pieces)
        made = server.voice.stats.calls - begun
        assert len(first) > 4_000 and made < 40
        await server.until(lambda: server.gate.open == 1)
        rest = b"".join([piece async for piece in pieces])
    assert len(first + rest) / 48_000 > 0.05 * len(text.replace(" ", ""))
    assert server.gate.open == 0


async def test_whoever_hangs_up_is_not_worked_for_any_more(server):
    text = " ".join(f"This is sentence number {n} of very many indeed." for n in range(300))
    begun = server.voice.stats.calls
    async with server.client().audio.speech.with_streaming_response.create(
        model="tts-1", voice="nova", input=text, response_format="wav",
        extra_body={"language": "en"},
    ) as answer:  # fmt: skip
        await anext(answer.iter_bytes())
    await server.until(lambda: server.gate.open == 0)
    assert server.voice.stats.calls - begun < 300 and server.voice.depth == 0


async def test_speech_as_events(server):
    async with server.client().audio.speech.with_streaming_response.create(
        model="gpt-4o-mini-tts", voice="coral", input=TEXT, response_format="pcm",
        stream_format="sse", extra_body={"language": "en"},
    ) as answer:  # fmt: skip
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line async for line in answer.iter_lines() if line]
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert {event["type"] for event in events[:-1]} == {"speech.audio.delta"} and len(events) > 2
    sound = pcm(b"".join(base64.b64decode(event["audio"]) for event in events[:-1]))
    assert len(sound) / 24_000 > 0.05 * len(TEXT.replace(" ", ""))
    assert events[-1]["type"] == "speech.audio.done"
    assert set(events[-1]["usage"]) == {"input_tokens", "output_tokens", "total_tokens"}


async def spoken(server, text: str = TEXT, **more) -> httpx.Response:
    answer = await server.http.post("/speak", json={"text": text, "language": "en"} | more)
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.parametrize("speed", [0.25, 0.5, 1.7, 4.0])
async def test_speed_is_that_of_the_voice_and_beyond_that_of_the_tempo(server, speed):
    usual, other = [
        pcm((await spoken(server, format="pcm", voice="en-2", speed=s)).content) for s in (1, speed)
    ]
    assert len(usual) / len(other) == pytest.approx(speed, rel=0.06)
    hertz = np.argmax(np.abs(np.fft.rfft(other))) * 24_000 / len(other)
    assert hertz == pytest.approx(1200, abs=15), "the pitch stays"


async def test_voices_are_ours_or_openais_and_bring_their_language(server):
    answer = await server.http.get("/speak/voices")
    assert answer.json()["voices"]["fr"] == ["fr-0", "fr-1", "fr-2", "fr-3", "fr+f1", "fr+m1"]
    assert "alloy" in answer.json()["openai"] and len(answer.json()["openai"]) == 13
    one = await server.http.get("/speak/voices", params={"language": "fra_Latn"})
    assert list(one.json()["voices"]) == ["fr"]
    ours = await spoken(server, voice="fr-3", language="")
    assert ours.headers["content-language"] == "fr" and ours.headers["babblefish-voice"] == "fr-3"
    assert heard(ours.content)[1] == pytest.approx(1300, abs=20)
    text = "Bonjour tout le monde, comment allez-vous aujourd'hui ?"
    assert (await spoken(server, text, language="")).headers["content-language"] == "fr"
    plain = await spoken(server, voice="en+m1")
    assert plain.headers["babblefish-voice"] == "en+m1"
    openais = [await spoken(server, "Yes, that it is.", voice=v) for v in ("echo", "onyx", "echo")]
    names = [answer.headers["babblefish-voice"] for answer in openais]
    assert names[0] == names[2] != names[1]
    by_id = await server.client().audio.speech.create(
        model="babblefish", voice={"id": "fr-1"}, input="Oui, oui."
    )
    assert by_id.response.headers["babblefish-voice"] == "fr-1"


async def test_a_clause_that_the_voice_cannot_say_is_said_plainly_and_the_text_goes_on(server):
    text = "The first part is well, 6500 is what it cannot say, and the rest follows."
    answer = await spoken(server, text, format="pcm")
    assert len(pcm(answer.content)) > 24_000
    assert server.voice.stats.errors == 0


async def test_a_voice_that_dies_begins_the_clause_again(server):
    text = " ".join(f"This is sentence number {n} of quite a few." for n in range(60))
    restarts = server.voice.stats.restarts
    async with server.http.stream(
        "POST", "/speak", json={"text": text, "language": "en", "format": "pcm"}
    ) as answer:
        pieces = answer.aiter_bytes()
        sound = await anext(pieces)
        for pid in server.voice.pids:
            os.kill(pid, signal.SIGKILL)
        sound += b"".join([piece async for piece in pieces])
    assert len(sound) / 48_000 > 0.05 * len(text.replace(" ", ""))
    await server.until(lambda: server.voice.stats.restarts == restarts + 1 and server.voice.idle)


# --- what is refused --------------------------------------------------------------------------

GOOD = {"model": "tts-1", "voice": "alloy", "input": "Hello, you.", "language": "en"}


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"model": "gpt-5"}, "model", "model_not_found"),
        ({"model": "whisper-1"}, "model", "model_not_found"),
        ({"input": ""}, "input", "bad_input"),
        ({"input": " … — !"}, "input", "nothing_to_say"),
        ({"input": "x" * 20_001}, "input", "bad_input"),
        ({"input": 7}, "input", "bad_input"),
        ({"voice": "nobody"}, "voice", "voice"),
        ({"voice": {"id": "voice_1234"}}, "voice", "voice"),
        ({"voice": "fr-1"}, "voice", "voice"),
        ({"speed": 0.2}, "speed", "bad_input"),
        ({"speed": 4.1}, "speed", "bad_input"),
        ({"response_format": "mp4"}, "response_format", "bad_input"),
        ({"stream_format": "ws"}, "stream_format", "bad_input"),
        ({"language": "klingon"}, "language", "language"),
        ({"language": "de"}, "language", "language"),
        ({"colour": "red"}, "colour", "unknown_parameter"),
    ],
)
async def test_what_is_wrong_is_named_as_openais_client_expects(server, change, param, code):
    kind = openai.NotFoundError if code == "model_not_found" else openai.BadRequestError
    with pytest.raises(kind) as caught:
        await server.client().post("/audio/speech", body=GOOD | change, cast_to=httpx.Response)
    error = caught.value
    assert (error.param, error.code, error.type) == (param, code, "invalid_request_error")
    assert error.body["message"].endswith((".", "?"))


async def test_who_may_not_is_told_so_as_openais_client_expects(server):
    async def refused(kind, key, path="/audio/speech"):
        with pytest.raises(kind) as caught:
            await server.client(key).post(path, body=GOOD, cast_to=httpx.Response)
        return caught.value.type, caught.value.code

    assert await refused(openai.AuthenticationError, "sk-wrong") == (
        "authentication_error", "invalid_api_key",
    )  # fmt: skip
    assert await refused(openai.PermissionDeniedError, "listener") == ("permission_error", "scope")
    assert (await refused(openai.NotFoundError, "all", "/audio/sing"))[1] == "not_found"
    with pytest.raises(openai.APIStatusError) as caught:
        await server.client().get("/audio/speech", cast_to=httpx.Response)
    assert caught.value.status_code == 405 and caught.value.type == "invalid_request_error"
    with pytest.raises(openai.APIStatusError) as caught:
        big = GOOD | {"input": "x" * 1_100_000}
        await server.client().post("/audio/speech", body=big, cast_to=httpx.Response)
    assert caught.value.status_code == 413 and caught.value.code == "too_large"


async def test_native_routes_keep_the_native_shape(server):
    answer = await server.http.post("/speak", json={"text": "Hello.", "voice": "nobody"})
    assert answer.status_code == 422 and set(answer.json()["error"]) == {"code", "message"}
    answer = await server.http.post(
        "/speak", json={"text": "Hello."}, headers={"Authorization": ""}
    )
    assert answer.status_code == 401 and set(answer.json()["error"]) == {"code", "message"}


async def test_fields_without_effect_are_named_in_the_answer(server):
    answer = await server.client().audio.speech.create(
        model="gpt-4o-mini-tts", voice="fr-0", input="Oui.", instructions="Whisper."
    )
    assert answer.response.headers["babblefish-ignored"] == "instructions"


async def test_models_are_listed_for_whoever_may_speak_or_listen(server):
    for key in ("all", "listener"):
        models = [model.id async for model in await server.client(key).models.list()]
        assert {"babblefish", "tts-1", "whisper-1", "gpt-4o-transcribe"} <= set(models)
    assert (await server.client().models.retrieve("tts-1")).owned_by == "babblefish"
    with pytest.raises(openai.NotFoundError) as caught:
        await server.client().models.retrieve("gpt-5")
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.PermissionDeniedError):
        await server.client("text").models.list()


async def test_a_revoked_key_is_read_no_further(server):
    stored, key = await server.app_keys.make("Short-lived", ["speak"], 600, 30)
    text = " ".join(f"This is sentence number {n} of very many indeed." for n in range(300))
    with pytest.raises(httpx.RemoteProtocolError):
        async with server.http.stream(
            "POST", "/speak", json={"text": text, "language": "en"},
            headers={"Authorization": f"Bearer {key}"},
        ) as answer:  # fmt: skip
            pieces = answer.aiter_bytes()
            await anext(pieces)
            await server.app_keys.revoke(stored.id)
            async for _ in pieces:
                pass
    await server.until(lambda: server.gate.open == 0)
