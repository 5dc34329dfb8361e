"""This machine in the local network: its addresses and names, a port to listen on, fingerprints.

Knows no web framework and makes no connection.
"""

from __future__ import annotations

import errno
import hashlib
import ipaddress
import re
import socket

import psutil

from babblefish.errors import SettingsError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_STALLED_MS = 180_000
"""for which a connection may take nothing of what it is sent before it ends: closing it politely
would wait for that without end"""
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_VIRTUAL = re.compile(r"(docker|br-|veth|virbr|vmnet|vboxnet|cni|flannel|tun|tap|zt|wg)")


def local_addresses() -> list[Address]:
    """Addresses of this machine that phones could reach, likeliest first; without loopback."""
    found: list[tuple[tuple, Address]] = []
    states = psutil.net_if_stats()
    for name, entries in psutil.net_if_addrs().items():
        if name in states and not states[name].isup:
            continue
        for entry in entries:
            if entry.family not in (socket.AF_INET, socket.AF_INET6):
                continue
            address = ipaddress.ip_address(entry.address.partition("%")[0])
            if address.is_loopback or (address.version == 6 and address.is_link_local):
                continue
            rank = (address.version, bool(_VIRTUAL.match(name)), address.is_link_local, name)
            found.append((rank, address))
    return list(dict.fromkeys(address for _, address in sorted(found, key=lambda f: f[0])))


def local_names(hostname: str | None = None) -> list[str]:
    """DNS names of this machine: localhost, its host name and that name under .local."""
    hostname = (hostname or socket.gethostname()).lower().rstrip(".")
    labels = hostname.split(".")
    names = ["localhost"]
    if len(hostname) <= 253 and all(_LABEL.fullmatch(label) for label in labels):
        names += [hostname, f"{labels[0]}.local"]
    return list(dict.fromkeys(names))


def bind(host: str, port: int, option: str = "--port") -> socket.socket:
    """A listening address, or SettingsError("port" | "host") that names the fix.

    option: on the command line, to choose another port.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # Without its protocol, asyncio would leave Nagle's delay of 40 ms on every answer.
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # what is accepted there has it, too
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _STALLED_MS)
        try:
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except socket.gaierror as error:
        raise SettingsError("host", f"--host {host} is no address of this machine.") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            other = port + 1 if port < 65535 else port - 1
            message = (
                f"Port {port} is in use, perhaps by another BabbleFish. Stop that program, or "
                f"choose another port: {option} {other}"
            )
        elif error.errno == errno.EACCES:
            message = f"Port {port} needs special rights. Choose one above 1023: {option} 9000"
        else:
            raise SettingsError("host", f"--host {host} cannot be used: {error}.") from error
        raise SettingsError("port", message) from error
    return listener


def fingerprint(certificate: bytes) -> str:
    """What people compare to know a server again. certificate: DER."""
    digits = hashlib.sha256(certificate).hexdigest()[:32].upper()
    return "-".join(digits[at : at + 4] for at in range(0, len(digits), 4))
