"""Which addresses of a laptop this server may call, and whether it can.

A laptop says itself where it is, so nothing it says is believed: addresses only, no names; those of
local networks, or the one that it came from; and only who shows the pinned certificate counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from babblefish.engine import cloning_http
from babblefish.errors import TransportError
from babblefish.network import Address, local_addresses

_SECONDS = 3.0
_MOST_CALLS = 8
_LOCAL = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10"),
        *("fc00::/7", "fe80::/10"),
    )
)
_NEVER = tuple(ipaddress.ip_network(text) for text in ("169.254.169.254/32", "fd00:ec2::254/128"))
"""where hosting providers tell a machine its own secrets"""


def pinned(pem: str) -> str:
    """The one certificate in ``pem``, as PEM; empty for an empty one. Raises
    TransportError("certificate")."""
    if not pem.strip():
        return ""
    try:
        found = x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        found = []
    if len(found) != 1:
        raise TransportError(
            "certificate", "The laptop's certificate cannot be read. Start the laptop's program "
            "again; it makes a new one where its own is damaged.",
        )  # fmt: skip
    return found[0].public_bytes(Encoding.PEM).decode()


def allowed(urls: Iterable[str], came_from: str) -> list[str]:
    """Those of ``urls`` that this server may call for a laptop whose request came from the address
    ``came_from``, as ``https://address:port``, in their order, without repetition."""
    origin = address_of(came_from)
    here = origin is not None and (origin.is_loopback or origin in local_addresses())
    found: dict[str, None] = {}
    for url in urls:
        place = _place(url)
        if place is not None and _may_call(place[0], origin, here):
            address, port = place
            host = f"[{address}]" if address.version == 6 else str(address)
            found[f"https://{host}:{port}"] = None
    return list(found)[:_MOST_CALLS]


def _may_call(address: Address, origin: Address | None, here: bool) -> bool:
    if any(address in network for network in _NEVER):
        return False
    if address.is_loopback:
        return here
    if address == origin:
        return not (address.is_multicast or address.is_unspecified)
    return any(address in network for network in _LOCAL)


def _place(url: str) -> tuple[Address, int] | None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    plain = not (parts.username or parts.password or parts.query or parts.fragment)
    address = address_of(parts.hostname or "")
    if parts.scheme != "https" or not plain or parts.path not in ("", "/") or address is None:
        return None
    return (address, port) if port else None


def address_of(text: str) -> Address | None:
    """None for a name."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


async def reachable(urls: Sequence[str], certificate: str) -> str | None:
    """The first of ``urls`` (of ``allowed``) at which who holds ``certificate`` (of ``pinned``)
    answers; None: nobody. Takes some seconds at most and sends no secret."""
    if not urls or not certificate:
        return None
    context = cloning_http.pinned(certificate)
    der = ssl.PEM_cert_to_DER_cert(certificate)
    answers = await asyncio.gather(*(_answers(url, context, der) for url in urls))
    return next((url for url, there in zip(urls, answers, strict=True) if there), None)


async def _answers(url: str, context: ssl.SSLContext, der: bytes) -> bool:
    parts = urlsplit(url)
    writer = None
    try:
        async with asyncio.timeout(_SECONDS):
            reader, writer = await asyncio.open_connection(
                parts.hostname, parts.port, ssl=context, server_hostname=parts.hostname, limit=8192
            )
            if writer.get_extra_info("ssl_object").getpeercert(binary_form=True) != der:
                return False
            request = f"GET /health HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n"
            writer.write(request.encode())
            return (await reader.readline()).startswith(b"HTTP/1.")
    except (OSError, ValueError, TimeoutError):  # an SSLError is an OSError
        return False
    finally:
        if writer is not None:
            with contextlib.suppress(OSError, RuntimeError):
                writer.transport.abort()
