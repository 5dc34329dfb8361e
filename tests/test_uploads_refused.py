"""Recordings, fields and keys that are refused: how, at what cost, and that nothing is left."""

from __future__ import annotations

import asyncio
import functools
import resource
import struct
from collections.abc import AsyncIterator

import httpx
import numpy as np
import pytest
import pytest_asyncio

from babblefish.errors import AudioError
from babblefish.ui.decoder import decoded
from babblefish.ui.programs.caller import Caller
from tests.sound_files import flac, long_silence, wav, without_length
from tests.uploads import SECONDS, Served, code, events, serving, two_people

pytestmark = pytest.mark.asyncio(loop_scope="module")

SILENCE = functools.cache(lambda: long_silence(10))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    async with serving(tmp_path_factory.mktemp("data")) as served:
        yield served


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
