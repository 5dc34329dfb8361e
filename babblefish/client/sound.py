"""Where a client's sound comes from, and where what it hears goes: microphone, files, loudspeaker.

A microphone is read by the package sounddevice where that is installed, else by arecord or
ffmpeg, and a loudspeaker the same way. Knows no room.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import shutil
import sys
import wave
from collections.abc import AsyncGenerator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import soundfile

from babblefish.audio import StreamResampler, to_int16
from babblefish.client.connection import RATE, Sound
from babblefish.errors import AudioError, SettingsError

PIECE = RATE // 25
"""samples of 40 ms"""
_TAIL_S = 1.5
"""silence after a recording, so that its last sentence is known to be over"""


async def recording(path: Path) -> AsyncGenerator[bytes]:
    """A sound file as int16 at RATE, as fast as it is spoken. Raises AudioError("file")."""
    loop = asyncio.get_running_loop()
    begun, sent = loop.time(), 0
    for piece in _pieces(path):
        yield piece.tobytes()
        sent += len(piece)
        await asyncio.sleep(max(0.0, begun + sent / RATE - loop.time()))


def _pieces(path: Path):
    rest = np.zeros(0, np.int16)
    try:
        with soundfile.SoundFile(path) as file:
            resampler = StreamResampler(file.samplerate, RATE)
            while len(block := file.read(file.samplerate, dtype="float32", always_2d=True)):
                made = to_int16(resampler.push(np.ascontiguousarray(block.mean(axis=1))))
                rest = np.concatenate([rest, made])
                yield from _whole(rest)
                rest = rest[len(rest) // PIECE * PIECE :]
            last = to_int16(resampler.push(np.zeros(0, np.float32), last=True))
    except (OSError, soundfile.SoundFileError) as error:
        raise AudioError(
            "file", f"{path} cannot be read as sound. Give a WAV, FLAC, OGG or MP3 file."
        ) from error
    tail = np.zeros(int(_TAIL_S * RATE), np.int16)
    rest = np.concatenate([rest, last, tail, np.zeros(PIECE, np.int16)])
    yield from _whole(rest)


def _whole(samples: np.ndarray):
    for start in range(0, len(samples) - PIECE + 1, PIECE):
        yield samples[start : start + PIECE]


async def microphone() -> AsyncGenerator[bytes]:
    """This machine's, as int16 at RATE, until it is closed. Raises SettingsError("microphone")."""
    device = _sounddevice()
    pieces = _by_device(device) if device else _by_program(_recorder())
    async with contextlib.aclosing(pieces):
        async for piece in pieces:
            yield piece


def _sounddevice() -> ModuleType | None:
    try:
        import sounddevice  # pyright: ignore[reportMissingImports]
    except (ImportError, OSError):  # OSError: without its library, PortAudio
        return None
    return sounddevice


def _recorder() -> list[str]:
    raw = ["-f", "s16le", "-ar", str(RATE), "-ac", "1", "-"]
    if shutil.which("arecord"):
        return ["arecord", "-q", "-t", "raw", "-f", "S16_LE", "-r", str(RATE), "-c", "1"]
    if shutil.which("ffmpeg"):
        source = {
            "darwin": ["-f", "avfoundation", "-i", ":default"],
            "win32": ["-f", "dshow", "-i", "audio=default"],
        }.get(sys.platform, ["-f", "pulse", "-i", "default"])
        return ["ffmpeg", "-nostdin", "-loglevel", "error", *source, *raw]
    raise SettingsError(
        "microphone",
        "No way to a microphone. Install one: pip install sounddevice, or the program arecord "
        "(package alsa-utils) or ffmpeg; or give a recording with --wav.",
    )


async def _by_device(device: Any) -> AsyncGenerator[bytes]:
    loop, came = asyncio.get_running_loop(), asyncio.Queue[bytes]()

    def take(data: Any, *_: Any) -> None:
        loop.call_soon_threadsafe(came.put_nowait, bytes(data))

    try:
        stream = device.RawInputStream(RATE, PIECE, dtype="int16", channels=1, callback=take)
    except Exception as error:  # sounddevice has errors of its own
        raise SettingsError(
            "microphone", "The microphone cannot be opened. Is one connected and allowed?"
        ) from error
    with stream:
        while True:
            yield await came.get()


async def _by_program(command: list[str]) -> AsyncGenerator[bytes]:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        while True:
            yield await process.stdout.readexactly(2 * PIECE)
    except asyncio.IncompleteReadError as error:
        raise SettingsError(
            "microphone", f"{command[0]} gives no sound: is a microphone connected and allowed?"
        ) from error
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def clip(message: dict[str, Any]) -> Sound | None:
    """The sound inside of a result; None where it has none."""
    if not message.get("tts_audio"):
        return None
    with wave.open(io.BytesIO(base64.b64decode(message["tts_audio"]))) as wav:
        samples = np.frombuffer(wav.readframes(wav.getnframes()), "<i2")
        return Sound(samples, wav.getframerate(), 1 if message["type"] == "result" else 2)


class WavFile:
    """What was heard, one after the other. Context manager."""

    def __init__(self, path: Path, rate: int) -> None:
        """Raises SettingsError("out")."""
        try:
            self._file = wave.open(str(path), "wb")  # noqa: SIM115
        except OSError as error:
            raise SettingsError("out", f"{path} cannot be written. Choose another file.") from error
        self._file.setnchannels(1)
        self._file.setsampwidth(2)
        self._file.setframerate(rate)

    def __enter__(self) -> WavFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def hear(self, sound: Sound) -> None:
        self._file.writeframes(sound.samples.astype("<i2").tobytes())


class Loudspeaker:
    """Plays clips one after the other. Context manager."""

    def __init__(self, rate: int) -> None:
        """Raises SettingsError("loudspeaker")."""
        self._rate = rate
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue(64)
        self._command = self._player()
        self._task: asyncio.Task | None = None

    def _player(self) -> list[str]:
        rate = str(self._rate)
        if shutil.which("aplay"):
            return ["aplay", "-q", "-t", "raw", "-f", "S16_LE", "-r", rate, "-c", "1"]
        if shutil.which("ffplay"):
            raw = ["-f", "s16le", "-ar", rate, "-ch_layout", "mono", "-i", "-"]
            return ["ffplay", "-nodisp", "-loglevel", "error", *raw]
        raise SettingsError(
            "loudspeaker", "No way to a loudspeaker. Install aplay (package alsa-utils) or ffplay "
            "(package ffmpeg), or leave out --play.",
        )  # fmt: skip

    def __enter__(self) -> Loudspeaker:
        self._task = asyncio.create_task(self._play(), name="loudspeaker")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()

    def hear(self, sound: Sound) -> None:
        if self._waiting.full():
            self._waiting.get_nowait()
        self._waiting.put_nowait(sound.samples.astype("<i2").tobytes())

    async def _play(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *self._command, stdin=asyncio.subprocess.PIPE
        )
        assert process.stdin is not None
        try:
            while True:
                process.stdin.write(await self._waiting.get())
                await process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            print("The loudspeaker does not take sound any more.", file=sys.stderr)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
