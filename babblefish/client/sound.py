"""Where a client's sound comes from, and where what it hears goes: microphone, files, loudspeaker.

A microphone is read by the package sounddevice where that is installed, else by arecord or
ffmpeg; a loudspeaker plays by the same package, else by aplay or ffplay. Knows no room.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import shutil
import sys
import wave
from collections import deque
from collections.abc import AsyncGenerator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import soundfile

from babblefish.audio import StreamResampler, to_int16
from babblefish.client.connection import RATE, STREAM, Sound
from babblefish.errors import AudioError, SettingsError

PIECE = RATE // 25
"""samples of 40 ms"""
_TAIL_S = 1.5
"""silence after a recording, so that its last sentence is known to be over"""
_LOOK_S = 0.05
_BUFFER_S = 0.2
"""that a program which plays keeps for itself"""
_MOST_CLIPS = 64
"""that wait to be played; beyond, the oldest is dropped"""


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
        await process.communicate()  # to wait alone may never end while something is unread


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
    """Plays clips one after the other. Asynchronous context manager: at the end of its block it
    plays what is left, unless the block failed."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._output: _DeviceOutput | _ProgramOutput | None = None

    async def __aenter__(self) -> Loudspeaker:
        """Raises SettingsError("loudspeaker")."""
        self._output = _output(self._rate)
        return self

    async def __aexit__(self, failed: type[BaseException] | None, *_: object) -> None:
        assert self._output is not None
        await self._output.close(finish=failed is None)

    def hear(self, sound: Sound) -> None:
        assert self._output is not None
        self._output.play(sound.samples.astype("<i2").tobytes(), sound.kind == STREAM)


def _output(rate: int) -> _DeviceOutput | _ProgramOutput:
    device = _sounddevice()
    if device is not None:
        with contextlib.suppress(SettingsError):  # programs may know another way
            return _DeviceOutput(device, rate)
    return _ProgramOutput(_player(rate), rate)


def _player(rate: int) -> list[str]:
    if shutil.which("aplay"):
        raw = ["-t", "raw", "-f", "S16_LE", "-r", str(rate), "-c", "1"]
        return ["aplay", "-q", f"--buffer-time={_BUFFER_S * 1e6:.0f}", *raw]
    if shutil.which("ffplay"):
        raw = ["-f", "s16le", "-ar", str(rate), "-ch_layout", "mono", "-i", "-"]
        return ["ffplay", "-nodisp", "-autoexit", "-loglevel", "error", *raw]
    raise SettingsError(
        "loudspeaker", "No way to a loudspeaker. Install one: pip install sounddevice, or the "
        "program aplay (package alsa-utils) or ffplay (package ffmpeg); or leave out --play.",
    )  # fmt: skip


class _DeviceOutput:
    """By sounddevice, which asks for sound whenever the loudspeaker needs some."""

    def __init__(self, device: Any, rate: int) -> None:
        """Raises SettingsError."""
        self._waiting: deque[bytes] = deque(maxlen=_MOST_CLIPS)
        self._now = bytearray()
        try:
            self._stream = device.RawOutputStream(
                rate, dtype="int16", channels=1, callback=self._fill
            )
            with contextlib.ExitStack() as failed:
                failed.callback(self._stream.close)
                self._stream.start()
                failed.pop_all()
        except Exception as error:  # sounddevice has errors of its own
            raise SettingsError("loudspeaker", "The loudspeaker cannot be opened.") from error

    async def close(self, finish: bool) -> None:
        """finish: after what is left was played."""
        try:
            while finish and self._stream.active and (self._waiting or self._now):
                await asyncio.sleep(_LOOK_S)
            if finish:
                await asyncio.sleep(self._stream.latency)
        finally:
            self._stream.close()

    def play(self, data: bytes, goes_on: bool) -> None:
        """goes_on: more follows at once."""
        self._waiting.append(data)

    def _fill(self, out: Any, *_: Any) -> None:
        """In a thread of sounddevice's."""
        while len(self._now) < len(out) and self._waiting:
            self._now += self._waiting.popleft()
        out[:] = bytes(self._now[: len(out)]).ljust(len(out), b"\0")
        del self._now[: len(out)]


class _ProgramOutput:
    """By a program that plays what it is given."""

    def __init__(self, command: list[str], rate: int) -> None:
        self._command, self._silence = command, bytes(2 * int(1.5 * _BUFFER_S * rate))
        self._waiting: asyncio.Queue[bytes | None] = asyncio.Queue(_MOST_CLIPS)
        """None: there is no more"""
        self._task = asyncio.create_task(self._run(), name="loudspeaker")

    async def close(self, finish: bool) -> None:
        """finish: after what is left was played."""
        try:
            if finish and not self._task.done():
                self._put(None)
                await asyncio.wait((self._task,))
        finally:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def play(self, data: bytes, goes_on: bool) -> None:
        """goes_on: more follows at once; else silence does, for the program keeps what does not
        fill its buffer."""
        self._put(data if goes_on else data + self._silence)

    def _put(self, data: bytes | None) -> None:
        if self._waiting.full():
            self._waiting.get_nowait()
        self._waiting.put_nowait(data)

    async def _run(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *self._command, stdin=asyncio.subprocess.PIPE
        )
        assert process.stdin is not None
        try:
            while (data := await self._waiting.get()) is not None:
                process.stdin.write(data)
                await process.stdin.drain()
            process.stdin.close()
            await process.wait()
        except (BrokenPipeError, ConnectionResetError):
            print("The loudspeaker does not take sound any more.", file=sys.stderr)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()  # aplay does not end at the first signal while it waits for sound
            await process.wait()
