"""The client's microphone and loudspeaker: the real programs and the real package, on devices of
ALSA's that are files."""

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

BY_PROGRAM, BY_PACKAGE = "programs", "sounddevice"


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
    apart = silence(0.3, 24000)
    wanted = np.concatenate([clips[0].samples, apart, clips[1].samples]).tobytes()
    async with sound.Loudspeaker(24000) as loudspeaker:
        for clip in clips:
            loudspeaker.hear(clip)
        async with asyncio.timeout(SECONDS):
            while not devices.played.exists() or len(devices.played.read_bytes()) < len(wanted):
                await asyncio.sleep(0.01)
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
        sound.Loudspeaker(RATE)
