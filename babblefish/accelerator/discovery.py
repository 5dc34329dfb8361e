"""Room servers that look for laptops in this network, by their own account (DNS discovery).

Nothing they say is believed yet: how a server comes to be trusted is ``trust``'s.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from zeroconf import Error, IPVersion, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from babblefish.accelerator_protocol import PROTOCOL_VERSION, SERVICE_TYPE
from babblefish.errors import TransportError
from babblefish.network import Address

SEARCH_S = 4.0
_RESOLVE_S = 3.0
_MOST = 32


@dataclass(frozen=True, slots=True)
class Found:
    """A room server, by its own account."""

    name: str
    server: str
    """https://address:port, the likeliest of its addresses"""
    fingerprint: str
    """of its authority; empty: plain http"""
    version: int
    """of the messages that it speaks; 0: it did not say"""

    @property
    def same_version(self) -> bool:
        return self.version in (0, PROTOCOL_VERSION)


async def find_servers(seconds: float = SEARCH_S, interfaces: Iterable[str] = ()) -> list[Found]:
    """Those that answer within ``seconds``, by name.

    interfaces: addresses of this machine to ask at; none: all. Raises TransportError("no_search").
    """
    found: dict[str, Found] = {}
    resolving: set[asyncio.Task] = set()

    def changed(
        zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        if state_change is not ServiceStateChange.Removed and len(resolving) < _MOST:
            resolving.add(asyncio.create_task(_resolve(zeroconf, name, found)))

    try:
        chosen = list(interfaces)
        browser_of = AsyncZeroconf(interfaces=chosen) if chosen else AsyncZeroconf()
    except (OSError, Error) as error:
        raise TransportError(
            "no_search",
            "This network does not let the laptop look for room servers. Give the address instead: "
            "--server https://host:9000",
        ) from error
    try:
        browser = AsyncServiceBrowser(browser_of.zeroconf, SERVICE_TYPE, handlers=[changed])
        await asyncio.sleep(seconds)
        await browser.async_cancel()
        for task in resolving:
            task.cancel()
        await asyncio.gather(*resolving, return_exceptions=True)
    finally:
        await browser_of.async_close()
    return sorted(found.values(), key=lambda server: (server.name, server.server))


async def _resolve(zeroconf: Zeroconf, name: str, found: dict[str, Found]) -> None:
    info = AsyncServiceInfo(SERVICE_TYPE, name)
    if await info.async_request(zeroconf, _RESOLVE_S * 1000):
        server = _read(info, name)
        if server is not None:
            found[name] = server


def _read(info: AsyncServiceInfo, name: str) -> Found | None:
    addresses = [
        ipaddress.ip_address(address.partition("%")[0])
        for address in info.parsed_addresses(IPVersion.All)
    ]
    if not addresses or not info.port:
        return None
    told = {
        key.decode(errors="replace"): _plain((value or b"").decode(errors="replace"))
        for key, value in info.properties.items()
    }
    address = min(addresses, key=_rank)
    host = f"[{address}]" if address.version == 6 else str(address)
    fingerprint, version = told.get("fingerprint", ""), told.get("version", "")
    return Found(
        told.get("name") or _plain(name.removesuffix(f".{SERVICE_TYPE}")),
        f"{'https' if fingerprint else 'http'}://{host}:{info.port}",
        fingerprint,
        int(version) if version.isdecimal() and len(version) < 6 else 0,
    )


def _rank(address: Address) -> tuple[bool, bool, int]:
    return (address.is_link_local, not address.is_private, address.version)


def _plain(text: str) -> str:
    """Fit for a terminal: anybody in the network can say anything."""
    return "".join(c for c in text if c.isprintable())[:120]
