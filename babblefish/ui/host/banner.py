"""The line above all tabs that says when the storage is in trouble, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from babblefish.ui.host.rooms import QUIETLY
from babblefish.ui.host.views import esc

if TYPE_CHECKING:
    from babblefish.storage.records import StorageHealth
    from rooms.hub import Hub

_SECONDS = 2.0
_SET_ASIDE = (
    "The database was damaged. It was set aside and a new one begun, without what was stored "
    "before. The tab “Server” says what you can do."
)


def banner(health: StorageHealth | None) -> str:
    """Empty when all is well. health: None where nothing is stored."""
    if health is None or not health.message or health.code == "starting":
        return ""
    if health.code == "set_aside":
        return f'<div class="bf-banner" role="alert">{_SET_ASIDE}</div>'
    return (
        '<div class="bf-banner bf-problem" role="alert"><strong>Nothing can be stored at the '
        f"moment; meetings go on.</strong> {esc(health.message)}</div>"
    )


def create_banner(page: gr.Blocks, hub: Hub) -> None:
    shown = gr.State("")
    line = gr.HTML(padding=False, visible=False)
    timer = gr.Timer(_SECONDS)

    def update(before: str | None) -> tuple[Any, Any]:
        now = banner(hub.storage.health if hub.storage is not None else None)
        if now == before:
            return gr.skip(), gr.skip()
        return now, gr.update(value=now, visible=bool(now))

    async def look(before: str) -> tuple[Any, Any]:
        return update(before)

    async def arrive() -> tuple[Any, Any]:
        return update(None)

    timer.tick(look, shown, [shown, line], trigger_mode="once", **QUIETLY)
    page.load(arrive, None, [shown, line], **QUIETLY)
