"""How an upload arrives: forms in pieces of any size, disks that are full, programs that stop
sending; and how recordings wait for each other. No server."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import random
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from babblefish.errors import TransportError
from babblefish.ui.access import CutOff, TryLater
from babblefish.ui.programs import uploads as uploads_module
from babblefish.ui.programs.event_stream import event, event_stream
from babblefish.ui.programs.multipart import FormReader
from babblefish.ui.programs.uploads import Lane, Upload, Uploads

BOUNDARY = "fish"


def form(file: bytes, **fields: str) -> bytes:
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="../x"\r\n'
        "Content-Type: audio/wav\r\n\r\n"
    )
    return b"".join([*parts, head.encode(), file, f"\r\n--{BOUNDARY}--\r\n".encode()])


def request(pieces: Iterable[bytes], kind: str = "", ends: bool = True, **headers: str) -> Request:
    """ends: False where the program stops sending, and says nothing."""
    kind = kind or f"multipart/form-data; boundary={BOUNDARY}"
    waiting = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    if ends:
        waiting.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> Any:
        if waiting:
            return waiting.pop(0)
        await asyncio.Event().wait()

    told = {"content-type": kind, **headers}
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in told.items()]
    scope = {"type": "http", "method": "POST", "headers": sent, "query_string": b"words=no"}
    return Request(scope, receive)


def content(upload: Upload) -> bytes:
    upload._file.seek(0)
    return upload._file.read()


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    return Uploads(tmp_path / "uploads", 3_000_000, 3600.0, kept_free=0)


@pytest.mark.parametrize("size", [1, 7, 64, 5000])
def test_a_form_is_read_in_pieces_of_any_size(size):
    """The file holds what looks like the form's own boundary."""
    rng = random.Random(size)
    file = rng.randbytes(3000) + f"\r\n--{BOUNDARY[:-1]}\r\n--".encode() + rng.randbytes(100)
    got = bytearray()
    reader = FormReader(BOUNDARY.encode(), got.extend)
    body = form(file, source_lang="fr", prompt="Zażółć\r\ngęślą")
    for start in range(0, len(body), size):
        reader.feed(body[start : start + size])
    reader.finish()
    assert bytes(got) == file
    assert reader.fields == {"source_lang": ["fr"], "prompt": ["Zażółć\r\ngęślą"]}


def test_a_form_that_ends_early_or_holds_two_files_is_refused():
    reader = FormReader(BOUNDARY.encode(), lambda data: None)
    reader.feed(form(b"x")[:-10])
    with pytest.raises(TransportError, match="end of the form"):
        reader.finish()
    reader = FormReader(BOUNDARY.encode(), lambda data: None)
    with pytest.raises(TransportError, match="one file"):
        reader.feed(form(b"x")[: -len(f"--{BOUNDARY}--\r\n")] + form(b"y"))


async def test_fields_come_from_the_form_and_the_address(uploads):
    body = form(bytes(2_500_000), source_lang="fr")
    pieces = [body[start : start + 65536] for start in range(0, len(body), 65536)]
    with await uploads.receive(request(pieces)) as upload:
        assert upload.fields == {"source_lang": ["fr"], "words": ["no"]}
        assert upload.size == 2_500_000 == len(content(upload))
    assert list((uploads._folder).iterdir()) == [], "it has no name"


async def test_nothing_is_taken_that_is_announced_as_too_large(uploads):
    with pytest.raises(CutOff) as error:
        await uploads.receive(request([], content_length="3200000"))
    assert error.value.code == "too_large" and "3 MB" in error.value.message
    assert not uploads._folder.exists()


async def test_what_grows_too_large_is_dropped_while_it_arrives(uploads):
    taken = 0

    def endless():
        nonlocal taken
        while taken < 100:
            taken += 1
            yield bytes(100_000)

    made = request([], kind="audio/wav")
    pieces = endless()

    async def receive() -> Any:
        return {"type": "http.request", "body": next(pieces), "more_body": True}

    made = Request(made.scope, receive)
    with pytest.raises(CutOff):
        await uploads.receive(made)
    assert taken < 45


async def test_a_program_that_stops_sending_or_trickles_is_not_waited_for(tmp_path):
    silent = Uploads(tmp_path, 10**6, 3600.0, silence=0.05, kept_free=0)
    with pytest.raises(TransportError) as error:
        await silent.receive(request([b"x"], kind="audio/wav", ends=False))
    assert error.value.code == "too_slow"
    hour = iter(range(0, 10**6, 600))
    slow = Uploads(tmp_path, 10**6, 3600.0, clock=lambda: float(next(hour)), kept_free=0)
    with pytest.raises(TransportError) as error:
        await slow.receive(request([b"x"] * 100, kind="audio/wav"))
    assert error.value.code == "too_slow"


async def test_promise_10_a_disk_that_meetings_need_takes_no_uploads(tmp_path, monkeypatch):
    crowded = Uploads(tmp_path, 10**6, 3600.0, kept_free=10**18)
    with pytest.raises(TransportError) as error:
        await crowded.receive(request([b"x" * 10], kind="audio/wav"))
    assert error.value.code == "disk_full" and "Free some space" in error.value.message
    broken = Uploads(tmp_path, 10**6, 3600.0, kept_free=0)

    def fails(folder: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(shutil, "disk_usage", fails)
    with pytest.raises(TryLater) as trouble:
        await broken.receive(request([b"x" * 10], kind="audio/wav"))
    assert trouble.value.code == "disk"


async def test_what_an_earlier_run_left_is_swept_away(tmp_path):
    (tmp_path / "uploads").mkdir()
    (tmp_path / "uploads" / "tmpabc").write_bytes(b"somebody's voice")
    Uploads(tmp_path / "uploads", 10**6, 3600.0).sweep()
    assert list((tmp_path / "uploads").iterdir()) == []


async def test_recordings_wait_their_turn_and_not_for_ever(monkeypatch):
    monkeypatch.setattr(uploads_module, "_MOST_WAITING", 1)
    lane = Lane(1)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(lane.turn())
        assert not lane.free
        entered = asyncio.Event()

        async def second() -> None:
            async with lane.turn():
                entered.set()

        waiting = asyncio.create_task(second())
        await asyncio.sleep(0)
        assert not entered.is_set()
        with pytest.raises(TryLater) as error:
            lane.check()
        assert error.value.code == "busy" and error.value.retry_after > 0
    async with asyncio.timeout(60):
        await waiting
    assert entered.is_set() and lane.free


async def test_short_recordings_do_not_wait_for_long_ones(uploads):
    with await uploads.receive(request([form(b"x")])) as short:
        assert short.lane is uploads._lanes[0]
        short.size = 500_000_000
        assert short.lane is uploads._lanes[1]


async def test_events_are_kept_alive_and_end_with_what_went_wrong():
    going = asyncio.Event()
    closed = []

    async def events():
        yield event("segment", {"text": "é\n\n"})
        await going.wait()
        raise TransportError("busy", "Not now.")

    sent: list[bytes] = []

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))
        if sent.count(b":\n\n") == 2:
            going.set()

    async def receive() -> Any:
        await asyncio.Event().wait()

    stack = contextlib.AsyncExitStack()
    stack.callback(closed.append, True)
    async with asyncio.timeout(60):
        await event_stream(events(), stack, beat=0.01)({}, receive, send)
    text = b"".join(sent).decode()
    assert text.startswith('event: segment\ndata: {"text": "é\\n\\n"}\n\n:\n\n:\n\n')
    assert text.endswith('event: error\ndata: {"code": "busy", "message": "Not now."}\n\n')
    assert closed == [True]
