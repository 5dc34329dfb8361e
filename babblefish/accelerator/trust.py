"""How the laptop knows that it talks to the room server and to nobody who pretends to be it.

A server with a certificate that the whole world trusts needs nothing more. Any other has an
authority of its own: its fingerprint is shown, compared at the first time with what the Admin tab
says, and pinned; from then on nobody else is believed. Knows nothing of pairing.
"""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from babblefish.errors import SettingsError, TransportError
from babblefish.network import fingerprint

SECONDS = 10.0
_FEWEST_DIGITS = 16
"""of a fingerprint that somebody types: 64 bits"""
_MOST_CERTIFICATE = 10_000
_OF_THE_CLOCK = (9, 10)
"""OpenSSL's: not yet valid, has expired"""


@dataclass(frozen=True, slots=True)
class Trust:
    """In the server at one address. ``authority``: PEM of what vouches for it, pinned; empty: the
    world's authorities do, or it is on this very machine."""

    server: str
    """https://host:port"""
    authority: str = ""

    @property
    def fingerprint(self) -> str:
        """Of the pinned authority; empty where nothing is pinned."""
        return _fingerprint(self.authority) if self.authority else ""

    def context(self) -> ssl.SSLContext:
        if not self.authority:
            return ssl.create_default_context()
        context = ssl.create_default_context(cadata=self.authority)
        # The authority vouches for this one server, whatever address it has today.
        context.check_hostname = False
        return context

    def client(self, **options) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.server, verify=self.context(), trust_env=False, timeout=SECONDS,
            **options,
        )  # fmt: skip


def server_address(text: str) -> str:
    """What somebody typed → https://host:port. Raises SettingsError("server") naming the fix."""
    text = text.strip()
    parts = urlsplit(text if "://" in text else f"https://{text}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if parts.scheme not in ("http", "https") or not host or parts.username:
        raise SettingsError(
            "server", "--server wants the room server's address, such as https://192.168.1.20:9000"
        )
    if parts.scheme == "http" and not _this_machine(host):
        raise SettingsError(
            "server",
            "Over http anybody in the network could listen. Start the room server with https and "
            f"give --server https://{host}:{port or 9000}",
        )
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + (f":{port}" if port else "")


async def meet(server: str, expected: str = "") -> Trust:
    """Trust in a server that this laptop does not know yet.

    expected: the fingerprint that the Admin tab shows, or its beginning. Raises
    TransportError("unreachable" | "other_server" | "not_a_server") or SettingsError("trust").
    """
    wanted = _digits(expected)
    world = Trust(server)
    if server.startswith("http:"):
        await check(world)
        return world
    if not wanted:
        try:
            await check(world)
        except TransportError as error:
            if error.code not in ("other_server", "clock"):
                raise
        else:
            return world
    trust = Trust(server, await _authority(server))
    found = _digits(trust.fingerprint)
    if wanted and not found.startswith(wanted):
        raise TransportError(
            "other_server",
            f"The server at {server} shows the fingerprint {trust.fingerprint}, not the one that "
            "you gave. Look at the Admin tab again; if it differs there, too, somebody else "
            "answers at this address.",
        )
    await check(trust)
    return trust


async def check(trust: Trust) -> None:
    """Connect once. Raises TransportError("unreachable" | "other_server" | "not_a_server")."""
    try:
        async with trust.client() as http:
            answer = await http.get("/health")
    except httpx.HTTPError as error:
        raise unreachable(trust, error) from error
    if answer.status_code not in (200, 503) or "status" not in answer.text:
        raise TransportError(
            "not_a_server",
            f"At {trust.server} something answers that is no BabbleFish room server. Check the "
            "address; the room server prints it when it starts.",
        )


def unreachable(trust: Trust, error: httpx.HTTPError) -> TransportError:
    """What a request that got no answer means, in a sentence that names the fix."""
    reason: BaseException | None = error
    while reason is not None and not isinstance(reason, ssl.SSLCertVerificationError):
        reason = reason.__cause__ or reason.__context__
    if reason is None:
        return TransportError(
            "unreachable",
            f"The room server at {trust.server} does not answer. Is it running, is this laptop in "
            "the same network, and is the address the one that the server printed?",
        )
    if reason.verify_code in _OF_THE_CLOCK:
        return TransportError(
            "clock",
            f"The certificate of {trust.server} is not valid today. Check the date and the time of "
            "this laptop and of the room server.",
        )
    if not trust.authority:
        return TransportError(
            "other_server", f"Nobody this laptop trusts vouches for the server at {trust.server}."
        )
    return TransportError(
        "other_server",
        f"The server at {trust.server} is not the one this laptop was paired with (fingerprint "
        f"{trust.fingerprint}). If it was set up anew, run accelerator_app.py --forget and pair "
        "again; if not, somebody else answers at this address.",
    )


async def _authority(server: str) -> str:
    """PEM of what the server says vouches for it. Not believed before ``check`` used it."""
    stranger = Trust(server)
    try:
        async with httpx.AsyncClient(
            base_url=server, verify=_believing_anybody(), trust_env=False, timeout=SECONDS
        ) as http:
            answer = await http.get("/trust/ca.crt")
    except httpx.HTTPError as error:
        raise unreachable(stranger, error) from error
    try:
        if answer.status_code != 200 or len(answer.content) > _MOST_CERTIFICATE:
            raise ValueError("no certificate")
        certificate = x509.load_der_x509_certificate(answer.content)
    except ValueError as error:
        raise TransportError(
            "not_a_server",
            f"The server at {server} does not say whom to trust. Is it a BabbleFish room server of "
            "this version?",
        ) from error
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _believing_anybody() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _fingerprint(pem: str) -> str:
    certificate = x509.load_pem_x509_certificate(pem.encode())
    return fingerprint(certificate.public_bytes(serialization.Encoding.DER))


def _digits(text: str) -> str:
    """Hexadecimal digits of a fingerprint as somebody typed it; empty for none.

    Raises SettingsError("trust").
    """
    digits = "".join(text.replace("-", "").replace(":", "").split()).upper()
    if digits and (len(digits) < _FEWEST_DIGITS or set(digits) - set("0123456789ABCDEF")):
        raise SettingsError(
            "trust",
            f"--trust wants the fingerprint from the Admin tab, at least {_FEWEST_DIGITS} digits "
            "of it.",
        )
    return digits


def _this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
