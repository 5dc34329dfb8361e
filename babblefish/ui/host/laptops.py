"""The laptops tab: add laptops that speak in people's own voices, see how they do, remove them.

Events of the page come in, calls to the pairing and the registry go out, HTML of ``laptop_views``
goes back, and only what changed. Knows no sound and no network.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import gradio as gr

from babblefish.errors import BabbleFishError, RoomError
from babblefish.ui.host import laptop_views
from babblefish.ui.host.links import Links
from babblefish.ui.host.rooms import QUIETLY, Screen, parse_action

if TYPE_CHECKING:
    from babblefish.ui.pairing import Pairing
    from rooms.hub import Hub

_SECONDS = 1.0


class LaptopDesk:
    """What the host can do. Methods raise BabbleFishError."""

    def __init__(self, hub: Hub, pairing: Pairing, links: Links) -> None:
        self._hub, self._pairing, self._links = hub, pairing, links

    def wanted(self, screen: Screen) -> dict[str, str]:
        """Part of the page → HTML. Shows the code, and so keeps it."""
        laptops, lookout = self._hub.laptops, self._pairing.lookout
        bases = [address.base for address in self._links.addresses]
        return {
            "above": screen.notice
            + laptop_views.trouble(laptops.problem, laptops.unsaved)
            + laptop_views.guest_card(self._pairing.waiting),
            "pair": laptop_views.pair_card(
                bases, self._pairing.code(), self._pairing.mark()
            ),
            "look": laptop_views.look_card(
                lookout.on, math.ceil(lookout.left / 60), lookout.problem
            ),
            "list": laptop_views.laptop_list(laptops.states),
        }  # fmt: skip

    async def act(self, do: str, subject: str, name: str, screen: Screen) -> None:
        """subject: id of a laptop, or of one that waits."""
        match do:
            case "look":
                self._pairing.lookout.start()
            case "quiet":
                await self._pairing.lookout.stop()
            case "confirm":
                self._pairing.confirm(subject)
                screen.say("Confirmed. The laptop is added in a moment.")
            case "refuse":
                self._pairing.refuse(subject)
            case "rename":
                await self._hub.laptops.rename(subject, name)
            case "remove":
                told = await self._hub.laptops.remove(subject)
                screen.say(
                    "Removed. It has forgotten all voices."
                    if told
                    else "Removed. It was not there to be told to forget the voices that it has; "
                    "without this server it forgets them after ten minutes."
                )
            case _:
                raise RoomError("action", "Reload this page: it is older than the server.")


def create_laptops_tab(
    page: gr.Blocks, hub: Hub, pairing: Pairing, links: Links
) -> tuple[gr.Tab, gr.Timer]:
    """The tab, and the timer that keeps it live while it is in view."""
    desk = LaptopDesk(hub, pairing, links)
    parts: dict[str, Any] = {}
    with gr.Tab("Laptops", id="laptops") as tab:
        screen = gr.State(Screen())
        timer = gr.Timer(_SECONDS, active=False)
        action = gr.Textbox(
            visible="hidden", elem_id=laptop_views.FIELD, show_label=False
        )  # fmt: skip
        parts["above"] = gr.HTML(padding=False)
        with gr.Row(elem_classes="bf-columns"):
            with gr.Column(scale=2, min_width=300):
                parts["pair"] = gr.HTML(padding=False)
                parts["look"] = gr.HTML(padding=False)
            with gr.Column(scale=3, min_width=320):
                parts["list"] = gr.HTML(padding=False)

    async def look(now: Screen) -> dict[Any, Any]:
        updates = {}
        for part, value in desk.wanted(now).items():
            if now.shown.get(part) != value:
                now.shown[part] = value
                updates[parts[part]] = gr.update(value=value)
        return updates or gr.skip()

    async def arrive(now: Screen) -> dict[Any, Any]:
        now.shown.clear()
        return await look(now)

    async def act(message: str, now: Screen) -> dict[Any, Any]:
        try:
            await desk.act(*parse_action(message), now)
        except BabbleFishError as error:
            now.say(error.message, problem=True)
        return await look(now)

    outputs = list(parts.values())
    timer.tick(look, screen, outputs, trigger_mode="once", **QUIETLY)
    tab.select(arrive, screen, outputs, **QUIETLY)
    action.input(act, [action, screen], outputs, trigger_mode="multiple", **QUIETLY)
    return tab, timer
