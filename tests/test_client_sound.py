"""The client's microphone and loudspeaker: real programs, on devices of ALSA's that are files."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from babblefish.client import sound
from babblefish.client.connection import RATE, Sound
from babblefish.errors import SettingsError
from tests.programs import SECONDS, silence, sine


@dataclass
class Devices:
    spoken: Path
    """what the microphone hears, raw int16"""
    played: Path
    """what the loudspeaker was given"""


@pytest.fixture
def devices(tmp_path, monkeypatch) -> Devices:
    found = Devices(tmp_path / "spoken.raw", tmp_path / "played.raw")
    found.spoken.write_bytes(sine(440, 1.0).tobytes())
    (tmp_path / "asound.conf").write_text(
        "pcm.null { type null }\n"
        f'pcm.!default {{ type file, slave.pcm "null", format "raw", file "{found.played}", '
        f'infile "{found.spoken}" }}\n'
    )
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(tmp_path / "asound.conf"))
    monkeypatch.setattr(sound, "_sounddevice", lambda: None)
    return found


async def test_a_microphone_is_heard(devices):
    wanted = devices.spoken.read_bytes()
    heard = b""
    async with asyncio.timeout(SECONDS), contextlib.aclosing(sound.microphone()) as pieces:
        async for piece in pieces:
            assert len(piece) == 2 * sound.PIECE
            heard += piece
            if len(heard) >= len(wanted):
                break
    assert heard[: len(wanted)] == wanted


async def test_a_loudspeaker_plays_one_clip_after_the_other(devices):
    clips = [Sound(sine(hertz, 0.5, 24000), 24000, 1) for hertz in (400, 700)]
    apart, first = silence(0.3, 24000), clips[0].samples.tobytes()
    wanted = np.concatenate([clips[0].samples, apart, clips[1].samples]).tobytes()
    async with sound.Loudspeaker(24000) as loudspeaker:
        loudspeaker.hear(clips[0])
        async with asyncio.timeout(SECONDS):
            while not devices.played.exists() or len(devices.played.read_bytes()) < len(first):
                await asyncio.sleep(0.01)  # although nothing more comes
        loudspeaker.hear(clips[1])
    assert devices.played.read_bytes()[: len(wanted)] == wanted


async def test_a_microphone_that_is_not_there_is_named(devices, tmp_path):
    (tmp_path / "asound.conf").write_text("")
    with pytest.raises(SettingsError, match="is a microphone connected"):
        async with asyncio.timeout(SECONDS):
            async for _ in sound.microphone():
                pass


async def test_without_any_way_to_a_device_the_fix_is_named(devices, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SettingsError, match=r"pip install sounddevice.*arecord"):
        await anext(sound.microphone())
    with pytest.raises(SettingsError, match=r"pip install sounddevice.*aplay"):
        await sound.Loudspeaker(RATE).__aenter__()


class Package:
    """What of sounddevice the client uses; it is asked for sound by the test."""

    def __init__(self, opens: bool = True) -> None:
        self._opens = opens
        self.active, self.latency, self.closed = True, 0.0, False

    def RawOutputStream(self, rate, *, dtype, channels, callback):
        assert (rate, dtype, channels) == (24000, "int16", 1)
        self._callback = callback
        return self

    def start(self) -> None:
        if not self._opens:
            raise OSError("Invalid sample rate")

    def close(self) -> None:
        self.closed = True

    def takes(self, samples: int) -> np.ndarray:
        out = bytearray(2 * samples)
        self._callback(memoryview(out), samples, None, None)
        return np.frombuffer(out, "<i2")


async def test_sounddevice_gets_clips_without_a_gap_and_then_silence(monkeypatch):
    package = Package()
    monkeypatch.setattr(sound, "_sounddevice", lambda: package)
    clips = [Sound(sine(hertz, 0.1, 24000), 24000, 1) for hertz in (400, 700)]
    async with sound.Loudspeaker(24000) as loudspeaker:
        assert not package.takes(500).any()
        for clip in clips:
            loudspeaker.hear(clip)
        heard = np.concatenate([package.takes(500) for _ in range(5)])
        leaving = asyncio.create_task(loudspeaker.__aexit__(None))
        await asyncio.sleep(3 * sound._LOOK_S)
        assert not leaving.done() and not package.closed, "some of it is still to be played"
        heard = np.concatenate([heard, *(package.takes(500) for _ in range(5))])
        await asyncio.wait_for(leaving, SECONDS)
    whole = np.concatenate([clip.samples for clip in clips])
    assert np.array_equal(heard[: len(whole)], whole) and not heard[len(whole) :].any()
    assert package.closed


async def test_where_sounddevice_cannot_a_program_plays(devices, monkeypatch):
    package = Package(opens=False)
    monkeypatch.setattr(sound, "_sounddevice", lambda: package)
    clip = Sound(sine(400, 0.5, 24000), 24000, 1)
    async with sound.Loudspeaker(24000) as loudspeaker:
        loudspeaker.hear(clip)
    wanted = clip.samples.tobytes()
    assert package.closed, "a program may need the same device"
    assert devices.played.read_bytes()[: len(wanted)] == wanted
