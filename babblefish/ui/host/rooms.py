"""The rooms tab: open rooms, show their links, see and manage who is in them.

Events of the page come in, calls to the hub go out, HTML of ``views`` goes back; only what
changed since the last answer is sent. Knows no sound, no peer connections.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import gradio as gr

from babblefish.errors import BabbleFishError, RoomError
from babblefish.settings import Settings
from babblefish.ui.host import room_controls, transcripts, views
from babblefish.ui.host.links import Links

if TYPE_CHECKING:
    from rooms.hub import Hub
    from rooms.room import Room

_SECONDS = 1.0
"""between two looks at the rooms"""
QUIETLY = {"show_progress": "hidden", "show_api": False, "queue": False}
"""For events whose answer is immediate: no veil over what they update, and each answered in its
own request. Gradio's queue may end the stream of answers just as another event joins it; the page
then waits for that event for ever."""
_NOTICE_SECONDS = 8.0
_MAX_ACTION = 500
"""characters of one message from host.js"""


@dataclass
class Screen:
    """What one browser of the host shows; kept on the server by Gradio."""

    selected: str = ""
    """room code, empty: none"""
    shown: dict[str, Any] = field(default_factory=dict)
    """part of the page → what was last sent"""
    _notice: str = ""
    _notices: int = 0
    _said_at: float = 0.0

    def say(self, text: str, problem: bool = False) -> None:
        """Tell the host for a while."""
        self._notices += 1
        self._notice = views.notice(text, self._notices, problem)
        self._said_at = time.monotonic()

    @property
    def notice(self) -> str:
        """HTML of what was said last, empty once it is old."""
        return self._notice if time.monotonic() - self._said_at < _NOTICE_SECONDS else ""


class Desk:
    """What the host can do. Methods raise BabbleFishError."""

    def __init__(self, hub: Hub, settings: Settings, links: Links) -> None:
        self.hub, self.settings, self.links = hub, settings, links

    def room(self, code: str) -> Room:
        room = self.hub.rooms.get(code)
        if room is None:
            raise RoomError("room", "This room is closed already.")
        return room

    def current(self, screen: Screen) -> Room | None:
        """The selected room; when it is gone, the newest."""
        if screen.selected not in self.hub.rooms:
            newest = max(self.hub.rooms.values(), key=lambda r: r.created_at, default=None)
            screen.selected = newest.code if newest else ""
        return self.hub.rooms.get(screen.selected)

    async def act(self, do: str, code: str, member: str, screen: Screen) -> None:
        if do == "forget":
            await self.hub.delete_transcript(code)
            screen.say("The transcript is deleted.")
            return
        room = self.room(code)
        match do:
            case "select":
                screen.selected = code
            case "lock" | "unlock":
                room.lock(do == "lock")
            case "renew":
                room.rotate_token()
                screen.say("The room has a new link and QR code. The old ones open nothing.")
            case "remove":
                await room.remove(member)
            case "admit":
                room.admission.admit(member)
            case "admit_all":
                room.admission.admit_all()
            case "refuse":
                room.admission.refuse(member)
            case "present" | "listen":
                room.present(member, do == "present")
            case "close":
                await self.hub.close_room(code)
                self.links.forget(code)
            case _:
                raise RoomError("action", "Reload this page: it is older than the server.")


def parse_action(message: str) -> tuple[str, str, str]:
    """(do, room code, member id) of a message of host.js. Raises RoomError("action")."""
    try:
        body = json.loads(message if len(message) <= _MAX_ACTION else "")
        values = tuple(body[key] for key in ("do", "room", "member"))
    except (ValueError, TypeError, KeyError, RecursionError):
        values = ()
    if len(values) != 3 or not all(isinstance(value, str) for value in values):
        raise RoomError("action", "Reload this page: it is older than the server.")
    return values


class _Parts:
    """The components of the tab, and what each should show."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.components: dict[str, Any] = {}
        """part of the page → Gradio component"""

    def wanted(self, screen: Screen) -> dict[str, Any]:
        """Part → the keyword arguments of its update, for the state of things now."""
        links, room = self.desk.links, self.desk.current(screen)
        wanted = {
            "list": {"value": views.room_list(self.desk.hub.rooms, screen.selected)},
            "kept": {"value": transcripts.closed_rooms(self.desk.hub.closed_rooms)},
            "notice": {"value": screen.notice},
            "panel": {"visible": room is not None},
            "welcome": {"visible": room is None},
        }
        if room is None:
            return wanted
        options = [(a.label, a.base) for a in links.addresses]
        return wanted | {
            "header": {"value": views.header(room)},
            "share": {"value": views.share(room, links)},
            "people": {"value": views.roster(room)},
            "address": {
                "choices": options, "value": links.base(room.code), "visible": len(options) > 1
            },
            "original": {"value": round(room.settings.original_level * 100)},
            "lag": {"value": room.settings.lag_budget},
            "partial": {"value": room.settings.partial_captions},
            **transcripts.update(room, self.desk.hub.storage is not None),
            "door": {"value": views.door(room)},
            **room_controls.wanted(room),
        }  # fmt: skip

    def changes(self, screen: Screen) -> dict[Any, Any]:
        """Component → update, for what differs from what ``screen`` shows."""
        updates = {}
        for part, values in self.wanted(screen).items():
            if screen.shown.get(part) != values:
                screen.shown[part] = values
                updates[self.components[part]] = gr.update(**values)
        return updates or gr.skip()


