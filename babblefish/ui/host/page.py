"""Assembles the host page of its tabs and puts it under a FastAPI application.

One ``create_*_tab`` a file; each gives back its tab and, if it is live, the timer that runs only
while the tab is in view. Who may see the page is decided in ``babblefish.ui.admin``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import gradio as gr
from fastapi import FastAPI
from gradio.themes import Base

from babblefish.settings import Settings
from babblefish.ui.host.banner import create_banner
from babblefish.ui.host.laptops import create_laptops_tab
from babblefish.ui.host.links import Links
from babblefish.ui.host.people import create_people_tab
from babblefish.ui.host.programs import create_programs_tab
from babblefish.ui.host.rooms import QUIETLY, create_rooms_tab
from babblefish.ui.host.server import create_server_tab
from babblefish.ui.host.status import create_status_tab
from babblefish.ui.host.trace import create_trace_tab

if TYPE_CHECKING:
    from starlette.datastructures import State

    from rooms.hub import Hub

_FONT = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif"]
_MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]
_TOP = """<header class="bf-top"><h1 class="bf-brand">BabbleFish <span>host</span></h1>
<form method="post" action="/admin-logout" class="bf-actions">
<a class="bf-button bf-quiet" href="/admin-password">Password</a>
<button class="bf-button bf-quiet">Sign out</button></form></header>"""


def theme() -> Base:
    """System fonts only: nothing is fetched."""
    base = Base(
        primary_hue="teal", secondary_hue="teal", neutral_hue="slate", font=_FONT, font_mono=_MONO,
        radius_size="lg",
    )  # fmt: skip
    return base.set(
        body_background_fill="#f2f6f7",
        body_background_fill_dark="#0d1519",
        block_background_fill_dark="#162127",
        block_border_color_dark="#2b3b43",
        border_color_primary_dark="#2b3b43",
        input_background_fill="#f2f6f7",
        input_background_fill_dark="#0d1519",
        input_border_color="#75868f",
        input_border_color_dark="#7d929c",
        input_border_width="1px",
        slider_color="#00696f",
        slider_color_dark="#5fd4cf",
        checkbox_background_color_selected="#00696f",
        checkbox_background_color_selected_dark="#0c8a86",
        checkbox_border_color="#75868f",
        checkbox_border_color_dark="#7d929c",
        button_primary_background_fill="#00696f",
        button_primary_background_fill_hover="#00565b",
        button_primary_background_fill_dark="#5fd4cf",
        button_primary_background_fill_hover_dark="#83e2de",
        button_primary_text_color="white",
        button_primary_text_color_dark="#04211f",
        button_primary_border_color="transparent",
        button_primary_border_color_dark="transparent",
        block_shadow="none",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        block_label_text_color="*neutral_700",
        block_title_text_color="*neutral_800",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
    )


def build(hub: Hub, settings: Settings, links: Links, state: State) -> gr.Blocks:
    """state: of the application: pairing, keys, gate and watch."""
    with gr.Blocks(
        theme=theme(), title="BabbleFish host", analytics_enabled=False, fill_width=True
    ) as page:
        gr.HTML(_TOP, padding=False)
        create_banner(page, hub)
        with gr.Tabs():
            live = [
                create_rooms_tab(page, hub, settings, links),
                create_people_tab(page, hub),
                create_laptops_tab(page, hub, state.pairing, links),
                create_programs_tab(page, state.keys, state.gate, settings, links),
                create_status_tab(page, state.watch),
                create_trace_tab(page, hub),
                create_server_tab(page, hub),
            ]
        timers = [timer for _, timer in live]
        for number, (tab, _) in enumerate(live):
            tab.select(_only(number, len(live)), None, timers, **QUIETLY)
    return page


def _only(active: int, number: int):
    async def timers() -> list[dict]:
        return [gr.update(active=i == active) for i in range(number)]

    return timers


def mount(app: FastAPI, page: gr.Blocks, path: str) -> None:
    """Serve ``page`` without uploads, files, API documentation or error details."""
    page.queue(api_open=False, default_concurrency_limit=None, max_size=200)
    gr.mount_gradio_app(
        app, page, path=path, show_api=False, allowed_paths=[], max_file_size=1,
        show_error=False, ssr_mode=False, enable_monitoring=False, pwa=False, mcp_server=False,
    )  # fmt: skip
