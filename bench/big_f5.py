"""What F5-TTS costs on this machine: time for a first clause and a sentence, by steps and guidance,
and memory.

The networks have their full size, and random weights: these take as long as real ones, but what
they say is noise. How like a speaker a clone is, and how much is lost with fewer steps, can only be
told with real weights: name their folder, and the table has a column for it.

    python -m bench.big_f5 [--device cuda] [--threads N] [--weights DIR]
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
from pathlib import Path
from typing import Any

from babblefish.settings import OFFLINE_ENVIRONMENT, load_settings

BASE: dict[str, Any] = {
    "dim": 1024, "depth": 22, "heads": 16, "dim_head": 64, "ff_mult": 2, "text_dim": 512,
    "conv_layers": 4,
}  # fmt: skip
"""F5-TTS v1 Base"""
VOCOS = {"dim": 512, "intermediate_dim": 1536, "num_layers": 8}
"""charactr/vocos-mel-24khz"""
STEPS, STRENGTHS = (7, 10, 12, 16, 32), (2.0, 0.0)
CASES = {
    "first clause": (6.3, 1.2, 1),
    "first clause, reference of 3 s": (3.0, 1.2, 1),
    "sentence": (6.3, 5.0, 1),
    "two sentences together": (6.3, 5.0, 2),
}
"""seconds of the reference, seconds to say, how many at once"""
ON_GPU = {"eight first clauses together": (6.3, 1.2, 8)}
TEXT = "Good morning, everybody. The meeting begins at nine, with a word of welcome for all of you."


def measure(device: str, precision: str, weights: Path) -> dict[str, Any]:
    """One precision, in a process of its own."""
    begun, before = time.perf_counter(), _memory_mb()
    import torch

    from babblefish.accelerator.checkpoints import BASE as CHECKPOINT
    from babblefish.accelerator.networks import Networks
    from babblefish.accelerator.sampling import Sampling

    imported, libraries = time.perf_counter(), _memory_mb()
    networks = Networks(weights, device, precision, 1)  # pyright: ignore[reportArgumentType]
    per_frame = networks.start(lambda message: None)
    loaded = time.perf_counter()
    network, vocoder = networks.get(CHECKPOINT.key, lambda message: None), networks._vocoder
    assert vocoder is not None
    cases = CASES | (ON_GPU if device == "cuda" else {})
    found: dict[str, Any] = {
        "precision": networks.precision, "import_s": imported - begun, "load_s": loaded - imported,
        "libraries_mb": libraries - before, "weights_mb": _memory_mb() - libraries,
        "warm_up_s_per_frame": per_frame, "step_s": {}, "step_core_s": {},
    }  # fmt: skip
    counted, runs = (8, 5) if device == "cuda" else (2, 1)
    for name, (reference, new, rows) in cases.items():
        for strength in STRENGTHS if name == "sentence" else STRENGTHS[:1]:
            batch = [_row(network, reference, new, seed) for seed in range(rows)]
            sampling = Sampling(counted, strength)
            used = time.process_time()
            walls = [_timed(lambda b=batch, s=sampling: network.sample(b, s)) for _ in range(runs)]
            case = f"{name}, guidance {strength:g}"
            found["step_s"][case] = statistics.median(walls) / counted
            found["step_core_s"][case] = (time.process_time() - used) / runs / counted
    mel = torch.randn(469, 100)
    found["vocoder_s_per_s"] = min(_timed(lambda: vocoder.speak(mel)) for _ in range(3)) / 5.0
    if device == "cuda":
        found["peak_allocated_mb"] = torch.cuda.max_memory_allocated() / 1e6
        found["peak_reserved_mb"] = torch.cuda.max_memory_reserved() / 1e6
        found["device"] = torch.cuda.get_device_name()
    found["memory_mb"] = _memory_mb() - before
    return found


def _row(network: Any, reference: float, new: float, seed: int) -> Any:
    import torch

    from babblefish.accelerator.f5 import FRAMES_PER_SECOND
    from babblefish.accelerator.sampling import CHANNELS, Row
    from babblefish.accelerator.text import symbols

    before, frames = round(reference * FRAMES_PER_SECOND), round(new * FRAMES_PER_SECOND)
    tokens = network.vocabulary.numbers(symbols(TEXT, network.vocabulary))
    return Row(torch.randn(before, CHANNELS) - 4, tokens, before + frames, seed)


def _timed(work: Any) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def similarity(device: str, weights: Path) -> dict[str, float]:
    """ "steps, guidance" → cosine of the voiceprints of a clone and of its reference. Real weights
    only: of the clips of shared recordings, each of which says the text in English."""
    from babblefish.accelerator import f5, guards
    from babblefish.accelerator.checkpoints import BASE as CHECKPOINT
    from babblefish.accelerator.networks import Networks
    from babblefish.accelerator.reference_voices import ReferenceVoices
    from babblefish.accelerator.sampling import Row, Sampling
    from babblefish.accelerator.synthesis_thread import new_frames
    from babblefish.accelerator.text import joined, readable, symbols
    from babblefish.accelerator_protocol import PutVoice, digest_of, encode_audio
    from babblefish.audio import resample
    from babblefish.engine.speakers import Ge2eEncoder
    from tests.speech import clips

    encoder = Ge2eEncoder(load_settings().weights_dir)
    networks = Networks(weights, device, None, 1)
    networks.start(lambda message: None)
    vocabulary = networks.get(CHECKPOINT.key, lambda message: None).vocabulary
    text, found = readable(TEXT, "en"), {}
    chosen = [clip for clip in clips() if clip.transcript and 3 <= clip.seconds <= 12][:6]
    for steps in STEPS:
        for strength in STRENGTHS:
            values = []
            for clip in chosen:
                sound = encode_audio(clip.samples)
                put = PutVoice(
                    speaker_id="x", digest=digest_of(sound, clip.transcript, 16_000), clip=sound,
                    text=clip.transcript, language=clip.language, sample_rate=16_000,
                )  # fmt: skip
                voice = ReferenceVoices().put(put)
                said = joined(symbols(voice.words, vocabulary), symbols(text, vocabulary))
                frames = len(voice.mel) + new_frames(text, voice.pace)
                row = Row(voice.mel, vocabulary.numbers(said), frames, 1)
                [samples] = networks.speak(
                    CHECKPOINT.key, [row], Sampling(steps, strength), lambda: None
                )
                clone = encoder.embed(resample(guards.finished(samples), f5.RATE, 16_000))
                values.append(float(encoder.embed(clip.samples) @ clone))
            found[f"{steps}, {strength:g}"] = statistics.mean(values)
    return found


def markdown(found: dict[str, Any], alike: dict[str, float]) -> str:
    """Costs, then what each choice of steps and guidance would take."""
    lines = []
    for name in ("import_s", "load_s", "libraries_mb", "weights_mb", "memory_mb",
                 "peak_allocated_mb", "peak_reserved_mb", "vocoder_s_per_s"):  # fmt: skip
        if name in found:
            lines.append(f"- {found['precision']}: {name} {found[name]:.3g}")
    lines += ["", f"| {found['precision']}: one step | s | s of a core |", "|---|---:|---:|"]
    lines += [
        f"| {name} | {value:.3f} | {found['step_core_s'][name]:.3f} |"
        for name, value in found["step_s"].items()
    ]
    first = found["step_s"]["first clause, guidance 2"]
    lines += ["", "| steps | guidance | first clause of 1.2 s | s per s of speech | similarity |",
              "|---:|---:|---:|---:|---:|"]  # fmt: skip
    for steps in STEPS:
        for strength in STRENGTHS:
            step = found["step_s"][f"sentence, guidance {strength:g}"]
            share = step / found["step_s"]["sentence, guidance 2"]
            like = alike.get(f"{steps}, {strength:g}")
            lines.append(
                f"| {steps} | {strength:g} | {steps * first * share:.2f} s "
                f"| {steps * step / 5 + found['vocoder_s_per_s']:.2f} "
                f"| {'random weights' if like is None else f'{like:.3f}'} |"
            )
    return "\n".join(lines)


def build(folder: Path) -> None:
    from tests import tiny_f5

    tiny_f5.install(folder, "base", vocoder=VOCOS, **BASE)


def _elsewhere(*arguments: str) -> dict[str, Any]:
    """Run this in a process of its own, whose memory and imports count alone."""
    environment = {**os.environ, **OFFLINE_ENVIRONMENT}
    command = [sys.executable, "-m", "bench.big_f5", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environment, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _memory_mb() -> float:
    import psutil

    return psutil.Process().memory_info().rss / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--weights", type=Path, help="folder with real weights")
    parser.add_argument("--json", type=Path, default=Path("bench/results/f5.json"))
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.threads:
        import torch

        torch.set_num_threads(wanted.threads)
    if wanted.measure == "similarity":
        print(json.dumps(similarity(wanted.device, wanted.weights)))
    elif wanted.measure == "build":
        build(wanted.weights)
        print("{}")
    elif wanted.measure:
        print(json.dumps(measure(wanted.device, wanted.measure, wanted.weights)))
    else:
        _report(wanted)


def _report(wanted: argparse.Namespace) -> None:
    load = os.getloadavg()[0]
    common = ["--device", wanted.device, "--threads", str(wanted.threads)]
    with tempfile.TemporaryDirectory() as folder:
        weights, alike = wanted.weights or Path(folder), {}
        if wanted.weights is None:
            _elsewhere("--measure", "build", "--weights", str(weights))
        precisions = ("fp16", "bf16") if wanted.device == "cuda" else ("fp32", "bf16")
        found = [
            _elsewhere("--measure", precision, "--weights", str(weights), *common)
            for precision in precisions
        ]
        if wanted.weights is not None:
            alike = _elsewhere("--measure", "similarity", "--weights", str(weights), *common)
    what = "Real" if alike else "Random"
    print(f"{what} weights of full size on {wanted.device}, load {load:.1f} before.\n")
    for one in found:
        print(markdown(one, alike), end="\n\n")
    wanted.json.write_text(json.dumps({"load": load, "runs": found, "similarity": alike}, indent=1))


if __name__ == "__main__":
    main()
