"""A long recording through a real server: what it costs in memory and time, and whether memory
grows with its length.

Real speech, repeated with pauses, is sent as one Opus file to ``/transcribe`` and followed by its
events; meanwhile the memory of the server, of the decoder and of the models' processes is noted.

    python -m bench.long_file [--hours 2] [--stages real|scripted] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import psutil
import soundfile

from babblefish.audio import resample, to_int16
from babblefish.engine.stages import (
    SPEECH_RATE,
    RecogniserCapabilities,
    Recognition,
    RecognitionRequest,
)
from babblefish.settings import load_settings
from babblefish.storage.storage import Storage
from babblefish.ui.programs.keys import new_key
from bench import clips
from bench.report import machine, write_json
from bench.server import Server

_RATE = 48_000
_PAUSE_S = 0.9
_SETTLED = 0.1
"""of the recording, after which everything is loaded and memory should not grow"""
_DECODER = "babblefish.ui.decoding"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--stages", choices=("real", "scripted"), default="real")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", nargs=2, metavar=("PORT", "FOLDER"), help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.serve:
        _serve_scripted(int(told.serve[0]), Path(told.serve[1]))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recording = folder / "long.ogg"
        seconds = write_recording(recording, told.hours * 3600)
        key = asyncio.run(_make_key(folder / "data"))
        with _server(told.stages, folder / "data") as (base, pid):
            figures = measure(base, pid, key, recording)
    figures = {
        "machine": machine(), "stages": told.stages, "seconds": round(seconds, 1),
        "megabytes": figures.pop("megabytes"), **figures,
    }  # fmt: skip
    if told.json:
        write_json(figures, told.json)
    print(json.dumps({k: v for k, v in figures.items() if k != "samples"}, indent=1))


def write_recording(path: Path, least_seconds: float) -> float:
    """Seconds of what was written: all clips there are, again and again, louder and quieter."""
    folder = clips.speech_folder()
    if folder is None:
        sys.exit("There is no real speech here. Set BABBLEFISH_SPEECH_DIR.")
    entries = json.loads((folder / "manifest.json").read_text("utf-8"))
    random, count = np.random.default_rng(6), 0
    pause = np.zeros((1, int(_PAUSE_S * _RATE)), np.int16)
    sounds = []
    for entry in entries:
        samples, rate = soundfile.read(folder / entry["file"], dtype="float32")
        sounds.append(resample(samples, rate, _RATE))
    with av.open(str(path), "w", format="ogg") as output:
        stream = output.add_stream("libopus", rate=_RATE, layout="mono")
        stream.bit_rate = 24_000
        while count < least_seconds * _RATE:
            sound = sounds[int(random.integers(len(sounds)))] * random.uniform(0.5, 1.0)
            for piece in (to_int16(sound)[None], pause):
                frame = av.AudioFrame.from_ndarray(piece, format="s16", layout="mono")
                frame.sample_rate, frame.pts = _RATE, count
                count += piece.shape[1]
                output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return count / _RATE


def measure(base: str, pid: int, key: str, recording: Path) -> dict[str, Any]:
    """Sends it, follows its events, and watches the server's processes."""
    memory, begun, samples = Memory(pid), time.monotonic(), []
    before = memory.now()
    found: dict[str, int] = {}
    last: Any = None
    headers = {"Authorization": f"Bearer {key}", "Accept": "text/event-stream"}
    with (
        recording.open("rb") as file,
        httpx.Client(base_url=base, timeout=600) as client,
        client.stream("POST", "/transcribe", files={"file": file}, headers=headers) as answer,
    ):
        if answer.status_code != 200:
            sys.exit(answer.read().decode())
        received = time.monotonic() - begun
        for name, data in _events(answer.iter_lines()):
            found[name] = found.get(name, 0) + 1
            if name == "progress":
                samples.append((data["seconds_done"], *memory.now()))
            elif name in ("done", "error"):
                last = data
    took = time.monotonic() - begun
    table = np.array(samples)
    settled = table[table[:, 0] > table[-1, 0] * _SETTLED]
    parts = ("server", "decoder", "models")
    slopes = [np.polyfit(settled[:, 0] / 3600, settled[:, i + 1], 1)[0] for i in range(len(parts))]
    return {
        "megabytes": round(recording.stat().st_size / 10**6, 1),
        "to first event_s": round(received, 2),
        "took_s": round(took, 1),
        "times real time": round(table[-1, 0] / took, 1),
        "events": found,
        "ended with": last,
        "memory before_mb": dict(zip(parts, np.round(before, 1).tolist(), strict=True)),
        "memory peak_mb": dict(zip(parts, table[:, 1:].max(axis=0).round(1).tolist(), strict=True)),
        "memory slope_mb_per_hour of sound": dict(
            zip(parts, np.round(slopes, 2).tolist(), strict=True)
        ),
        "memory after_mb": dict(zip(parts, np.round(memory.now(), 1).tolist(), strict=True)),
        "samples": table[:: max(1, len(table) // 200)].round(1).tolist(),
    }


class Listener:
    """Takes its time, and hears a word for every third of a second, whatever is said."""

    capabilities = RecogniserCapabilities(
        languages=frozenset({"en"}), translates_into=frozenset(), max_seconds=30.0
    )

    def transcribe(self, audio: np.ndarray, request: RecognitionRequest) -> Recognition:
        time.sleep(0.02)
        text = " ".join(["word"] * max(1, 3 * len(audio) // SPEECH_RATE))
        return Recognition(text, "en", 1.0, 1.0, 0.0)


class Memory:
    """Of the server's process, of its decoders, and of all others below it, in MB."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)

    def now(self) -> tuple[float, float, float]:
        sums = {"server": _resident(self._root), "decoder": 0, "models": 0}
        for child in self._root.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                sums["decoder" if _DECODER in child.cmdline() else "models"] += _resident(child)
        return tuple(value / 2**20 for value in sums.values())  # type: ignore[return-value]


def _resident(process: psutil.Process) -> int:
    """Without pages of files, which the system may take back: weights are mapped."""
    memory = process.memory_info()
    return memory.rss - getattr(memory, "shared", 0)


def _events(lines: Iterator[str]) -> Iterator[tuple[str, Any]]:
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


async def _make_key(folder: Path) -> str:
    stored, key = new_key("bench", ["transcribe"], 1000, 10, time.time())
    storage = Storage(folder)
    await storage.start()
    try:
        await storage.add_key(stored)
    finally:
        await storage.close()
    return key


@contextlib.contextmanager
def _server(stages: str, data: Path) -> Iterator[tuple[str, int]]:
    """(address, process id) of a server in a process of its own."""
    if stages == "real":
        with Server(load_settings(profile="compact"), data) as server:
            yield server.base, server.pid
        return
    port = Server(load_settings(), data).port
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.long_file", "--serve", str(port), str(data)]
    )
    base = f"http://127.0.0.1:{port}"
    try:
        while True:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{base}/health").json()["status"] == "ok":
                    break
            if process.poll() is not None:
                sys.exit("The server did not start.")
            time.sleep(0.1)
        yield base, process.pid
    finally:
        process.terminate()
        process.wait()


def _serve_scripted(port: int, data: Path) -> None:
    """The real server, whose stages have no models."""
    import uvicorn

    from babblefish.engine.engine import Engine
    from babblefish.engine.profiles import StagePlan
    from babblefish.engine.stages import StageSpec
    from babblefish.ui.server import create_app
    from bench.scripted_stages import profile
    from rooms.hub import Hub

    settings = load_settings(http=True, data_dir=data)
    listener = StagePlan(StageSpec("bench.long_file:Listener"), nice=0)
    engine = Engine(replace(profile(0.0, 1), recogniser=listener))
    app = create_app(settings, Hub(settings, engine, Storage(data)), engine)
    uvicorn.run(app, host="127.0.0.1", port=port, log_config=None, access_log=False)


if __name__ == "__main__":
    main()
