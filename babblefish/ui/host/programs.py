"""The programs tab: make keys for programs, see what they may do and when they did, revoke them.

Events of the page come in, calls to the keys and the gate go out, HTML of ``program_views`` goes
back, and only what changed. A new key goes to the page once and is kept nowhere.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import gradio as gr

from babblefish.errors import BabbleFishError, RoomError
from babblefish.settings import Settings
from babblefish.ui.host import program_views
from babblefish.ui.host.links import Links
from babblefish.ui.host.rooms import QUIETLY, Screen, parse_action
from babblefish.ui.programs.keys import MOST_PER_MINUTE, PER_MINUTE

if TYPE_CHECKING:
    from babblefish.ui.programs.gate import KeyGate
    from babblefish.ui.programs.keys import Keys

_SECONDS = 2.0
_CHOICES = [(words, scope) for scope, words in program_views.SCOPES.items()]


class ProgramDesk:
    """What the host can do. Methods raise BabbleFishError."""

    def __init__(self, keys: Keys, gate: KeyGate, settings: Settings, links: Links) -> None:
        self._keys, self._gate, self._settings, self._links = keys, gate, settings, links

    def wanted(self, screen: Screen) -> dict[str, str]:
        """Part of the page → HTML."""
        programs = [
            program_views.ProgramState(key, self._gate.open_of(key.id)) for key in self._keys.all
        ]
        bases = [address.base for address in self._links.addresses]
        return {
            "above": screen.notice
            + program_views.trouble(self._keys.problem, self._keys.unsaved),
            "use": program_views.use_card(bases, self._links.own_certificate),
            "list": program_views.key_list(reversed(programs), time.time()),
        }  # fmt: skip

    async def make(self, name: str, scopes: list[str], per_minute: Any, connections: Any) -> str:
        """HTML that shows the new key."""
        stored, key = await self._keys.make(
            name, scopes, _whole(per_minute, "requests"), _whole(connections, "connections")
        )
        return program_views.fresh_card(stored.name, key)

    async def revoke(self, key: str, screen: Screen) -> None:
        name = found.name if (found := self._keys.get(key)) else ""
        await self._keys.revoke(key)
        screen.say(f"The key of {name} opens nothing any more.")


def _whole(value: Any, what: str) -> int:
    if not isinstance(value, int | float) or value != int(value):
        raise RoomError("bad_value", f"Type a whole number of {what}.")
    return int(value)


def create_programs_tab(
    page: gr.Blocks, keys: Keys, gate: KeyGate, settings: Settings, links: Links
) -> tuple[gr.Tab, gr.Timer]:
    """The tab, and the timer that keeps it live while it is in view."""
    desk = ProgramDesk(keys, gate, settings, links)
    parts: dict[str, Any] = {}
    with gr.Tab("Programs", id="programs") as tab:
        screen = gr.State(Screen())
        timer = gr.Timer(_SECONDS, active=False)
        action = gr.Textbox(visible="hidden", elem_id=program_views.FIELD, show_label=False)
        parts["above"] = gr.HTML(padding=False)
        fresh = gr.HTML(padding=False)
        with gr.Row(elem_classes="bf-columns"):
            with gr.Column(scale=2, min_width=300):
                form, button = _form(settings)
                parts["use"] = gr.HTML(padding=False)
            with gr.Column(scale=3, min_width=320):
                parts["list"] = gr.HTML(padding=False)

    def changes(now: Screen) -> dict[Any, Any]:
        updates = {}
        for part, value in desk.wanted(now).items():
            if now.shown.get(part) != value:
                now.shown[part] = value
                updates[parts[part]] = gr.update(value=value)
        return updates

    async def look(now: Screen) -> dict[Any, Any]:
        return changes(now) or gr.skip()

    async def arrive(now: Screen) -> dict[Any, Any]:
        now.shown.clear()
        links.refresh()
        return changes(now)

    async def make(*values: Any) -> dict[Any, Any]:
        *typed, now = values
        made: dict[Any, Any] = {}
        try:
            made = {fresh: await desk.make(*typed), form[0]: ""}
        except BabbleFishError as error:
            now.say(error.message, problem=True)
        return made | changes(now) or gr.skip()

    async def act(message: str, now: Screen) -> dict[Any, Any]:
        done: dict[Any, Any] = {}
        try:
            match parse_action(message):
                case ("done", _, _):
                    done[fresh] = ""
                case ("revoke", key, _):
                    await desk.revoke(key, now)
                case _:
                    raise RoomError("action", "Reload this page: it is older than the server.")
        except BabbleFishError as error:
            now.say(error.message, problem=True)
        return done | changes(now) or gr.skip()

    outputs = list(parts.values())
    timer.tick(look, screen, outputs, trigger_mode="once", **QUIETLY)
    tab.select(arrive, screen, outputs, **QUIETLY)
    every = [*outputs, fresh]
    action.input(act, [action, screen], every, trigger_mode="multiple", **QUIETLY)
    gr.on(
        [button.click, form[0].submit], make, [*form, screen], [form[0], *every],
        trigger_mode="once", **QUIETLY,
    )  # fmt: skip
    return tab, timer


def _form(settings: Settings) -> tuple[list[Any], gr.Button]:
    with gr.Column(elem_classes=["bf-new", "bf-new-key"]):
        name = gr.Textbox(
            label="New key for", placeholder="Program, such as Lobby kiosk", max_length=40,
            lines=1, max_lines=1, elem_id="bf-key-name",
        )  # fmt: skip
        scopes = gr.CheckboxGroup(
            _CHOICES, value=["translate", "transcribe", "speak"], label="It may",
            elem_id="bf-key-scopes",
        )  # fmt: skip
        with gr.Row(elem_classes="bf-bounds"):
            per_minute = gr.Number(
                PER_MINUTE, label="Requests a minute", precision=0, minimum=1,
                maximum=MOST_PER_MINUTE, min_width=120,
            )  # fmt: skip
            connections = gr.Number(
                settings.max_connections, label="Open at once", precision=0, minimum=1,
                maximum=settings.max_connections, min_width=120,
            )  # fmt: skip
        make = gr.Button("Make key", variant="primary", elem_id="bf-make-key")
    return [name, scopes, per_minute, connections], make
