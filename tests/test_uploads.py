"""Recordings that programs send, against the real server with scripted stages: what comes back,
what is refused and how, and that nothing of it stays."""

from __future__ import annotations

import asyncio
import functools
import io
import json
import os
import resource
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import pytest_asyncio
import webvtt

from babblefish.engine.engine import Engine
from babblefish.engine.job_queue import Priority
from babblefish.errors import AudioError
from babblefish.settings import load_settings
from babblefish.storage.storage import Storage
from babblefish.ui.decoder import decoded
from babblefish.ui.programs.caller import Caller
from babblefish.ui.server import create_app
from rooms.hub import Hub
from tests.phones import fake_profile, tone
from tests.served import running
from tests.sound_files import flac, long_silence, wav, without_length
from tests.stored import QUICK

pytestmark = pytest.mark.asyncio(loop_scope="module")

SILENCE = functools.cache(lambda: long_silence(10))
SECONDS = 60.0
"""for anything to happen on a busy machine"""


@dataclass
class Served:
    app: Any
    http: httpx.AsyncClient
    folder: Path

    async def send(self, path: str, file: bytes, accept: str = "", **fields: Any) -> httpx.Response:
        """As a form."""
        headers = {"Accept": accept} if accept else {}
        return await self.http.post(
            path, files={"file": ("../../etc/passwd", file)}, data=fields, headers=headers
        )

    def left(self) -> list[str]:
        """What of uploads is open in this process."""
        links = []
        for descriptor in os.listdir("/proc/self/fd"):
            try:
                links.append(os.readlink(f"/proc/self/fd/{descriptor}"))
            except OSError:
                continue
        return [link for link in links if str(self.folder / "uploads") in link]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS):
            while not condition():
                await asyncio.sleep(0.01)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    folder = tmp_path_factory.mktemp("data")
    settings = load_settings(http=True, data_dir=folder, max_upload_mb=4, max_audio_hours=1.0)
    engine = Engine(fake_profile())
    app = create_app(settings, Hub(settings, engine, Storage(folder, **QUICK)), engine)
    async with running(app) as base:
        await app.state.ready.wait()
        app.state.engine = engine
        _, key = await app.state.keys.make("Archive", ["transcribe"], 600, 30)
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(base_url=base, headers=headers, timeout=SECONDS) as http:
            yield Served(app, http, folder)


def code(answer: httpx.Response) -> tuple[int, str]:
    error = answer.json()["error"]
    assert error["message"].endswith((".", "”.")) and len(error["message"]) > 20, error
    return answer.status_code, error["code"]


def events(text: str) -> list[tuple[str, Any]]:
    found = []
    for block in text.split("\n\n"):
        if block.strip() not in ("", ":"):
            name, data = block.strip().split("\n")
            found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def two_people(and_then: float | None = None) -> np.ndarray:
    """Tones at 1 s, 4 s and 7 s, of two voices; 11 s in all, float32 at 48 kHz.

    and_then: Hertz of one more tone, at 11 s."""
    gap = np.zeros(48000, np.float32)
    low, high = (tone(hertz, 2.0) / 32768 for hertz in (400, 3000))
    more = [] if and_then is None else [tone(and_then, 2.0) / 32768, gap, gap]
    return np.concatenate([gap, low, gap, high, gap, low, gap, gap, *more]).astype(np.float32)


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


async def test_promise_21_what_is_wrong_is_said(server):
    """Each of these, as a form or as it is."""
    for number, (made, status, wrong) in enumerate(REFUSED):
        if number % 2:
            answer = await server.send("/transcribe", made())
        else:
            answer = await server.http.post(
                "/transcribe", content=made(), headers={"Content-Type": "audio/wav"}
            )
        assert code(answer) == (status, wrong)
    assert not server.left()


