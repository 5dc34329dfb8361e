"""What SeamlessM4T v2 large costs on this machine, without its weights: a network of its exact size
with random numbers in it takes just as long. What it says is nonsense, so its length is forced.

    python -m bench.big_seamless [--precision int8] [--device cpu] [--threads 2]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from babblefish.engine.stages import SPEECH_RATE
from babblefish.engine.worker_process import LITTLE_SPINNING

SECONDS, TOKENS, TARGETS = 3.0, 15, 3
_RUNS = 5
_SHARD = 1 << 31
"""bytes"""
_LANGUAGES = ("eng", "fra", "pol", "deu")


def measure(precision: str = "int8", device: str = "cpu", threads: int = 2) -> dict[str, Any]:
    """Seconds and bytes, medians of five. Needs 8 GB of disk for a while."""
    with tempfile.TemporaryDirectory(prefix="big-seamless-") as folder:
        _in_process(write_checkpoint, Path(folder))
        return _in_process(_measure, Path(folder), precision, device, threads)


def write_checkpoint(folder: Path) -> None:
    """The files of a checkpoint of full size, random, with the tokenizer of the tests' toy."""
    import torch
    from safetensors.torch import save_file
    from transformers import GenerationConfig, SeamlessM4Tv2Config

    from babblefish.engine.seamless_model import networks
    from tests.tiny_seamless import build_tokenizer

    codes = build_tokenizer(folder)
    config = SeamlessM4Tv2Config()
    config.save_pretrained(folder)
    generation = GenerationConfig(bos_token_id=2, eos_token_id=3, pad_token_id=0)
    generation.text_decoder_lang_to_code_id = codes  # pyright: ignore[reportAttributeAccessIssue]
    generation.save_pretrained(folder)
    speech, text = networks(config)
    shapes = {name: value.shape for name, value in speech.state_dict().items()}
    shapes |= {
        name: value.shape for name, value in text.state_dict().items()
        if name.startswith("text_encoder.")
    }  # fmt: skip
    files, shard, number = {}, {}, 0
    random = torch.Generator().manual_seed(0)
    for place, (name, shape) in enumerate(shapes.items()):
        if name.endswith("embed_tokens.weight") or name == "lm_head.weight":
            continue  # the checkpoint has it once, as shared.weight
        plain = torch.ones(shape) if name.endswith("weight") else torch.zeros(shape)
        drawn = torch.empty(shape).normal_(0, 0.02, generator=random)
        shard[name] = plain if len(shape) < 2 else drawn
        if sum(value.nbytes for value in shard.values()) > _SHARD or place == len(shapes) - 1:
            number += 1
            save_file(shard, folder / f"model-{number:05}.safetensors")
            files |= dict.fromkeys(shard, f"model-{number:05}.safetensors")
            shard = {}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": files}))


def _measure(folder: Path, precision: str, device: str, threads: int) -> dict[str, Any]:
    from babblefish.engine.seamless_model import Row, SeamlessModel

    begun = time.perf_counter()
    model = SeamlessModel(folder, precision, threads, device)  # pyright: ignore[reportArgumentType]
    loading, peak = time.perf_counter() - begun, _memory("VmHWM")
    noise = np.random.default_rng(0)
    clip = noise.normal(0, 0.1, int(SECONDS * SPEECH_RATE)).astype(np.float32)
    model._end = -1  # no text ends before its limit

    def decode(count: int, clips: int = 1) -> Callable[[], Any]:
        encoding = model.encode_speech([clip] * clips)
        rows = [
            Row(item, language, TOKENS) for item in range(clips) for language in _LANGUAGES[:count]
        ]
        return lambda: model.decode(encoding, rows)

    encode, one = _median(lambda: model.encode_speech([clip])), _median(decode(1))
    return {
        "precision": model.precision,
        "device": device,
        "threads": threads,
        "load": loading,
        "peak while loading": peak,
        "memory after": _memory("VmRSS"),
        "encode": encode,
        "decode one language": one,
        "decode transcript and three": _median(decode(1 + TARGETS)),
        "four utterances encoded together": _median(lambda: model.encode_speech([clip] * 4)),
        "four utterances decoded together": _median(decode(1, clips=4)),
        "text encoded": _median(
            lambda: model.encode_text(["Bonjour, comment allez-vous ?"], "fra")
        ),
        "memory at the end": _memory("VmRSS"),
        "GPU memory": _gpu_memory(device),
    }


def _median(work: Callable[[], Any]) -> float:
    work()
    taken = []
    for _ in range(_RUNS):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def _memory(kind: str) -> int:
    """bytes, of this process"""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:")) * 1024


def _gpu_memory(device: str) -> int:
    if device == "cpu":
        return 0
    import torch

    return torch.cuda.max_memory_allocated()


def _in_process(work: Callable[..., Any], *arguments: Any) -> Any:
    """``work`` in a new process, so that its memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def table(found: dict[str, Any]) -> str:
    """Markdown."""
    lines = ["| SeamlessM4T v2 large, random weights | |", "|---|---:|"]
    for name, value in found.items():
        if isinstance(value, float):
            shown = f"{value:.2f} s"
        elif isinstance(value, int) and value > 1 << 20:
            shown = f"{value / 1e9:.2f} GB"
        else:
            shown = str(value)
        lines.append(f"| {name} | {shown} |")
    return "\n".join(lines)


def main() -> None:
    os.environ.update(LITTLE_SPINNING)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    print(table(measure(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
