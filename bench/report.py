"""What a run found, for people and for programs: a table, a JSON file, a picture.

Figures come in as the dictionary that becomes the JSON; nothing is measured here. What is not
known is "–" in the table and null in the JSON, never zero.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

GOALS = {"speech_end_to_audio_s": (1.2, 2.0), "speech_end_to_caption_s": (0.9, None)}
"""figure → seconds to stay within at the median and at the 95th percentile"""
_LIBRARIES = ("ctranslate2", "faster-whisper", "onnxruntime", "kokoro-onnx", "aiortc", "fastrtc")
_SHOWN = (
    ("speech_end_to_audio_s", "last voiced sample → first translated sound"),
    ("speech_end_to_caption_s", "last voiced sample → final caption"),
    ("speech_end_to_endpoint_s", "last voiced sample → end of utterance seen"),
    ("first_partial_s", "first voiced sample → first partial caption"),
    ("baseline_speech_end_to_audio_s", "plain pipeline, last voiced sample → sound"),
)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "cpu": _cpu_model(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "libraries": {name: importlib.metadata.version(name) for name in _LIBRARIES},
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def write_json(figures: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(figures, ensure_ascii=False, indent=1, allow_nan=False)
    path.write_text(text + "\n", "utf-8")


# --- for people -----------------------------------------------------------------------------


def table(figures: dict[str, Any]) -> str:
    """All that matters, as Markdown that also reads well in a terminal."""
    return "\n".join(_lines(figures))


def _lines(figures: dict[str, Any]) -> Iterator[str]:
    where = figures["machine"]
    yield (
        f"{figures['date']}, {where['cores']} cores of {where['cpu']}, "
        f"{where['memory_gb']} GiB, Python {where['python']}; other programs used "
        f"{_number(figures.get('others_percent'))} % of a core meanwhile"
    )
    yield ""
    yield f"| {'seconds':<44} |   p50 |   p95 |   n |"
    yield f"|{'-' * 46}|------:|------:|----:|"
    for key, label in _SHOWN:
        yield _row(label, figures.get(key))
    for direction, timings in figures.get("directions", {}).items():
        yield _row(f"{direction}: → sound", timings["speech_end_to_audio_s"])
        yield _row(f"{direction}: → final caption", timings["speech_end_to_caption_s"])
    for stage, timing in figures.get("stages", {}).items():
        yield _row(f"stage: {stage}", timing)
    yield ""
    yield f"| {'figure':<58} | {'value':>9} |"
    yield f"|{'-' * 60}|{'-' * 10}:|"
    for label, value in _facts(figures):
        yield f"| {label:<58} | {_number(value):>9} |"
    for part, reason in figures.get("failed", {}).items():
        yield f"\nFAILED: {part}: {reason}"


def _facts(figures: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "times faster than the plain pipeline, medians", figures.get("faster_than_baseline")
    yield "utterances", figures.get("utterances")
    yield (
        "lost / doubled / first word cut",
        " / ".join(_number(figures.get(key)) for key in ("lost", "doubled", "cut_first_words")),
    )
    yield "word error rate through the room", figures.get("wer")
    yield "word error rate of the same clips through app.py file", figures.get("wer_file")
    yield "word error rate, faster-whisper's defaults", figures.get("wer_faster_whisper")
    yield "chrF of the translations", figures.get("chrf")
    silence = figures.get("no_speech") or {}
    yield "words in silence, noise, hum and music", silence.get("words_in_all")
    trip = figures.get("round_trip") or {}
    yield "word error rate of synthesised speech recognised again", trip.get("wer")
    yield "CPU during conversations, % of one core", figures.get("cpu_percent")
    yield "peak memory of all server processes, MB", figures.get("peak_rss_mb")
    late = (figures.get("client") or {}).get("latest_frame_s")
    yield "test phones' own delay at worst, s", late
    yield "server start, s", figures.get("server_start_s")
    capacity = figures.get("capacity") or {}
    if audience := capacity.get("listeners"):
        yield "engine CPU, 20 listeners ÷ 1 listener", audience.get("engine_cost_ratio")
    for key, label in _CROWDS:
        if people := capacity.get(key):
            yield f"{label}: sound after, p50 s", people["speech_end_to_audio_s"]["p50"]
            yield f"{label}: sound after, p95 s", people["speech_end_to_audio_s"]["p95"]
            yield f"{label}: growth, s a minute", people["lag_growth_s_per_minute"]
            yield f"{label}: CPU, % of one core", people["cpu_percent"]
            yield f"{label}: final caption after, p95 s", people["speech_end_to_caption_s"]["p95"]
            yield f"{label}: unheard of {people['expected']}", people["unheard"]
            yield f"{label}: without a final caption", people["uncaptioned"]
            yield f"{label}: in the plain voice, of {people['spoken']}", people["plainly"]


_CROWDS = (
    ("participants", "10 people, 2 talking"),
    ("at_once", "10 people, 2 talking at once"),
    ("rooms", "3 rooms, 3 talking at once"),
)


def _row(label: str, timing: dict[str, Any] | None) -> str:
    timing = timing or {}
    p50, p95, n = (timing.get(key) for key in ("p50", "p95", "n"))
    return f"| {label:<44} | {_seconds(p50):>5} | {_seconds(p95):>5} | {_number(n):>3} |"


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _number(value: Any) -> str:
    return "–" if value is None else str(value)


# --- the picture ----------------------------------------------------------------------------


def plot(figures: dict[str, Any], turns: list[dict[str, Any]], path: Path) -> None:
    """Every turn's delay by direction beside the plain pipeline's median, as PNG."""
    from matplotlib.figure import Figure

    directions = figures.get("directions", {})
    picture = Figure(figsize=(9, 1.6 + 1.1 * max(1, len(directions))), layout="constrained")
    axes = picture.subplots()
    for row, direction in enumerate(directions):
        mine = [turn for turn in turns if turn["direction"] == direction]
        for key, color, offset in (("caption", "#2a7fba", -0.14), ("sound", "#c2410c", 0.14)):
            values = [turn[key] for turn in mine if turn[key] is not None]
            label = f"→ {key}" if row == 0 else None
            axes.plot(values, [row + offset] * len(values), "o", color=color, alpha=0.45, ms=6,
                      mew=0, label=label)  # fmt: skip
            if values:
                axes.plot(
                    [statistics.median(values)] * 2,
                    [row + offset - 0.1, row + offset + 0.1],
                    color=color,
                    lw=3,
                )
        plain = figures.get("baseline", {}).get("directions", {}).get(direction, {}).get("p50")
        if plain is not None:
            axes.plot([plain], [row], "D", color="#6b7280", ms=8,
                      label="plain pipeline, median" if row == 0 else None)  # fmt: skip
    p50, p95 = GOALS["speech_end_to_audio_s"]
    axes.axvline(p50, color="#c2410c", ls=":", lw=1, label=f"goal for sound: median {p50} s")
    axes.axvline(p95, color="#c2410c", ls="--", lw=1, label=f"95th percentile {p95} s")
    axes.set_yticks(range(len(directions)), list(directions))
    axes.set_ylim(max(1, len(directions)) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.set_xlabel("seconds after the last voiced sample")
    axes.set_title(f"{figures['machine']['cores']} cores, {figures['date']}", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    picture.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path, dpi=130)
