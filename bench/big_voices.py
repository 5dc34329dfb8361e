"""What MMS voices and pyannote's voiceprints cost on this machine: time, processor time and memory.

The networks have their full size, and random weights: these take as long as real ones, but nothing
here says how good they are. Each runs in a process of its own, as in a server.

    python -m bench.big_voices [--threads N]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from babblefish.engine.worker_process import LITTLE_SPINNING
from babblefish.settings import OFFLINE_ENVIRONMENT, load_settings

SENTENCE = "zebranie zaczyna się jutro o dziewiątej rano w dużej sali"
_FRAMES_PER_TOKEN = 1.9
"""of 16 ms, rounded up to 2: some 15 letters a second, as in speech"""
_READING = "Good morning. How are you today? The meeting begins at nine."
_SECONDS = 3.0
_RUNS = 7


def measure(threads: int) -> dict[str, dict[str, float]]:
    """Medians of several runs, by stage; see ``TITLES``."""
    waiting = {**LITTLE_SPINNING, "OMP_NUM_THREADS": str(threads)}
    environment = {**os.environ, **OFFLINE_ENVIRONMENT, **waiting}
    found = {}
    for stage in STAGES:
        done = subprocess.run(
            [sys.executable, "-m", "bench.big_voices", "--stage", stage, "--threads", str(threads)],
            stdout=subprocess.PIPE, env=environment, check=True,
        )  # fmt: skip
        found[stage] = json.loads(done.stdout.splitlines()[-1])
    return found


TITLES = {
    "seconds_of_audio": "s of speech in one sentence of 60 letters",
    "say_s": "s to say it",
    "say_cpu_s": "s of processor time to say it",
    "say_s_per_s": "s per s of speech",
    "say_s_first_clause": "s to say a first clause of 12 letters",
    "import_s": "s to start, libraries included",
    "load_s": "s to load the weights",
    "memory_libraries_mb": "MB before the weights are loaded",
    "memory_mb": "MB more with them, once used",
    "memory_another_mb": "MB more with another language",
    "embed_s": "s for the voiceprint of 3 s of speech",
    "embed_cpu_s": "s of processor time for it",
    "embed_network_s": "s of that in the network",
    "embed_vad_s": "s of that in finding speech",
}


def measure_mms(threads: int) -> dict[str, float]:
    from babblefish.engine.mms import MmsSynthesiser

    with tempfile.TemporaryDirectory() as folder:
        _build_elsewhere("mms", folder)
        started = time.perf_counter()
        stage = MmsSynthesiser(folder, threads)
        ready, libraries = time.perf_counter(), _memory_mb()
        stage.prepare("pl")
        loaded = time.perf_counter()
        first = _median(lambda: stage.synthesise(SENTENCE[:12], "pl", "pl+plain", 1.0))[0]
        seconds = len(stage.synthesise(SENTENCE, "pl", "pl+plain", 1.0)) / 48_000
        wall, cpu = _median(lambda: stage.synthesise(SENTENCE, "pl", "pl+plain", 1.0))
        memory = _memory_mb()
        stage.synthesise(SENTENCE, "de", "de+plain", 1.0)
        return {
            "seconds_of_audio": seconds,
            "say_s": wall,
            "say_cpu_s": cpu,
            "say_s_per_s": wall / seconds,
            "say_s_first_clause": first,
            "import_s": ready - started,
            "load_s": loaded - ready,
            "memory_libraries_mb": libraries,
            "memory_mb": memory - libraries,
            "memory_another_mb": _memory_mb() - memory,
        }


def measure_pyannote(threads: int) -> dict[str, float]:
    import torch

    from babblefish.engine.pyannote_encoder import PyannoteEncoder, _import_architecture
    from babblefish.engine.vad import SileroVad
    from babblefish.engine.voiced import voiced

    weights_dir, speech = load_settings().weights_dir, _speech()
    with tempfile.TemporaryDirectory() as folder:
        _build_elsewhere("pyannote", folder)
        (Path(folder) / "silero").symlink_to(weights_dir / "silero")
        started = time.perf_counter()
        _import_architecture()
        ready, libraries = time.perf_counter(), _memory_mb()
        stage = PyannoteEncoder(folder, threads)
        loaded = time.perf_counter()
        wall, cpu = _median(lambda: stage.embed(speech))
        vad = SileroVad(weights_dir)
        heard = torch.from_numpy(voiced(speech, vad, 0.8))[None, None]
        with torch.inference_mode():
            network = _median(lambda: stage._network(heard))[0]
        return {
            "embed_s": wall,
            "embed_cpu_s": cpu,
            "embed_network_s": network,
            "embed_vad_s": _median(lambda: voiced(speech, vad, 0.8))[0],
            "import_s": ready - started,
            "load_s": loaded - ready,
            "memory_libraries_mb": libraries,
            "memory_mb": _memory_mb() - libraries,
        }


STAGES: dict[str, Callable[[int], dict[str, float]]] = {
    "mms": measure_mms,
    "pyannote": measure_pyannote,
}


def build(stage: str, folder: str) -> None:
    """Random weights of full size."""
    if stage == "mms":
        from tests import tiny_mms

        tiny_mms.build(Path(folder), sizes={}, frames_per_token=_FRAMES_PER_TOKEN)
    else:
        from tests import tiny_pyannote

        tiny_pyannote.build(Path(folder))


def _build_elsewhere(stage: str, folder: str) -> None:
    """Building takes memory and imports, which must not count."""
    command = [sys.executable, "-m", "bench.big_voices", "--stage", stage, "--build", folder]
    subprocess.run(command, check=True)


def _speech() -> Any:
    """(n,) float32, _SECONDS long."""
    from babblefish.audio import resample
    from babblefish.engine.espeak import EspeakSynthesiser

    spoken = EspeakSynthesiser().synthesise(_READING, "en", "en+f2", 1.0)
    return resample(spoken, 48_000, 16_000)[: int(_SECONDS * 16_000)]


def _median(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds, and seconds of processor time, of one call once it has warmed up."""
    work()
    walls, cpus = [], []
    for _ in range(_RUNS):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return statistics.median(walls), statistics.median(cpus)


def _memory_mb() -> float:
    import psutil

    return psutil.Process().memory_info().rss / 1e6


def markdown(found: dict[str, dict[str, float]]) -> str:
    lines = ["| stage | figure | |", "|---|---|--:|"]
    for stage, figures in found.items():
        lines += [f"| {stage} | {TITLES[name]} | {value:.3g} |" for name, value in figures.items()]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("--build", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.build:
        build(wanted.stage, wanted.build)
    elif wanted.stage:
        print(json.dumps(STAGES[wanted.stage](wanted.threads)))
    else:
        load = os.getloadavg()[0]
        print(f"Random weights of full size, {wanted.threads} threads, load {load:.1f} before.\n")
        print(markdown(measure(wanted.threads)))


if __name__ == "__main__":
    main()
