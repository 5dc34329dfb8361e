"""How a program knows that it talks to its server: by the world's authorities, by the server's own
authority from a file, or by that authority's fingerprint."""

from __future__ import annotations

import asyncio
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from babblefish.errors import SettingsError, TransportError
from babblefish.network import fingerprint

_FEWEST_DIGITS = 16
"""of a fingerprint: 64 bits"""
_MOST_CERTIFICATE = 10_000
_SECONDS = 10.0


def trusting(server: str, wanted: str = "", authority: Path | None = None) -> ssl.SSLContext | None:
    """For connections to ``server``; None for plain http. Blocks.

    wanted: fingerprint of the server's authority, or its beginning. authority: a file, from the
    server's page /trust. Raises SettingsError("trust" | "authority") or TransportError.
    """
    if server.startswith("http:"):
        return None
    if authority is not None:
        return _pinned(_read(authority))
    if wanted:
        return _pinned(_shown(server, _digits(wanted)))
    return ssl.create_default_context()


async def unverified(server: str) -> TransportError:
    """What it means that nobody vouches for ``server``, and what to do."""
    thread = ThreadPoolExecutor(1, "certificate")
    looking = asyncio.get_running_loop().run_in_executor(thread, _authority, server)
    thread.shutdown(wait=False)
    try:
        authority = await looking
        shown = fingerprint(authority.public_bytes(serialization.Encoding.DER))
    except TransportError as error:
        return error
    return TransportError(
        "other_server",
        "Nobody this machine trusts vouches for this server. It shows the fingerprint "
        f"{shown}. If the host page (tab “Laptops”) shows the same, add --trust {shown}",
    )


def _pinned(certificate: x509.Certificate) -> ssl.SSLContext:
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    context = ssl.create_default_context(cadata=pem)
    context.check_hostname = False  # the authority vouches for one server, wherever it is today
    return context


def _read(path: Path) -> x509.Certificate:
    try:
        data = path.read_bytes()
        pem = data.lstrip().startswith(b"-----BEGIN")
        return x509.load_pem_x509_certificate(data) if pem else x509.load_der_x509_certificate(data)
    except (OSError, ValueError) as error:
        raise SettingsError(
            "authority", f"{path} is no certificate. Save the one that the server's page /trust "
            "offers.",
        ) from error  # fmt: skip


def _shown(server: str, wanted: str) -> x509.Certificate:
    certificate = _authority(server)
    shown = fingerprint(certificate.public_bytes(serialization.Encoding.DER))
    if not shown.replace("-", "").startswith(wanted):
        raise TransportError(
            "other_server",
            f"The server shows the fingerprint {shown}, not the one that you gave. Look at the "
            "host page again; if it differs there, too, somebody else answers at this address.",
        )
    return certificate


def _authority(server: str) -> x509.Certificate:
    """What the server says vouches for it: not believed before a connection was verified by it."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with httpx.Client(verify=context, trust_env=False, timeout=_SECONDS) as http:
            answer = http.get(server + "/trust/ca.crt")
        if answer.status_code != 200 or len(answer.content) > _MOST_CERTIFICATE:
            raise ValueError("no certificate")
        return x509.load_der_x509_certificate(answer.content)
    except httpx.HTTPError as error:
        raise unreachable() from error
    except ValueError as error:
        raise TransportError(
            "not_a_server", "The server does not say whom to trust. Is it a BabbleFish server of "
            "this version?",
        ) from error  # fmt: skip


def unreachable() -> TransportError:
    return TransportError(
        "unreachable", "The server does not answer. Is it running, is this machine in its network, "
        "and is the link the one that it printed?",
    )  # fmt: skip


def _digits(text: str) -> str:
    digits = "".join(text.replace("-", "").replace(":", "").split()).upper()
    if len(digits) < _FEWEST_DIGITS or set(digits) - set("0123456789ABCDEF"):
        raise SettingsError(
            "trust", f"--trust wants the fingerprint from the host page, at least {_FEWEST_DIGITS} "
            "digits of it.",
        )  # fmt: skip
    return digits
