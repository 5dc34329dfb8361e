"""The server tab: whether people's data can be stored, and the audit of what was done with it.

Events of the page come in, calls to the storage go out. Knows no rooms.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import gradio as gr

from babblefish.errors import BabbleFishError, RoomError, StorageError
from babblefish.ui.host import audit_words, views
from babblefish.ui.host.rooms import QUIETLY, parse_action
from babblefish.ui.host.views import count, esc

if TYPE_CHECKING:
    from babblefish.storage.records import StorageHealth
    from babblefish.storage.storage import Storage
    from rooms.hub import Hub

_SECONDS = 2.0
_PAGE = 50
"""audit lines"""
_FIELD = "bf-server-action"
_NOTICE_SECONDS = 8.0


@dataclass
class Screen:
    """What one browser shows; kept on the server by Gradio."""

    skip: int = 0
    """audit lines that are newer than the page"""
    shown: dict[int, Any] = field(default_factory=dict)
    notice: str = ""
    said_at: float = 0.0


# --- what is shown --------------------------------------------------------------------------


def storage_card(health: StorageHealth | None) -> str:
    if health is None:
        body = "<p>Nothing is stored: this server runs without a data folder.</p>"
        return f'<section class="bf-card bf-storage"><h3>Storage</h3>{body}</section>'
    if health.state == "degraded":
        state = '<span class="bf-tag bf-bad">in trouble</span>'
        body = f"<p>{esc(health.message)}</p><p>Meetings go on meanwhile.</p>"
    else:
        state = '<span class="bf-tag bf-fine">works</span>'
        body = f"<p>{esc(health.message) or 'Everything that is to be kept is on the disk.'}</p>"
    facts = []
    if health.waiting and health.state == "degraded":
        waiting = count(health.waiting, "transcript line waits", "transcript lines wait")
        facts.append(f"{waiting} for the disk.")
    if health.dropped:
        lost = count(health.dropped, "transcript line", "transcript lines")
        facts.append(f"{lost} could not be kept since the server started.")
    body += "".join(f"<p>{fact}</p>" for fact in facts)
    if health.set_aside:
        files = "".join(f"<li>{esc(name)}</li>" for name in health.set_aside)
        discard = _button(
            "Discard the damaged files", "discard", "bf-danger",
            confirm="Discard the damaged files?",
            detail="They cannot be brought back. What is stored now stays.",
        )  # fmt: skip
        body += f'<ul class="bf-files">{files}</ul><div class="bf-actions">{discard}</div>'
    return f'<section class="bf-card bf-storage"><h3>Storage {state}</h3>{body}</section>'


def audit_card(entries: list[Any], skip: int, problem: str = "") -> str:
    """entries: one more than fit on the page when there are older ones."""
    if problem:
        body = f'<p class="bf-empty">It cannot be read at the moment. {esc(problem)}</p>'
    else:
        body = audit_words.table(entries[:_PAGE])
    buttons = _button("Newer", "newer") if skip else ""
    if len(entries) > _PAGE:
        buttons += _button("Older", "older")
    pages = f'<div class="bf-actions">{buttons}</div>' if buttons else ""
    lead = "<p class=\"bf-muted\">What was done with people's data and with the host's sign-in.</p>"
    return f'<section class="bf-card"><h3>Audit</h3>{lead}{body}{pages}</section>'


def _button(label: str, do: str, kind: str = "", confirm: str = "", detail: str = "") -> str:
    asked = ""
    if confirm:
        asked = f' data-confirm="{esc(confirm)}" data-detail="{esc(detail)}"'
    return (
        f'<button type="button" class="bf-button {kind}" data-field="{_FIELD}" data-do="{do}"'
        f"{asked}>{esc(label)}</button>"
    )


# --- the tab --------------------------------------------------------------------------------


def create_server_tab(page: gr.Blocks, hub: Hub) -> tuple[gr.Tab, gr.Timer]:
    """The tab, and the timer that keeps it live while it is in view."""
    with gr.Tab("Server", id="server") as tab:
        screen = gr.State(Screen())
        timer = gr.Timer(_SECONDS, active=False)
        action = gr.Textbox(visible="hidden", elem_id=_FIELD, show_label=False)
        notice = gr.HTML(padding=False)
        with gr.Row(elem_classes="bf-columns"):
            with gr.Column(scale=2, min_width=300):
                storage = gr.HTML(padding=False)
            with gr.Column(scale=3, min_width=320):
                audit = gr.HTML(padding=False)
    outputs = [notice, storage, audit]

    async def look(now: Screen) -> dict[Any, Any]:
        old = time.monotonic() - now.said_at > _NOTICE_SECONDS
        audited = await _audit(hub.storage, now)  # may be what finds the trouble out
        wanted = {
            notice: "" if old else now.notice,
            storage: storage_card(hub.storage.health if hub.storage else None),
            audit: audited,
        }
        changed = {c: gr.update(value=v) for c, v in wanted.items() if now.shown.get(c._id) != v}
        now.shown = {component._id: value for component, value in wanted.items()}
        return changed or gr.skip()

    async def arrive(now: Screen) -> dict[Any, Any]:
        now.shown, now.skip = {}, 0
        return await look(now)

    async def act(message: str, now: Screen) -> dict[Any, Any]:
        try:
            await _act(hub.storage, parse_action(message)[0], now)
        except BabbleFishError as error:
            now.notice, now.said_at = views.notice(error.message, 0, True), time.monotonic()
        return await look(now)

    timer.tick(look, screen, outputs, trigger_mode="once", **QUIETLY)
    tab.select(arrive, screen, outputs, **QUIETLY)
    action.input(act, [action, screen], outputs, trigger_mode="multiple", **QUIETLY)
    return tab, timer


async def _audit(storage: Storage | None, now: Screen) -> str:
    if storage is None:
        return audit_card([], 0)
    try:
        return audit_card(await storage.audit_log(_PAGE + 1, now.skip), now.skip)
    except StorageError as error:
        return audit_card([], now.skip, error.message)


async def _act(storage: Storage | None, do: str, now: Screen) -> None:
    match do:
        case "older":
            now.skip += _PAGE
        case "newer":
            now.skip = max(0, now.skip - _PAGE)
        case "discard" if storage is not None:
            await storage.discard_set_aside()
            await storage.note("admin", "set_aside_discarded", "")
        case _:
            raise RoomError("action", "Reload this page: it is older than the server.")
