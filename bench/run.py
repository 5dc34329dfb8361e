"""``app.py bench``: runs every measurement against a real server and reports.

Wiring only: starts the server, lets phones meet in it, stops it, measures the plain pipeline on
the same clips, writes. A part that fails is reported as failed, and the others go on.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from babblefish.settings import Settings
from bench import baseline, capacity, latency, quality, report
from bench.clips import Clip, load_clips
from bench.conversation import Observation
from bench.host import Host
from bench.measures import ratio
from bench.server import Meter, Server

OUT = Path(__file__).with_name("out")
_ALWAYS = (
    "baseline_speech_end_to_audio_s", "lost", "doubled", "cut_first_words", "utterances", "wer",
    "wer_file", "wer_faster_whisper", "chrf", "cpu_percent", "peak_rss_mb", "no_speech",
    "round_trip", "server_start_s",
)  # fmt: skip
"""null where they could not be measured"""
_LONGEST_S = 7.0
"""clips that are turns of a conversation, not lectures"""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    monologue: int
    """utterances fr→en"""
    dialogue: int
    """utterances es↔en"""
    baseline: int
    """clips a direction"""
    round_trips: int
    readings: int = 0
    """times that each clip whose words are known is spoken for the word error rate"""
    everything: bool = False
    """also capacity"""
    written_only: bool = False
    """only clips whose transcript is known"""
    talk_until_s: float = float("inf")
    """no conversation turn begins later than this after the start"""
    stop_at_s: float = float("inf")
    """nor any clip through the plain models after this"""


FULL = Plan(12, 40, 4, 12, readings=4, everything=True)
QUICK = Plan(3, 6, 1, 2, written_only=True, talk_until_s=66.0, stop_at_s=92.0)


def main(settings: Settings, quick: bool, json_path: Path | None) -> None:
    """Measure, print, write. Exits with status 1 when any part failed."""
    logging.basicConfig(level=logging.WARNING)
    bench = Bench(settings, QUICK if quick else FULL)
    figures = bench.run()
    figures["quick"] = quick
    path = json_path or OUT / "bench.json"
    picture = path.with_suffix(".png")
    report.write_json(figures, path)
    report.plot(figures, figures["turns"], picture)
    print("\n" + report.table(figures))
    print(f"\nFigures: {path}   Picture: {picture}   {figures['seconds']:.0f} s")
    if figures["failed"]:
        raise SystemExit(1)


@dataclass(slots=True)
class Bench:
    settings: Settings
    plan: Plan
    begun: float = field(default_factory=time.monotonic)
    figures: dict[str, Any] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    live: latency.Live = field(default_factory=latency.Live)
    readings: list[Observation] = field(default_factory=list)
    """of every clip whose words are known, each equally often"""
    clips: list[Clip] = field(default_factory=list)

    def run(self) -> dict[str, Any]:
        self.figures["date"] = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        self.figures["machine"] = report.machine()
        self.clips = load_clips(self.settings.weights_dir, _LONGEST_S)
        if self.plan.written_only:
            self.clips = [clip for clip in self.clips if clip.transcript is not None]
        self.figures["real_speech"] = all(clip.real for clip in self.clips)
        with tempfile.TemporaryDirectory() as folder:
            self._attempt("room", lambda: self._in_a_room(Path(folder)))
        self._attempt("models", self._with_models)
        self._sum_up()
        self.figures["failed"] = self.failed
        self.figures["seconds"] = round(time.monotonic() - self.begun, 1)
        return self.figures

    def _sum_up(self) -> None:
        figures, seen = self.figures, self.live.observations
        figures |= latency.timings(seen)
        figures["directions"] = latency.directions(seen)
        figures["turns"] = [_turn(one) for one in seen]
        for key in _ALWAYS:
            figures.setdefault(key, None)
        plain = figures["baseline_speech_end_to_audio_s"] or {}
        ours = figures["speech_end_to_audio_s"]
        figures["faster_than_baseline"] = ratio(plain.get("p50"), ours["p50"])

    def _attempt(self, part: str, measure: Callable[[], T]) -> T | None:
        self._say(f"— {part}")
        try:
            return measure()
        except Exception as error:
            self.failed[part] = f"{type(error).__name__}: {error}"
            self._say(f"failed: {self.failed[part]}")
            return None

    def _say(self, text: str) -> None:
        print(f"{time.monotonic() - self.begun:6.1f}  {text}", flush=True)

    # --- against the server -----------------------------------------------------------------

    def _in_a_room(self, folder: Path) -> None:
        with Server(self.settings, folder) as server:
            self.figures["server_start_s"] = round(server.start_s, 1)
            meter = Meter(server.pid)
            try:
                self._converse(server, meter)
                self.figures["no_speech"] = self._attempt(
                    "silence, noise, hum, music",
                    lambda: asyncio.run(quality.false_words(server.base, server.link, "es")),
                )
                with Host(server) as host:
                    trace = self._attempt("the host's trace", host.trace) or {}
                    self.figures["stages"] = latency.stages(self.live, trace)
                    if self.plan.everything:
                        self._stretch(server, host, meter)
            finally:
                meter.close()
                self.figures["peak_rss_mb"] = round(meter.peak_rss_mb, 1)

    def _converse(self, server: Server, meter: Meter) -> None:
        fr, es, en = (latency.speakers(self.clips, language) for language in ("fr", "es", "en"))
        place, until = (server.base, server.link), self.begun + self.plan.talk_until_s
        middle = time.monotonic() + (until - time.monotonic()) / 3
        mark = meter.mark()
        talk = latency.monologue(
            *place, fr, "en", self.plan.monologue, self.live, self._say, middle
        )
        self._attempt("fr→en", lambda: asyncio.run(talk))
        talk = latency.dialogue(*place, es, en, self.plan.dialogue, self.live, self._say, until)
        self._attempt("es↔en", lambda: asyncio.run(talk))
        usage = meter.since(mark)
        self.figures["cpu_percent"] = usage.cpu_percent
        self.figures["cpu_seconds"] = usage.cpu_seconds
        self.figures["others_percent"] = usage.others_percent
        self.figures["client"] = {
            "latest_frame_s": round(self.live.latest_frame_s, 3),
            "longest_gap_s": round(self.live.longest_gap_s, 3),
        }

    def _stretch(self, server: Server, host: Host, meter: Meter) -> None:
        place = (server.base, server.link)
        written = [clip for clip in self.clips if clip.transcript is not None]
        self.readings = (
            self._attempt(
                "every clip whose words are known",
                lambda: asyncio.run(quality.readings(*place, written, "en", self.plan.readings)),
            )
            or []
        )
        fr, es, en = (latency.speakers(self.clips, language) for language in ("fr", "es", "en"))
        self.figures["capacity"] = {
            "listeners": self._attempt(
                "listeners of one language",
                lambda: asyncio.run(
                    capacity.listeners(*place, meter, es[:2] * 2, "en", (1, 20), self._say)
                ),
            ),
            "participants": self._attempt(
                "ten people, two talking",
                lambda: asyncio.run(
                    capacity.participants(
                        *place, meter, host.trace, (fr, en), 10, 90.0, True, self._say
                    )
                ),
            ),
            "at_once": self._attempt(
                "ten people, two talking at the same time",
                lambda: asyncio.run(
                    capacity.participants(
                        *place, meter, host.trace, (fr, en), 10, 60.0, False, self._say
                    )
                ),
            ),
            "rooms": self._attempt(
                "three rooms of two",
                lambda: asyncio.run(
                    capacity.rooms(
                        server.base,
                        [server.link, host.create_room("Second"), host.create_room("Third")],
                        meter,
                        host.trace,
                        (es, en),
                        40.0,
                        self._say,
                    )
                ),
            ),
        }

    # --- without it -------------------------------------------------------------------------

    def _with_models(self) -> None:
        whisper = baseline.Whisper(self.settings.weights_dir)
        self._attempt("plain pipeline", lambda: self._baseline(whisper))
        self._attempt("words", lambda: self._words(whisper))
        self.figures["round_trip"] = self._attempt(
            "synthesised speech",
            lambda: quality.round_trip(
                whisper, self.live.observations[::-1], self.plan.round_trips, self._say
            ),
        )

    def _baseline(self, whisper: baseline.Whisper) -> None:
        jobs = {
            (seen.turn.clip.name, seen.hears): seen.turn.clip for seen in self.live.observations
        }
        taken: dict[tuple[str, str], int] = {}
        chosen = []
        for (_, hears), clip in jobs.items():
            direction = (clip.language, hears)
            taken[direction] = taken.get(direction, 0) + 1
            if taken[direction] <= self.plan.baseline:
                chosen.append((clip, hears))
        plain = baseline.Baseline(self.settings.weights_dir, whisper)
        try:
            figures = baseline.measure(plain, chosen, self._say, self.begun + self.plan.stop_at_s)
        finally:
            plain.close()
        self.figures["baseline"] = figures
        self.figures["baseline_speech_end_to_audio_s"] = figures["speech_end_to_audio_s"]

    def _words(self, whisper: baseline.Whisper) -> None:
        seen = [*self.live.observations, *self.readings]
        spoken = {o.turn.clip.name: o.turn.clip for o in seen}
        unwritten = [clip for clip in spoken.values() if clip.transcript is None]
        texts = quality.faster_whisper_transcripts(whisper, unwritten)
        references = {clip.name: clip.transcript or "" for clip in spoken.values()}
        references |= {clip.name: text for clip, text in zip(unwritten, texts, strict=True)}
        self.figures |= latency.completeness(self.live, references)
        for what in ("lost", "doubled", "cut"):
            if self.figures[f"{what}_clips"]:
                self._say(f"{what}: {', '.join(self.figures[f'{what}_clips'])}")
        self.figures |= quality.room_words(seen)
        if self.readings:
            self.figures |= quality.compare(self.settings, whisper, self.readings)


def _turn(seen: Observation) -> dict[str, Any]:
    moments = {"partial": seen.to_partial, "end": seen.to_end, "caption": seen.to_caption,
               "sound": seen.to_sound}  # fmt: skip
    return {
        "clip": seen.turn.clip.name,
        "direction": f"{seen.turn.clip.language}→{seen.hears}",
        "voiced_s": round(seen.turn.clip.voiced[1] - seen.turn.clip.voiced[0], 2),
        **{name: None if at is None else round(at, 3) for name, at in moments.items()},
        "transcript": " ".join(seen.texts),
        "translation": " ".join(seen.translated),
    }
