"""A laptop of ``bench/laptop.py`` as a process of its own, which can be killed, stopped, told to
misbehave and started again at the same address.
"""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from babblefish.engine.cloning_http import pinned
from babblefish.engine.cloning_laptop import Laptop

SECRET = "s" * 43
_ROOT = Path(__file__).resolve().parents[1]


def certificate(folder: Path, days: int = 30) -> tuple[Path, Path]:
    """A self-signed certificate and its key. days: below 0, it has expired."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "laptop")])
    begins = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=60)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + datetime.timedelta(days=60 + days))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("10.9.8.7"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    public, private = folder / "laptop.crt", folder / "laptop.key"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )  # fmt: skip
    return public, private


class LaptopProcess:
    """``folder``: for its certificate. dial: wss://… of a server whose certificate is in the file
    ``server_certificate``."""

    def __init__(
        self, folder: Path, id: str = "one", secret: str = SECRET, days: int = 30,
        dial: str = "", server_certificate: str = "",
    ) -> None:  # fmt: skip
        self.id, self.secret = id, secret
        self._certificate, self._key = certificate(folder / id, days)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"https://127.0.0.1:{self.port}"
        self._options = ["--dial", dial, "--server-certificate", server_certificate] * bool(dial)
        self._process: subprocess.Popen[bytes] | None = None
        self._trust = pinned(self._certificate.read_text())

    def laptop(self, **changed: Any) -> Laptop:
        """As the server would know it."""
        known = {
            "id": self.id, "name": f"Laptop {self.id}", "secret": self.secret, "urls": [self.url],
            "certificate": self._certificate.read_text(),
        }  # fmt: skip
        return Laptop(**{**known, **changed})

    async def start(self) -> None:
        """Returns when it answers."""
        if not self.is_running:
            self.spawn()
        while not await self.answers():
            await asyncio.sleep(0.02)

    def spawn(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.laptop", "--port", str(self.port), "--certificate",
             str(self._certificate), "--key", str(self._key), "--secret", self.secret,
             *self._options],
            cwd=_ROOT, stdin=subprocess.PIPE,
        )  # fmt: skip

    async def answers(self) -> bool:
        try:
            await self.seen()
        except httpx.TransportError:
            return False
        return True

    async def behave(self, **behaviour: Any) -> None:
        """See ``laptop.Behaviour``. anew: first as if it had just been started."""
        await self._ask("POST", "/behaviour", behaviour)

    async def seen(self) -> dict[str, Any]:
        """asked, done, cancelled, uploads: numbers; voices: speaker → digest."""
        return await self._ask("GET", "/seen")

    async def _ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        async with httpx.AsyncClient(verify=self._trust, trust_env=False, timeout=30) as http:
            answer = await http.request(method, self.url + path, json=body)
            return answer.raise_for_status().json()

    def kill(self) -> None:
        """As pulling the plug of its process."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """It keeps its connections and does nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _signal(self, number: int) -> None:
        if self.is_running:
            assert self._process is not None
            os.kill(self._process.pid, number)

    def _end(self, number: int) -> None:
        self._signal(number)
        if self._process is not None:
            self._process.wait()
            self._process = None
