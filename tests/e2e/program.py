"""A program of BabbleFish as a process of its own, and what its terminal shows."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Self

from tests.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
_READY_SECONDS = 180


class Program:
    """Context manager, entered once the terminal shows ``ready``. ``output`` is everything that
    it has printed so far."""

    def __init__(self, command: list[str], ready: str, **env: str) -> None:
        self.output = ""
        self._command, self._ready = command, ready
        self._env = {**os.environ, **env, "PYTHONUNBUFFERED": "1"}
        self._process: subprocess.Popen | None = None

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        """As a power cut would: no farewell."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, env=self._env, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        threading.Thread(target=self._read, daemon=True).start()
        try:
            self._until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _until_ready(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while self._ready not in self.output:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the program did not start:\n{self.output}")
            time.sleep(0.1)

    def __exit__(self, *_: object) -> None:
        if self._process.poll() not in (None, 0, -signal.SIGKILL):
            print(f"The program had ended, with {self._process.returncode}:\n{self.output[-4000:]}")
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _read(self) -> None:
        for line in self._process.stdout:
            self.output += line