def create_rooms_tab(
    page: gr.Blocks, hub: Hub, settings: Settings, links: Links
) -> tuple[gr.Tab, gr.Timer]:
    """The tab, and the timer that keeps it live while it is in view."""
    parts = _Parts(Desk(hub, settings, links))
    with gr.Tab("Rooms", id="rooms") as tab:
        screen = gr.State(Screen())
        timer = gr.Timer(_SECONDS)
        action = gr.Textbox(visible="hidden", elem_id="bf-action", show_label=False)
        parts.components["notice"] = gr.HTML(padding=False)
        with gr.Row(elem_classes="bf-columns"):
            with gr.Column(scale=2, min_width=280, elem_classes="bf-side"):
                new = _new_room(parts)
            with gr.Column(scale=5, min_width=320):
                _room_panel(parts)
    _wire(parts, page, screen, timer, action, new)
    _wire_settings(parts, screen)
    return tab, timer


def _new_room(parts: _Parts) -> tuple[gr.Textbox, gr.Radio, gr.Button]:
    gr.HTML('<h2 class="bf-title">Rooms</h2>', padding=False)
    parts.components["list"] = gr.HTML(padding=False)
    with gr.Column(elem_classes="bf-new"):
        name = gr.Textbox(
            label="New room", placeholder="Name, such as Board meeting", max_length=60, lines=1,
            max_lines=1, elem_id="bf-room-name",
        )  # fmt: skip
        choices = room_controls.CHOICES
        preset = gr.Radio(
            choices, value=choices[0][1], label="Made for",
            info=room_controls.describe(choices[0][1]), elem_id="bf-new-preset",
        )  # fmt: skip
        preset.input(
            lambda name: gr.update(info=room_controls.describe(name)), preset, preset, **QUIETLY
        )
        create = gr.Button("Create room", variant="primary", elem_id="bf-create")
    parts.components["kept"] = gr.HTML(padding=False)
    return name, preset, create


def _room_panel(parts: _Parts) -> None:
    shown = parts.components
    with gr.Column(visible=False) as shown["welcome"]:
        gr.HTML(
            '<section class="bf-card bf-welcome"><h2>Open a room</h2><p>Give it a name and create '
            "it. A QR code appears; people scan it with their phones, choose a language, and "
            "hear everybody else in it.</p></section>",
            padding=False,
        )
    with gr.Column(visible=False, elem_classes="bf-panel") as shown["panel"]:
        shown["header"] = gr.HTML(padding=False)
        with gr.Row(elem_classes="bf-columns"):
            with gr.Column(scale=1, min_width=300):
                shown["share"] = gr.HTML(padding=False)
                shown["address"] = gr.Dropdown(
                    label="Address in the QR code", info="Choose the network the phones are in.",
                    filterable=False, visible=False, elem_classes="bf-address",
                )  # fmt: skip
            with gr.Column(scale=1, min_width=300):
                shown["door"] = gr.HTML(padding=False)
                shown["people"] = gr.HTML(padding=False)
                with gr.Accordion("Settings of this room", open=False, elem_classes="bf-settings"):
                    _room_settings(shown)
                transcripts.create_controls(shown)


