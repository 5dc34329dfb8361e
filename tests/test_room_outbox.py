"""What a program is sent when it reads slowly, and what it sends too early."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest

from babblefish.errors import TransportError
from babblefish.ui.programs import room_outbox
from babblefish.ui.programs.room_intake import Intake
from babblefish.ui.programs.room_outbox import Encoder, Outbox, Sound

pytestmark = pytest.mark.asyncio


class Wire:
    """Takes nothing until it is told to."""

    def __init__(self) -> None:
        self.reads = asyncio.Event()
        self.texts: list[dict] = []
        self.frames: list[bytes] = []

    async def send_text(self, text: str) -> None:
        await self.reads.wait()
        self.texts.append(json.loads(text))

    async def send_bytes(self, data: bytes) -> None:
        await self.reads.wait()
        self.frames.append(data)


def clip(seconds: float = 10.0, name: str = "a") -> Sound:
    return Sound(np.ones(int(48000 * seconds), np.int16), 1, 24000, False, (name,))


async def sent(wire: Wire, outbox: Outbox) -> None:
    wire.reads.set()
    running = asyncio.create_task(outbox.run())
    await outbox.drained(60)
    running.cancel()


async def test_a_slow_reader_loses_what_passes_and_nothing_else():
    wire = Wire()
    outbox = Outbox(wire, Encoder())
    for number in range(1000):
        outbox.tell({"final": number})
        outbox.tell({"partial": number}, passing=True)
        outbox.frame(bytes([number % 256]))
    await sent(wire, outbox)
    assert [m["final"] for m in wire.texts if "final" in m] == list(range(1000))
    partials = [m["partial"] for m in wire.texts if "partial" in m]
    assert partials == list(range(900, 1000)) and len(wire.frames) == 50
    assert wire.frames[-1] == bytes([999 % 256]) and outbox.dropped == 900 + 950


async def test_of_too_many_clips_the_oldest_lose_their_sound_and_keep_their_text():
    wire = Wire()
    outbox = Outbox(wire, Encoder())
    for number in range(20):
        outbox.tell_sound({"n": number, "tts_audio": None}, clip())
    await sent(wire, outbox)
    assert [m["n"] for m in wire.texts] == list(range(20))
    silent = [m["n"] for m in wire.texts if m["tts_audio"] is None]
    assert silent == list(range(12)), "8 MB of sound wait at most"
    assert all(wire.texts[n]["audio_dropped"] for n in silent)


async def test_who_reads_nothing_is_cut_off(monkeypatch):
    monkeypatch.setattr(room_outbox, "STUCK_S", 0.05)
    wire = Wire()
    outbox = Outbox(wire, Encoder())
    outbox.tell({"n": 1})
    with pytest.raises(TimeoutError):
        await outbox.run()
    assert outbox.stuck.is_set()


async def test_texts_that_pile_up_without_end_cut_it_off():
    outbox = Outbox(Wire(), Encoder())
    for number in range(5001):
        assert not outbox.stuck.is_set()
        outbox.tell({"n": number})
    assert outbox.stuck.is_set()


async def test_listeners_of_the_same_words_share_the_encoded_clip():
    encoder = Encoder()
    one = await encoder.encode({"n": 1}, clip(1.0))
    made = encoder._made.copy()
    two = await encoder.encode({"n": 2}, clip(1.0))
    other = await encoder.encode({"n": 2}, clip(1.0, "b"))
    assert encoder._made.keys() > made.keys() and len(encoder._made) == 2
    assert json.loads(one[0])["tts_audio"] == json.loads(two[0])["tts_audio"]
    assert json.loads(other[0])["n"] == 2


def second(count: float = 1.0) -> bytes:
    return np.arange(int(16000 * count), dtype="<i2").tobytes()


async def test_sound_goes_on_as_fast_as_it_is_spoken():
    intake = Intake()
    for _ in range(10):
        intake.put(second())
    taken = [intake.take(0.0), intake.take(0.0), intake.take(2.0), intake.take(3.0)]
    assert [len(t) / 16000 for t in taken] == [1.0, 0.0, 1.0, 1.0], "one second at once at most"
    rest = [intake.take(3.0 + step / 4) for step in range(1, 40)]
    whole = np.concatenate([*taken, *rest])
    assert np.array_equal(whole, np.frombuffer(second() * 10, "<i2")) and intake.waiting == 0


async def test_sound_that_comes_far_too_early_is_refused():
    intake = Intake()
    for _ in range(60):
        intake.put(second())
    with pytest.raises(TransportError) as refusal:
        intake.put(second(0.1))
    assert refusal.value.code == "too_fast"
    intake.take(0.0)
    intake.put(second(0.1))


async def test_half_a_sample_is_refused():
    with pytest.raises(TransportError) as refusal:
        Intake().put(b"\0\0\0")
    assert refusal.value.code == "bad_audio"