def _with(values: np.ndarray, bad: float) -> np.ndarray:
    values[len(values) // 2] = bad
    return values


def _silence(seconds: float = 2.0) -> np.ndarray:
    return np.zeros(int(48000 * seconds), np.float32)


REFUSED = [
    (lambda: b"", 422, "empty_audio"),
    (lambda: b"Dear all, see you tomorrow. " * 50, 415, "file_unreadable"),
    (lambda: b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", 415, "file_unreadable"),
    (lambda: wav(_silence(0.0)), 422, "empty_audio"),
    (lambda: wav(_with(_silence(), np.nan), subtype="FLOAT"), 422, "bad_audio"),
    (lambda: wav(_with(_silence(), np.inf), subtype="FLOAT"), 422, "bad_audio"),
    (lambda: wav(np.stack([_silence(0.5)] * 32, axis=1)), 422, "channels"),
    (lambda: wav(two_people())[:400_000], 422, "truncated"),
    (lambda: flac(two_people())[:2000], 422, "truncated"),
    (SILENCE, 413, "too_long"),
    (lambda: without_length(SILENCE()), 413, "too_long"),
]


async def test_promise_21_ten_hours_of_silence_cost_next_to_nothing(server):
    """Whatever its header says, none of it is decoded."""
    files = [SILENCE(), without_length(SILENCE()), lying(SILENCE())]
    for file in files:
        assert len(file) < 2_000_000
        with (server.folder / "bomb.flac").open("w+b") as opened:
            opened.write(file)
            opened.flush()
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            with pytest.raises(AudioError) as error:
                async with decoded(opened, 3600.0):
                    pass
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert error.value.code == "too_long" and "60 minutes" in error.value.message
        assert after.ru_utime - before.ru_utime < 8, "decoding all of it takes far longer"


def lying(flac_file: bytes) -> bytes:
    """The same file, whose header says that it lasts one second."""
    changed = bytearray(flac_file)
    packed = struct.unpack(">Q", changed[18:26])[0]
    changed[18:26] = struct.pack(">Q", packed & ~((1 << 36) - 1) | 8000)
    return bytes(changed)


async def test_promise_21_the_server_names_the_files(server):
    """Whatever a program calls it; and there is no name of it anywhere on the disk."""
    before = set(server.folder.rglob("*"))
    await server.send("/transcribe", wav(two_people()))
    new = set(server.folder.rglob("*")) - before - {server.folder / "uploads"}
    assert not [path for path in new if "passwd" in path.name]
    assert list((server.folder / "uploads").iterdir()) == []


async def test_what_is_too_large_is_refused_while_it_arrives(server):
    """Of unknown length: the body ends where the server stops reading it."""
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 65536
            yield bytes(65536)

    raw = {"Content-Type": "audio/wav"}
    try:
        answer = await server.http.post("/transcribe", content=endless(), headers=raw)
        assert code(answer) == (413, "too_large")
    except (httpx.WriteError, httpx.ReadError):
        pass  # cut off while it was still sending
    assert 4_000_000 < sent < 40_000_000
    assert not server.left()
    answer = await server.http.post("/transcribe", content=bytes(4_200_000), headers=raw)
    assert code(answer) == (413, "too_large")


async def test_a_file_of_unknown_length_is_taken(server):
    file = wav(two_people())

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(file), 10_000):
            yield file[start : start + 10_000]

    answer = await server.http.post(
        "/transcribe", content=pieces(), headers={"Content-Type": "audio/wav"}
    )
    assert answer.status_code == 200 and len(answer.json()["segments"]) == 3


WRONG = [
    ("/transcribe", {"source_lang": "xx!"}, "language"),
    ("/transcribe", {"source_lang": "pl"}, "language"),
    ("/transcribe", {"words": "perhaps"}, "bad_input"),
    ("/transcribe", {"format": "docx"}, "bad_input"),
    ("/transcribe", {"target_lang": "en"}, "bad_input"),
    ("/transcribe", {"prompt": "x" * 2001}, "bad_input"),
    ("/transcribe", {"prompt": ["a", "b"]}, "bad_input"),
    ("/transcribe", {"glossary": "\n".join(f"term {i}" for i in range(101))}, "bad_input"),
    ("/transcribe-translate", {}, "bad_input"),
    ("/transcribe-translate", {"target_lang": "de"}, "pair"),
    ("/transcribe-translate", {"target_lang": "en,es", "format": "srt"}, "bad_input"),
]


async def test_fields_are_checked_and_named(server):
    for path, fields, wrong in WRONG:
        answer = await server.send(path, wav(two_people()), **fields)
        assert code(answer) == (422, wrong), fields
        if wrong == "bad_input":
            assert answer.json()["error"]["message"].split(":")[0].split(".")[0] in {
                *fields, "target_lang",
            }  # fmt: skip
    answer = await server.send("/transcribe", wav(two_people()), "text/event-stream", format="srt")
    assert code(answer) == (422, "bad_input")


FORMS = [
    ("multipart/form-data; boundary=x", b"--x\r\nno header", (400, "bad_form")),
    ("multipart/form-data; boundary=x", b"nonsense", (400, "bad_form")),
    ("multipart/form-data; boundary=" + "x" * 300, b"", (400, "bad_form")),
    ("multipart/form-data", b"", (415, "content_type")),
    ("application/json", b"{}", (415, "content_type")),
    ("", b"{}", (415, "content_type")),
    (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="words"\r\n\r\nyes\r\n--x--\r\n',
        (422, "no_file"),
    ),
    (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="words"\r\n\r\n\xff\r\n--x--\r\n',
        (400, "bad_form"),
    ),
    (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="a"; filename="b"\r\n\r\n1\r\n--x--\r\n',
        (400, "bad_form"),
    ),
    (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="words"\r\n\r\n' + b"y" * 70_000,
        (400, "bad_form"),
    ),
]


async def test_what_is_no_form_is_refused_in_words(server):
    for kind, body, wrong in FORMS:
        answer = await server.http.post(
            "/transcribe", content=body, headers={"Content-Type": kind} if kind else {}
        )
        assert code(answer) == wrong, (kind[:40], body[:60])


async def test_a_key_of_the_right_kind_is_needed(server):
    _, other = await server.app.state.keys.make("Text only", ["translate"], 600, 30)
    for key, wrong in ((other, (403, "scope")), ("bf_x", (401, "api_key"))):
        answer = await server.http.post(
            "/transcribe", files={"file": b"x"}, headers={"Authorization": f"Bearer {key}"}
        )
        assert code(answer) == wrong
    _, narrow = await server.app.state.keys.make("One", ["transcribe"], 600, 1)
    caller = Caller(narrow.split("_")[1], "One", frozenset({"transcribe"}), "127.0.0.1")
    with server.app.state.gate.hold(caller):
        answer = await server.http.post(
            "/transcribe", files={"file": b"x"}, headers={"Authorization": f"Bearer {narrow}"}
        )
    assert code(answer) == (503, "too_many_connections") and answer.headers["retry-after"]


async def test_a_key_that_is_revoked_gets_no_more(server):
    stored, key = await server.app.state.keys.make("Old", ["transcribe"], 600, 30)
    request = server.http.build_request(
        "POST", "/transcribe", files={"file": flac(np.concatenate([two_people()] * 20))},
        headers={"Accept": "text/event-stream", "Authorization": f"Bearer {key}"},
    )  # fmt: skip
    answer = await server.http.send(request, stream=True)
    lines = answer.aiter_lines()
    async with asyncio.timeout(SECONDS):
        while await anext(lines) != "event: segment":
            pass
        await server.app.state.keys.revoke(stored.id)
        rest = events("\n".join([line async for line in lines]).partition("\n\n")[2])
    assert rest[-1][0] == "error" and rest[-1][1]["code"] == "api_key"
    assert len([name for name, _ in rest if name == "segment"]) < 55


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
