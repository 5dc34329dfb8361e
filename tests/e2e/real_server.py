"""``python app.py serve`` as people start it: a process of its own, real models, real weights."""

from __future__ import annotations

import contextlib
import random
import re
import socket
import sys
from pathlib import Path

import psutil

from tests.e2e.program import ROOT, Program


def free_port() -> int:
    """One that no system gives to anybody who does not name it, so that it stays free."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("0.0.0.0", port))
            return port


class RealServer(Program):
    """``base`` is its address on localhost, ``room_path`` the default room's link without the
    address. Its workers end by themselves when it is killed."""

    def __init__(self, data_dir: Path, *options: str, command: tuple[str, ...] = (), **env: str):
        self.port = free_port()
        self.base = f"http{'' if '--http' in options else 's'}://localhost:{self.port}"
        super().__init__(
            [*command, sys.executable, str(ROOT / "app.py"), "serve", "--port", str(self.port),
             *options],
            "Stop with Ctrl-C", **env, BABBLEFISH_DATA_DIR=str(data_dir),
        )  # fmt: skip

    @property
    def room_path(self) -> str:
        return re.search(r"/r/\w+#t=[\w-]+", self.output).group()

    @property
    def admin_code(self) -> str:
        return re.search(r"admin code: (\S+)", self.output).group(1)

    def workers(self) -> list[psutil.Process]:
        return [
            p for p in psutil.Process(self.pid).children(recursive=True)
            if "babblefish.engine.worker" in " ".join(p.cmdline())
        ]  # fmt: skip
