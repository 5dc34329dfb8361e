"""What NLLB-200 of 600 million parameters costs on this machine, without its weights: a network of
its exact size with random numbers in it takes just as long. What it says is nonsense, so its length
is forced. Converts it, too, as fetching the weights does.

    python -m bench.big_nllb [--threads 2]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from babblefish.engine.conversion import convert_nllb
from babblefish.engine.worker_process import LITTLE_SPINNING
from tests import tiny_nllb

VOCABULARY, PIECES = 256_206, 256_001
SIZE = {
    "vocab_size": VOCABULARY, "d_model": 1024, "encoder_layers": 12, "decoder_layers": 12,
    "encoder_attention_heads": 16, "decoder_attention_heads": 16, "encoder_ffn_dim": 4096,
    "decoder_ffn_dim": 4096,
}  # fmt: skip
TOKENS = 15
"""of the sentence, and of what it is translated into"""
BATCH = 8
BEAMS = (1, 2, 4)
RUNS = 7


def measure(threads: int) -> dict[str, Any]:
    """Seconds, and bytes of memory at most, of conversion, loading and translation."""
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint, weights = Path(scratch) / "checkpoint", Path(scratch) / "weights"
        _alone(_build, checkpoint)
        converted = _alone(_convert, checkpoint, weights / "nllb-200-600M")
        model = weights / "nllb-200-600M" / "model.bin"
        return {
            "threads": threads,
            **converted,
            "model_bytes": model.stat().st_size,
            **_alone(_translate, weights, threads),
        }


def table(measured: dict[str, Any]) -> str:
    lines = [
        f"NLLB-200 600M int8, random weights, {measured['threads']} threads; a sentence of "
        f"{TOKENS} tokens into {TOKENS}, medians of {RUNS} runs",
        "",
        "| what | |",
        "|---|---|",
        f"| conversion | {measured['convert_s']:.0f} s, at most "
        f"{measured['convert_peak_bytes'] / 1e9:.1f} GB of memory |",
        f"| model.bin | {measured['model_bytes'] / 1e6:.0f} MB |",
        f"| loading | {measured['load_s']:.1f} s |",
        f"| memory when in use | {measured['peak_bytes'] / 1e9:.1f} GB |",
    ]
    for beam in BEAMS:
        one, eight = (measured[f"beam_{beam}_{name}_s"] for name in ("one", "batch"))
        lines.append(
            f"| beam {beam} | one {one:.2f} s, {BATCH} together {eight:.2f} s "
            f"({eight / one:.1f} times one) |"
        )
    return "\n".join(lines)


def _alone(work: Callable[..., Any], *args: Any) -> Any:
    """``work(*args)`` in a process of its own, whose memory can be told from ours."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(work, *args).result()


def _build(folder: Path) -> None:
    folder.mkdir()
    tiny_nllb.save_tokenizer(folder, fill_up_to=PIECES)
    tiny_nllb.build_model(**SIZE).save_pretrained(folder)


def _convert(source: Path, target: Path) -> dict[str, float]:
    begun = time.perf_counter()
    convert_nllb(source, target)
    return {"convert_s": time.perf_counter() - begun, "convert_peak_bytes": _peak()}


def _translate(weights: Path, threads: int) -> dict[str, float]:
    from babblefish.engine import nllb, nllb_network
    from babblefish.engine.generation import Rules

    class _Fixed(nllb._Piece):
        @property
        def limit(self) -> int:
            return TOKENS

    begun = time.perf_counter()
    translator = nllb.NllbTranslator(weights, threads)
    results = {"load_s": time.perf_counter() - begun}
    # The language and the end take the other two places.
    words = translator._tokens(" ".join(row["en"] for row in tiny_nllb.SENTENCES))
    piece = _Fixed("", words[: TOKENS - 2])
    endless = Rules(never=(nllb_network.END,))
    for beam in BEAMS:
        translator._beam = beam
        for name, pieces in (("one", [piece]), ("batch", [piece] * BATCH)):
            seconds = []
            for _ in range(RUNS + 1):
                begun = time.perf_counter()
                for _, tokens, _ in translator._decode(pieces, "en", "fr", endless):
                    assert len(tokens) == TOKENS
                seconds.append(time.perf_counter() - begun)
            results[f"beam_{beam}_{name}_s"] = statistics.median(seconds[1:])
    return {**results, "peak_bytes": _peak()}


def _peak() -> float:
    """Bytes that this process held in memory at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    os.environ.update(LITTLE_SPINNING)
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--threads", type=int, default=2)
    print(table(measure(parser.parse_args().threads)))
