"""The people tab: who is known by voice, what they agreed to, and what is kept of them.

Shows; what changes something is done by ``people.js`` with the routes of ``people_routes.py``.
Only what differs from the last answer is sent. Knows no sound.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import gradio as gr

from babblefish.errors import StorageError
from babblefish.ui.host import people_views
from babblefish.ui.host.people_views import PersonPage
from babblefish.ui.host.rooms import QUIETLY

if TYPE_CHECKING:
    from rooms.hub import Hub

_SECONDS = 2.0
_MAX_ACTION = 300
"""characters of one message from people.js"""


@dataclass
class PeopleScreen:
    """What one browser of the host shows; kept on the server by Gradio."""

    selected: str = ""
    """speaker id, empty: the first"""
    shown: dict[str, Any] = field(default_factory=dict)
    """part of the page → what was last sent"""


class PeopleDesk:
    """Reads what there is to show."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def wanted(self, screen: PeopleScreen) -> dict[str, Any]:
        """Part → HTML. Trouble of the storage is said in place of what cannot be read."""
        known = self._hub.people.known
        storage = self._hub.storage
        if storage is None:
            return {"list": "", "person": people_views.nothing_kept()}
        if screen.selected not in known:
            screen.selected = next(iter(known), "")
        try:
            person = await self._page(screen.selected) if screen.selected else None
            shown = people_views.person(person, list(known.values())) if person else ""
        except StorageError as error:
            shown = people_views.trouble(error.message)
        progress = self._hub.collection.progress
        return {
            "list": people_views.people_list(list(known.values()), screen.selected, progress),
            "person": shown or people_views.welcome(),
        }

    async def _page(self, speaker: str) -> PersonPage | None:
        storage, known = self._hub.storage, self._hub.people.get(speaker)
        if known is None or storage is None:
            return None
        return PersonPage(
            known, await storage.consents(speaker), await storage.embeddings(speaker),
            await storage.clips(speaker),
        )  # fmt: skip


def create_people_tab(page: gr.Blocks, hub: Hub) -> tuple[gr.Tab, gr.Timer]:
    """The tab, and the timer that keeps it live while it is in view."""
    desk = PeopleDesk(hub)
    with gr.Tab("People", id="people") as tab:
        screen = gr.State(PeopleScreen())
        timer = gr.Timer(_SECONDS, active=False)
        action = gr.Textbox(visible="hidden", elem_id="bf-people-action", show_label=False)
        parts: dict[str, Any] = {}
        with gr.Row(elem_classes="bf-columns"):
            with gr.Column(scale=2, min_width=280, elem_classes="bf-side"):
                gr.HTML('<h2 class="bf-title">People</h2>', padding=False)
                parts["list"] = gr.HTML(padding=False)
                gr.HTML(people_views.enrol_button(), padding=False)
            with gr.Column(scale=5, min_width=320):
                parts["person"] = gr.HTML(padding=False)

    async def changes(now: PeopleScreen) -> dict[Any, Any]:
        updates = {}
        for part, value in (await desk.wanted(now)).items():
            if now.shown.get(part) != value:
                now.shown[part] = value
                updates[parts[part]] = gr.update(value=value)
        return updates or gr.skip()

    async def arrive(now: PeopleScreen) -> dict[Any, Any]:
        now.shown.clear()
        return await changes(now)

    async def act(message: str, now: PeopleScreen) -> dict[Any, Any]:
        now.selected = selected(message) or now.selected
        return await changes(now)

    outputs = list(parts.values())
    timer.tick(changes, screen, outputs, trigger_mode="once", **QUIETLY)
    page.load(arrive, screen, outputs, **QUIETLY)
    tab.select(changes, screen, outputs, **QUIETLY)
    action.input(act, [action, screen], outputs, trigger_mode="multiple", **QUIETLY)
    return tab, timer


def selected(message: str) -> str:
    """The person whom a message of people.js is about; empty: nobody, only look again."""
    try:
        value = json.loads(message if len(message) <= _MAX_ACTION else "")["select"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
    return value if isinstance(value, str) else ""
