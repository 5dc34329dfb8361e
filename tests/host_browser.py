"""The host in a real browser, and the people who join the rooms that the host opens."""

from __future__ import annotations

import io
import time
from typing import Any

import numpy as np
import zxingcpp
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.host_server import HostServer
from tests.patience import PATIENCE, PATIENCE_MS
from tests.web_browser import SHOTS, settled

DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


class Visitor:
    """A signed-in browser, which notes what leaves the server's origin and what goes wrong."""

    def __init__(self, browser: Browser, server: HostServer, **options: Any) -> None:
        self.server = server
        self.context = browser.new_context(**{"viewport": DESKTOP, **options})
        self.context.set_default_timeout(PATIENCE_MS)
        self.outside: list[str] = []
        self.problems: list[str] = []
        self.page = self.open()

    def open(self) -> Page:
        page = self.context.new_page()
        page.on("request", self._on_request)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", self._on_console)
        return page

    def _on_request(self, request: Any) -> None:
        if not request.url.startswith((self.server.base + "/", "data:", "blob:")):
            self.outside.append(request.url)

    def _on_console(self, message: Any) -> None:
        if message.type == "error":
            self.problems.append(message.text)

    def sign_in(self) -> Page:
        self.page.goto(f"{self.server.base}/admin")
        self.page.get_by_label("Admin code").fill(self.server.codes[-1].lower())
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_role("link", name="Not now").click()
        expect(self.page.get_by_role("button", name="Create room")).to_be_visible()
        return self.page


def close_rooms(server: HostServer) -> None:
    for code in list(server.hub.rooms):
        server.call(server.hub.close_room, code)


def join(server: HostServer, name: str, speaks: str = "fr", connect: bool = True, **more: Any):
    """Somebody in the newest room, with a connection that takes events and gives none."""
    room = newest(server)
    values = {"name": name, "speaks": speaks, "hears": "en", "microphone": True} | more
    member = server.call(room.join, **values)
    if connect:
        server.call(lambda: member.attach(lambda event: None).__enter__())
    return member


def newest(server: HostServer):
    return list(server.hub.rooms.values())[-1]


def decode(page: Page, selector: str) -> str:
    picture = Image.open(io.BytesIO(page.locator(selector).screenshot())).convert("L")
    codes = zxingcpp.read_barcodes(np.asarray(picture))
    return codes[0].text if codes else ""


def until(page: Page, condition) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen within {PATIENCE} seconds"
        page.wait_for_timeout(30)


def shoot(page: Page, name: str, sizes: tuple[Any, ...] = (PHONE, DESKTOP)) -> None:
    for size in sizes:
        kind = "phone" if size is PHONE else "desktop"
        page.set_viewport_size(size)
        settled(page)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= size["width"]
        page.screenshot(path=SHOTS / f"{name}_{kind}.png", full_page=kind == "phone")
