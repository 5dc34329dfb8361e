"""A room's link as people share it, and what of it a program needs."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from babblefish.errors import SettingsError


@dataclass(frozen=True, slots=True)
class RoomAddress:
    server: str
    """https://host:port"""
    code: str
    token: str = field(repr=False)

    @property
    def socket(self) -> str:
        """Where programs connect."""
        return self.server.replace("http", "ws", 1) + "/ws/client"


def room_address(link: str) -> RoomAddress:
    """https://host:9000/r/CODE#t=TOKEN. Raises SettingsError("room") naming the fix."""
    wrong = SettingsError(
        "room",
        "--room wants the whole link of the room, as the server prints it and the host page shows "
        "it: https://192.168.1.20:9000/r/CODE#t=…",
    )
    try:
        parts = urlsplit(link.strip())
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise wrong from error
    token = parse_qs(parts.fragment).get("t", [""])[0]
    before, path, code = parts.path.rpartition("/r/")
    if (
        parts.scheme not in ("http", "https")
        or not host
        or parts.username
        or not (path and code and token)
    ):
        raise wrong
    if parts.scheme == "http" and not _this_machine(host):
        raise SettingsError(
            "room",
            "Over http anybody in the network could listen. Start the server with https and give "
            "its https link.",
        )
    shown = f"[{host}]" if ":" in host else host
    server = f"{parts.scheme}://{shown}" + (f":{port}" if port else "") + before
    return RoomAddress(server, code, token)


def _this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
