"""Promise 21: whatever is sent as a recording is read, or refused with what is wrong with it."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from babblefish.audio import rms
from babblefish.errors import AudioError
from babblefish.ui import decoder, recordings
from babblefish.ui.decoding import decode
from babblefish.ui.recordings import MOST_BYTES, Recordings
from tests.patience import awake
from tests.sound_files import RATE, encoded, flac, long_silence, tone, wav, without_length

GOOD = {
    "wav": lambda: wav(tone(2.0)),
    "float wav": lambda: wav(tone(2.0), subtype="FLOAT"),
    "24 bit stereo wav": lambda: wav(np.stack([tone(2.0)] * 2, axis=1), subtype="PCM_24"),
    "8 bit wav": lambda: wav(tone(2.0, 16000), 16000, "PCM_U8"),
    "flac": lambda: flac(tone(2.0)),
    "mp3": lambda: encoded(tone(2.0), "mp3", "mp3"),
    "ogg": lambda: encoded(tone(2.0), "ogg", "libopus"),
    "webm, as Chrome records": lambda: encoded(tone(2.0), "webm", "libopus"),
    "m4a, as Safari records": lambda: encoded(tone(2.0), "mp4", "aac"),
}


@pytest.mark.parametrize("kind", GOOD)
def test_usual_formats_are_read(kind):
    samples = decode(GOOD[kind](), 16000, 30.0)
    assert samples.dtype == np.float32 and abs(len(samples) / 16000 - 2.0) < 0.1
    middle = samples[8000:24000]
    assert rms(middle) == pytest.approx(0.3 / 2**0.5, rel=0.1)
    assert np.argmax(np.abs(np.fft.rfft(middle))) == pytest.approx(440, abs=2)


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _with(values: np.ndarray, bad: float) -> np.ndarray:
    values[len(values) // 2] = bad
    return values


PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
CONCAT = b"ffconcat version 1.0\nfile /etc/hostname\n"
BAD = {
    "nothing": (lambda: b"", "empty_audio"),
    "no sound file": (lambda: b"Dear all, see you tomorrow. " * 50, "file_unreadable"),
    "a picture": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(500), "file_unreadable"),
    "a list of other files": (lambda: PLAYLIST, "file_unreadable"),
    "another list of files": (lambda: CONCAT, "file_unreadable"),
    "0 seconds": (lambda: wav(tone(0.0)), "empty_audio"),
    "NaN": (lambda: wav(_with(tone(2.0), np.nan), subtype="FLOAT"), "bad_audio"),
    "Inf": (lambda: wav(_with(tone(2.0), np.inf), subtype="FLOAT"), "bad_audio"),
    "1e30": (lambda: wav(_with(tone(2.0), 1e30), subtype="FLOAT"), "bad_audio"),
    "32 channels": (lambda: wav(np.stack([tone(0.5)] * 32, axis=1)), "channels"),
    "a rate of 1 MHz": (lambda: wav(tone(0.1), 1_000_000), "rate"),
    "a truncated wav": (lambda: _cut(wav(tone(4.0))), "truncated"),
    "a truncated flac": (lambda: _cut(flac(tone(4.0))), "truncated"),
    "a truncated m4a": (lambda: _cut(encoded(tone(4.0), "mp4", "aac")), "file_unreadable"),
    "too long": (lambda: wav(tone(33.0, 16000), 16000), "too_long"),
}


@pytest.mark.parametrize("kind", BAD)
def test_promise_21_what_is_wrong_is_said(kind):
    made, code = BAD[kind]
    with pytest.raises(AudioError) as error:
        decode(made(), 16000, 30.0)
    assert error.value.code == code, error.value.message
    assert error.value.message.endswith(".") and len(error.value.message) > 25


@pytest.mark.parametrize("honest", [True, False])
async def test_promise_21_ten_hours_of_silence_are_cut_off_at_once(honest):
    file = long_silence(10)
    assert len(file) < 2_000_000
    start = awake()
    with pytest.raises(AudioError) as error:
        await Recordings().read(file if honest else without_length(file), 30.0)
    assert error.value.code == "too_long" and "30 seconds" in error.value.message
    assert awake() - start < 10


async def test_decoding_leaves_the_event_loop_free():
    reading = asyncio.create_task(Recordings().read(wav(tone(30.0)), 30.0))
    longest = 0.0
    while not reading.done():
        before = awake()
        await asyncio.sleep(0.01)
        longest = max(longest, awake() - before)
    assert len(await reading) == 30 * 16000
    assert longest < 0.5


async def test_whoever_has_heard_enough_may_leave(tmp_path):
    """However much there is to be decoded still, and with the pipe full of it."""
    path = tmp_path / "long.wav"
    path.write_bytes(wav(tone(300.0, 16_000), 16_000))
    async with asyncio.timeout(60):
        with path.open("rb") as file:
            async with decoder.decoded(file, 600.0) as sound:
                assert sound.seconds == 300.0
                pieces = sound.pieces()
                assert len(await anext(pieces)) >= 8000
                transport: Any = vars(sound._pipe)["_transport"]
                while transport.is_reading():  # until nothing more fits
                    await asyncio.sleep(0.01)


async def test_a_decoder_that_hangs_or_dies_is_an_answer_in_words(monkeypatch):
    with pytest.raises(AudioError) as error:
        await Recordings(seconds=0.001).read(wav(tone(1.0)), 30.0)
    assert error.value.code == "undecodable"
    monkeypatch.setattr(decoder, "_ENVIRONMENT", {"PYTHONPATH": "/nowhere"})
    with pytest.raises(AudioError) as error:
        await Recordings().read(wav(tone(1.0)), 30.0)
    assert error.value.code == "undecodable" and "WAV" in error.value.message


def test_two_minutes_of_the_largest_usual_format_fit():
    assert 120 * RATE * 2 + 100 < MOST_BYTES


def test_only_recordings_may_be_long():
    for path in ("/api/rooms/abcd2345/voice/enrolment/takes/upload",
                 "/admin/people/enrolments/a_-Z9/takes/1"):  # fmt: skip
        assert recordings.PATHS.fullmatch(path)
    for path in ("/api/rooms/abcd2345/join", "/api/rooms/abcd2345/voice/enrolment",
                 "/api/rooms/a/voice/enrolment/takes/1/2", "/admin/people/a/delete"):  # fmt: skip
        assert not recordings.PATHS.fullmatch(path)
