"""The host without a browser: signs in, opens rooms, exports the trace.

Works the pages that a host works, by the requests that a browser makes. Knows no sound.
"""

from __future__ import annotations

import re
import secrets
from types import TracebackType
from typing import Any

import httpx

from bench.server import RoomLink, Server

_SECONDS = 20.0


class HostFailed(RuntimeError):
    """The host's page did not do what it does for a person."""


class Host:
    """Context manager: signed in with the code that the terminal shows."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._opened = {server.link.code}
        self._http = httpx.Client(
            base_url=server.base, headers={"Origin": server.base}, timeout=_SECONDS
        )

    def __enter__(self) -> Host:
        entered = self._http.post("/admin-login", data={"code": self._server.admin_code})
        if entered.status_code != 303:
            raise HostFailed(f"The admin code was answered with {entered.status_code}.")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def trace(self) -> dict[str, dict[str, Any]]:
        """utterance → row of the live trace."""
        rows = self._http.get("/admin/trace.json").raise_for_status().json()
        return {row["utterance"]: row for row in rows}

    def create_room(self, name: str) -> RoomLink:
        """Press "Create room"; the link is read off the panel that appears."""
        session = secrets.token_hex(6)
        job = {"data": self._form(name), "fn_index": self._button["id"], "session_hash": session}
        shown = self._http.post("/admin/gradio_api/run/predict", json=job).raise_for_status()
        # the page shows the other rooms, too
        for code, token in re.findall(r"/r/(\w+)#t=([\w-]+)", shown.text):
            if code not in self._opened:
                self._opened.add(code)
                return RoomLink(code, token)
        raise HostFailed("The host's page shows no new link after creating a room.")

    @property
    def _button(self) -> dict[str, Any]:
        """What the page does when the button is pressed."""
        config = self._http.get("/admin/config").raise_for_status().json()
        ids = [c["id"] for c in config["components"] if c["props"].get("elem_id") == "bf-create"]
        for action in config["dependencies"]:
            if any(target[0] in ids for target in action["targets"]):
                return action
        raise HostFailed("The host's page has no button that creates a room.")

    def _form(self, name: str) -> list[Any]:
        """The name, then what the other fields of the form hold by themselves."""
        return [name, *([None] * (len(self._button["inputs"]) - 1))]
