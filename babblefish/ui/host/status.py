"""The status tab: how the server does now, and how it did in the last quarter of an hour.

Shows what ``Watch`` has seen; measures nothing and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import gradio as gr

from babblefish.ui.host import status_views
from babblefish.ui.host.rooms import QUIETLY

if TYPE_CHECKING:
    from babblefish.ui.watch import Sample, Watch

_SECONDS = 2.0


@dataclass
class Screen:
    """What one browser shows."""

    shown: dict[str, str] = field(default_factory=dict)
    sample: Sample | None = None
    """the newest that it shows"""


def create_status_tab(page: gr.Blocks, watch: Watch) -> tuple[gr.Tab, gr.Timer]:
    """The tab, and the timer that keeps it live while it is in view."""
    with gr.Tab("Status", id="status") as tab:
        screen = gr.State(Screen())
        timer = gr.Timer(_SECONDS, active=False)
        parts = {name: gr.HTML(padding=False) for name in ("top", "plots", "tables")}

    async def look(now: Screen) -> dict[Any, Any]:
        samples = list(watch.samples)
        newest = samples[-1] if samples else None
        if now.shown and newest is now.sample:
            return gr.skip()
        now.sample = newest
        wanted = {
            "top": status_views.top(samples),
            "plots": status_views.plots(samples),
            "tables": status_views.tables(samples),
        }
        changed = {
            parts[name]: gr.update(value=value)
            for name, value in wanted.items() if now.shown.get(name) != value
        }  # fmt: skip
        now.shown = wanted
        return changed or gr.skip()

    async def arrive(now: Screen) -> dict[Any, Any]:
        now.shown = {}
        return await look(now)

    outputs = list(parts.values())
    timer.tick(look, screen, outputs, trigger_mode="once", **QUIETLY)
    tab.select(arrive, screen, outputs, **QUIETLY)
    return tab, timer
