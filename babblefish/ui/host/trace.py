"""The trace tab: where the time of each utterance went, live, and as JSON or CSV.

Reads ``Conversation.traces``; measures nothing itself.
"""

from __future__ import annotations

import csv
import io
import math
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import gradio as gr
from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response

from babblefish.languages import english_name
from babblefish.ui.host.rooms import QUIETLY
from babblefish.ui.host.views import count, esc, summary_tiles

if TYPE_CHECKING:
    from rooms.hub import Hub
    from rooms.publication import TraceRow
    from rooms.voices_heard import HeardVoice

_SECONDS = 1.0
_MAX_SHOWN = 100
_GOOD_MS, _FAIR_MS = 1200, 2000
"""to the first translated sound: what we aim at, at the median and at the worst"""
_OUTCOMES = {
    "spoken": "spoken", "spoken plainly": "plain voice", "captioned": "captions only",
    "empty": "no speech",
}  # fmt: skip


@dataclass
class Screen:
    """What one browser shows."""

    shown: dict[str, Any] = field(default_factory=dict)


def rows_of(hub: Hub, code: str = "") -> list[tuple[str, TraceRow]]:
    """(room name, row), newest first, of one room or (empty ``code``) of all."""
    rooms = [room for room in hub.rooms.values() if code in ("", room.code)]
    every = [(room.name, row) for room in rooms for row in room.conversation.traces]
    return sorted(every, key=lambda item: item[1].at, reverse=True)


