"""Links and QR codes of rooms: which addresses phones can use, which one a room shows.

Reads the machine's network interfaces; opens no connection. Knows a room only by its code and
token.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

import segno

from babblefish.network import local_addresses
from babblefish.settings import Settings


@dataclass(frozen=True, slots=True)
class Address:
    label: str
    base: str
    """scheme, host and port, without a slash at the end"""


def addresses(settings: Settings) -> list[Address]:
    """Where phones may find this server, most likely first; never empty."""
    if settings.public_url:
        base = settings.public_url.rstrip("/")
        return [Address(urlsplit(base).netloc or base, base)]
    scheme = "http" if settings.http else "https"
    hosts = [settings.host]
    if settings.host in ("0.0.0.0", "::", ""):
        known = local_addresses()
        hosts = [str(a) for a in ([a for a in known if a.version == 4] or known)] or ["localhost"]
    return [Address(host, f"{scheme}://{_netloc(host)}:{settings.port}") for host in hosts]


def _netloc(host: str) -> str:
    return f"[{host}]" if ":" in host else host


class Links:
    """The join links of this server, and the address chosen for each room."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._chosen: dict[str, str] = {}
        """room code → base"""
        self.refresh()

    def refresh(self) -> None:
        """Look at the network again: a laptop may have changed its Wi-Fi."""
        self.addresses = addresses(self._settings)

    def choose(self, code: str, base: str) -> None:
        """Show ``base`` for this room; anything that is not offered is ignored."""
        if base in {address.base for address in self.addresses}:
            self._chosen[code] = base

    def base(self, code: str) -> str:
        chosen = self._chosen.get(code)
        if chosen in {address.base for address in self.addresses}:
            return chosen
        return self.addresses[0].base

    def forget(self, code: str) -> None:
        self._chosen.pop(code, None)

    def join(self, code: str, token: str) -> str:
        """The link people open. The token is in the fragment: browsers never send it."""
        return f"{self.base(code)}/r/{code}#t={token}"

    @property
    def own_certificate(self) -> bool:
        """Whether phones meet a certificate they do not know yet."""
        return not self._settings.http and not self._settings.public_url


@lru_cache(maxsize=64)
def qr_data_uri(text: str) -> str:
    """QR code of ``text`` as an SVG data URI: black on white, with its quiet zone, so that it
    scans from a projector and in dark mode alike."""
    out = io.BytesIO()
    segno.make(text, error="m", micro=False).save(
        out, kind="svg", border=4, dark="#000", light="#fff", xmldecl=False, omitsize=True
    )
    return "data:image/svg+xml;base64," + base64.b64encode(out.getvalue()).decode()