def _room_settings(shown: dict[str, Any]) -> None:
    room_controls.create(shown)
    shown["original"] = gr.Slider(
        0, 100, step=5, show_reset_button=False,
        label="Original voice under the translation (%)",
        info="Where people start; each can change it on their phone.",
    )  # fmt: skip
    shown["lag"] = gr.Slider(
        3, 60, step=1, show_reset_button=False, label="Longest delay of the sound (seconds)",
        info="Later than this, a sentence is shown as caption only.",
    )  # fmt: skip
    shown["partial"] = gr.Checkbox(
        label="Captions while people speak", info="Grey, until the sentence is complete."
    )


def _wire(
    parts: _Parts,
    page: gr.Blocks,
    screen: gr.State,
    timer: gr.Timer,
    action: gr.Textbox,
    new: tuple[gr.Textbox, gr.Radio, gr.Button],
) -> None:
    desk, outputs = parts.desk, list(parts.components.values())
    name, preset, create = new

    async def look(now: Screen) -> dict[Any, Any]:
        return parts.changes(now)

    async def arrive(now: Screen) -> dict[Any, Any]:
        desk.links.refresh()
        now.shown.clear()
        return parts.changes(now)

    async def act(message: str, now: Screen) -> dict[Any, Any]:
        try:
            await desk.act(*parse_action(message), now)
        except BabbleFishError as error:
            now.say(error.message, problem=True)
        return parts.changes(now)

    async def open_room(*values: Any) -> dict[Any, Any]:
        *form, now = values
        try:
            now.selected = desk.hub.create(*form).code
        except BabbleFishError as error:
            now.say(error.message, problem=True)
            return parts.changes(now)
        return {name: "", **parts.changes(now)}

    timer.tick(look, screen, outputs, trigger_mode="once", **QUIETLY)
    page.load(arrive, screen, outputs, **QUIETLY)
    action.input(act, [action, screen], outputs, trigger_mode="multiple", **QUIETLY)
    form = [name, preset, screen]
    gr.on([create.click, name.submit], open_room, form, [name, *outputs], **QUIETLY)


def _wire_settings(parts: _Parts, screen: gr.State) -> None:
    desk, shown = parts.desk, parts.components

    def setter(part: str, change: Callable[[Room, Any], None]) -> Callable[..., Any]:
        async def changed(value: Any, now: Screen) -> dict[Any, Any]:
            try:
                change(desk.room(now.selected), value)
                if part not in ("preset", "voices"):  # shown already, but not its sentence
                    now.shown[part] = parts.wanted(now)[part]
            except BabbleFishError as error:
                now.say(error.message, problem=True)
                if part != "glossary":  # what was typed stays, to be mended
                    now.shown.pop(part, None)
            return parts.changes(now)

        return changed

    changes: dict[str, Callable[[Room, Any], None]] = {
        "original": lambda room, value: room.set(original_level=float(value) / 100),
        "lag": lambda room, value: room.set(lag_budget=float(value)),
        "partial": lambda room, value: room.set(partial_captions=bool(value)),
        "address": lambda room, value: desk.links.choose(room.code, value),
        "retention": lambda room, value: desk.hub.keep_transcript(
            room.code, transcripts.chosen(value)
        ),
        **room_controls.changes(desk.hub),
    }
    for part, change in changes.items():
        component = shown[part]
        component.input(
            setter(part, change), [component, screen], list(shown.values()),
            trigger_mode="always_last", **QUIETLY,
        )  # fmt: skip