def percentile(values: Iterable[float], percent: float) -> float | None:
    """Nearest rank; None of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else None


def seconds(ms: float | None) -> str:
    return "–" if ms is None else f"{ms / 1000:.2f} s"


# --- what is shown --------------------------------------------------------------------------


def summary(rows: list[tuple[str, TraceRow]]) -> str:
    totals = [row.total_ms for _, row in rows if row.total_ms is not None]
    outcomes = Counter(row.outcome for _, row in rows)
    failed = sum(number for outcome, number in outcomes.items() if outcome not in _OUTCOMES)
    return summary_tiles(
        [
            ("Utterances", str(len(rows))),
            ("To first sound, median", seconds(percentile(totals, 50))),
            ("To first sound, 95 %", seconds(percentile(totals, 95))),
            ("Speech", f"{sum(row.audio_s for _, row in rows) / 60:.1f} min"),
            ("Problems", str(failed)),
        ]
    )


def table(rows: list[tuple[str, TraceRow]], several_rooms: bool) -> str:
    if not rows:
        return (
            '<p class="bf-empty">Nothing has been said yet. Each sentence appears here, with the '
            "time that every step took.</p>"
        )
    body = "".join(_row(name if several_rooms else "", row) for name, row in rows[:_MAX_SHOWN])
    more = ""
    if len(rows) > _MAX_SHOWN:
        older = count(len(rows) - _MAX_SHOWN, "older utterance is", "older utterances are")
        more = f'<p class="bf-muted">{older} in the export.</p>'
    heads = (
        "Time", "Speaker", "Languages", "Speech", "Steps (ms)", "To first sound", "Heard in",
        "Outcome",
    )  # fmt: skip
    head = "".join(f'<th scope="col">{h}</th>' for h in heads)
    return (
        f'<table class="bf-trace"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}'
    )


def _row(room: str, row: TraceRow) -> str:
    clock = time.strftime("%H:%M:%S", time.localtime(row.at))
    room_line = f'<span class="bf-muted" dir="auto">{esc(room)}</span>' if room else ""
    names = ", ".join(english_name(target) for target in row.targets) or "nobody"
    source = english_name(row.language) if row.language else "unknown"
    stages = "".join(
        f'<span class="bf-stage">{esc(_stage(stage))} <b>{ms:.0f}</b></span>'
        for stage, ms in row.stages_ms.items()
    )
    outcome = _OUTCOMES.get(row.outcome, row.outcome.replace("_", " "))
    kind = "" if row.outcome in _OUTCOMES else " bf-bad"
    cells = [
        ("Time", f'<span class="bf-clock">{clock}</span>'),
        ("Speaker", f'<span class="bf-name" dir="auto">{esc(row.speaker)}</span>{room_line}'),
        ("Languages", f'{esc(source)} <span class="bf-muted">→ {esc(names)}</span>'),
        ("Speech", f"{row.audio_s:.1f} s"),
        ("Steps", f'<span class="bf-stages">{stages}</span>'),
        ("To first sound", _total(row.total_ms)),
        ("Heard in", _voices(row.voices)),
        ("Outcome", f'<span class="bf-tag{kind}">{esc(outcome)}</span>'),
    ]  # fmt: skip
    return "<tr>" + "".join(f'<td data-label="{label}">{c}</td>' for label, c in cells) + "</tr>"


def _stage(stage: str) -> str:
    """ "speak es" → "speak Spanish"."""
    words = stage.split(" ")
    if len(words) > 1 and 2 <= len(words[-1]) <= 3:
        return " ".join([*words[:-1], "→", english_name(words[-1])])
    return stage


def _voices(heard: Iterable[HeardVoice]) -> str:
    """Which voice began when, for each language."""
    told = "".join(
        f'<span class="bf-stage">{esc(english_name(voice.language))}: '
        f"{'own voice' if voice.own else 'neutral voice'} <b>{voice.after_s:.1f} s</b></span>"
        for voice in heard
    )
    return f'<span class="bf-stages">{told}</span>' if told else "–"


def _total(ms: float | None) -> str:
    if ms is None:
        return "–"
    grade = "good" if ms <= _GOOD_MS else "fair" if ms <= _FAIR_MS else "slow"
    return f'<span class="bf-total bf-{grade}">{seconds(ms)}</span>'


def downloads(code: str) -> str:
    query = f"?room={esc(code)}" if code else ""
    links = "".join(
        f'<a class="bf-button" href="/admin/trace.{kind}{query}" download>{kind.upper()}</a>'
        for kind in ("json", "csv")
    )
    return f'<div class="bf-actions bf-export"><span class="bf-muted">Export</span>{links}</div>'


# --- the tab --------------------------------------------------------------------------------


def create_trace_tab(page: gr.Blocks, hub: Hub) -> tuple[gr.Tab, gr.Timer]:
    """The tab, and the timer that keeps it live while it is in view."""
    with gr.Tab("Live trace", id="trace") as tab:
        screen = gr.State(Screen())
        timer = gr.Timer(_SECONDS, active=False)
        with gr.Row(elem_classes="bf-columns bf-trace-head"):
            gr.HTML('<h2 class="bf-title">Where the time goes</h2>', padding=False)
            chosen = gr.Dropdown(
                [("All rooms", "")], value="", label="Room", filterable=False, visible=False,
                show_label=False, elem_classes="bf-pick",
            )  # fmt: skip
            export = gr.HTML(padding=False)
        figures = gr.HTML(padding=False)
        lines = gr.HTML(padding=False)

    async def look(code: str | None, now: Screen) -> dict[Any, Any]:
        code = code if code in hub.rooms else ""
        rows = rows_of(hub, code)
        options = [("All rooms", ""), *((room.name, key) for key, room in hub.rooms.items())]
        several = len(hub.rooms) > 1
        wanted = {
            chosen: {"choices": options, "value": code, "visible": several},
            export: {"value": downloads(code), "visible": bool(rows)},
            figures: {"value": summary(rows), "visible": bool(rows)},
            lines: {"value": table(rows, several and not code)},
        }
        changed = {c: gr.update(**v) for c, v in wanted.items() if now.shown.get(c._id) != v}
        now.shown = {c._id: v for c, v in wanted.items()}
        return changed or gr.skip()

    async def arrive(code: str | None, now: Screen) -> dict[Any, Any]:
        now.shown = {}
        return await look(code, now)

    outputs = [chosen, export, figures, lines]
    timer.tick(look, [chosen, screen], outputs, trigger_mode="once", **QUIETLY)
    chosen.input(look, [chosen, screen], outputs, trigger_mode="always_last", **QUIETLY)
    page.load(arrive, [chosen, screen], outputs, **QUIETLY)
    return tab, timer


# --- export ---------------------------------------------------------------------------------


def add_routes(app: FastAPI, hub: Hub) -> None:
    """``/admin/trace.json`` and ``/admin/trace.csv``, of one ``room`` or of all."""

    @app.get("/admin/trace.json", include_in_schema=False)
    async def as_json(room: str = "") -> Response:
        rows = [
            {"room": name, **asdict(row), "at": _iso(row.at)} for name, row in rows_of(hub, room)
        ]
        return JSONResponse(rows, headers=_attachment("json"))

    @app.get("/admin/trace.csv", include_in_schema=False)
    async def as_csv(room: str = "") -> Response:
        text = to_csv(rows_of(hub, room))
        return Response(text, headers=_attachment("csv"), media_type="text/csv; charset=utf-8")


def to_csv(rows: list[tuple[str, TraceRow]]) -> str:
    """One line an utterance, one column a stage. Text that a spreadsheet would run as a formula
    is quoted with an apostrophe."""
    stages = list(dict.fromkeys(stage for _, row in rows for stage in row.stages_ms))
    out = io.StringIO()
    writer = csv.writer(out)
    fixed = ["at", "room", "utterance", "speaker", "language", "targets", "audio_s", "total_ms",
             "outcome", "voices"]  # fmt: skip
    writer.writerow([*fixed, *(_inert(f"{stage} ms") for stage in stages)])
    for name, row in rows:
        total = "" if row.total_ms is None else round(row.total_ms, 1)
        writer.writerow(
            [_iso(row.at), _inert(name), _inert(row.utterance), _inert(row.speaker), row.language,
             " ".join(row.targets), round(row.audio_s, 2), total, _inert(row.outcome),
             " ".join(f"{v.language}:{'own' if v.own else 'neutral'}@{v.after_s}"
                      for v in row.voices),
             *(row.stages_ms.get(stage, "") for stage in stages)]
        )  # fmt: skip
    return out.getvalue()


def _inert(text: str) -> str:
    return f"'{text}" if text.lstrip()[:1] in ("=", "+", "-", "@") else text


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def _attachment(kind: str) -> dict[str, str]:
    stamp = time.strftime("%Y%m%d-%H%M")
    return {"Content-Disposition": f'attachment; filename="babblefish-trace-{stamp}.{kind}"'}
