"""``python app.py serve`` as people start it: a process of its own, real models, real weights."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
_READY_SECONDS = 180


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class RealServer:
    """Context manager. ``base`` is its address on localhost, ``room_path`` the default room's
    link without the address, ``output`` everything it has printed so far."""

    def __init__(self, data_dir: Path, *options: str, command: tuple[str, ...] = (), **env: str):
        self.port = free_port()
        self.base = f"http{'' if '--http' in options else 's'}://localhost:{self.port}"
        self.output = ""
        self._command = [
            *command, sys.executable, str(ROOT / "app.py"), "serve", "--port", str(self.port),
            *options,
        ]  # fmt: skip
        self._env = {
            **os.environ, **env, "BABBLEFISH_DATA_DIR": str(data_dir), "PYTHONUNBUFFERED": "1",
        }  # fmt: skip
        self._process: subprocess.Popen | None = None

    @property
    def pid(self) -> int:
        return self._process.pid

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

    def kill(self) -> None:
        """As a power cut would: no farewell. Its workers end by themselves."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def __enter__(self) -> RealServer:
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, env=self._env, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        threading.Thread(target=self._read, daemon=True).start()
        deadline = time.monotonic() + _READY_SECONDS
        while "Stop with Ctrl-C" not in self.output:
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise RuntimeError(f"the server did not start:\n{self.output}")
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _read(self) -> None:
        for line in self._process.stdout:
            self.output += line
