"""``app.py serve`` as a process of its own, and what its processes cost.

The server is started as a person would start it and asked nothing that its users are not
offered: the link and the host's code are read off its terminal.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import psutil

from babblefish.settings import Settings

_ROOT = Path(__file__).resolve().parents[1]
_START_SECONDS = 180.0
_READY = "Stop with Ctrl-C"
_SAMPLE_SECONDS = 0.25


class ServerFailed(RuntimeError):
    """The server did not start or stopped by itself; the text is what it printed last."""


@dataclass(frozen=True, slots=True)
class RoomLink:
    code: str
    token: str


class Server:
    """Context manager. The server listens on localhost, with its data in ``data_dir``.
    environment: further settings."""

    def __init__(self, settings: Settings, data_dir: Path, **environment: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.base = f"http://localhost:{self.port}"
        self.start_s = 0.0
        self._environment = {
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            "BABBLEFISH_DATA_DIR": str(data_dir),
            "BABBLEFISH_WEIGHTS_DIR": str(settings.weights_dir),
            "BABBLEFISH_PROFILE": settings.profile,
            "BABBLEFISH_THREADS": str(settings.threads),
            "BABBLEFISH_OFFERS_PER_MINUTE": "600",
            **environment,
        }
        self._printed: list[str] = []
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Server:
        begun = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, str(_ROOT / "app.py"), "serve", "--http", "--host", "127.0.0.1",
             "--port", str(self.port)],
            cwd=_ROOT, env=self._environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        threading.Thread(target=self._read, daemon=True).start()
        while _READY not in self.output:
            if self._process.poll() is not None or time.monotonic() - begun > _START_SECONDS:
                self.__exit__(None, None, None)
                raise ServerFailed(self.output[-2000:] or "The server printed nothing.")
            time.sleep(0.05)
        self.start_s = time.monotonic() - begun
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _read(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        for line in self._process.stdout:
            self._printed.append(line)

    @property
    def output(self) -> str:
        return "".join(self._printed)

    @property
    def ended(self) -> int | None:
        """The exit status of a server that ended by itself (negative: by a signal), else None."""
        assert self._process is not None
        return self._process.poll()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def link(self) -> RoomLink:
        """Of the room that the server opens by itself."""
        found = re.search(r"/r/(\w+)#t=([\w-]+)", self.output)
        if found is None:
            raise ServerFailed("The server printed no room link.")
        return RoomLink(found[1], found[2])

    @property
    def admin_code(self) -> str:
        """The newest of the host's one-time codes."""
        codes = re.findall(r"admin code: (\S+)", self.output)
        if not codes:
            raise ServerFailed("The server printed no admin code.")
        return codes[-1]


@dataclass(frozen=True, slots=True)
class Usage:
    """What the server's processes cost over a stretch of time."""

    seconds: float
    cpu_seconds: dict[str, float]
    """"server" for the process that people connect to, "engine" for the models' processes"""
    peak_rss_mb: float
    others_percent: float
    """of one core, spent by all other programs of the machine but this one"""

    @property
    def cpu_percent(self) -> float:
        """Of one core."""
        return round(100 * sum(self.cpu_seconds.values()) / self.seconds, 1)


class Meter:
    """Watches a process and all below it, from ``start`` on, in a thread of its own.

    Shared pages count in every process that maps them, so memory is an upper bound.
    """

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._seen: dict[int, tuple[str, psutil.Process]] = {}
        self._spent: dict[int, float] = {}
        self._stopping = threading.Event()
        self.peak_rss_mb = 0.0
        self._look()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()

    def mark(self) -> tuple[float, dict[str, float]]:
        """Now; to be given to ``since``."""
        self._look()
        machine, own = psutil.cpu_times(), time.process_time()
        busy = sum(machine) - machine.idle - getattr(machine, "iowait", 0.0)
        busy -= getattr(machine, "guest", 0.0) + getattr(machine, "guest_nice", 0.0)
        return time.monotonic(), {**self._totals(), "others": busy - own}

    def since(self, mark: tuple[float, dict[str, float]]) -> Usage:
        now, totals = self.mark()
        spent = {part: round(totals[part] - mark[1][part], 3) for part in totals}
        others, seconds = spent.pop("others") - sum(spent.values()), now - mark[0]
        return Usage(
            seconds, spent, round(self.peak_rss_mb, 1), round(max(0.0, 100 * others / seconds), 1)
        )

    def _totals(self) -> dict[str, float]:
        totals = {"server": 0.0, "engine": 0.0}
        for pid, seconds in self._spent.items():
            totals[self._seen[pid][0]] += seconds
        return totals

    def _run(self) -> None:
        while not self._stopping.wait(_SAMPLE_SECONDS):
            self._look()

    def _look(self) -> None:
        try:
            found = [self._root, *self._root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        rss = 0
        for process in found:
            try:
                with process.oneshot():
                    times, memory = process.cpu_times(), process.memory_info()
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
            part = "server" if process.pid == self._root.pid else "engine"
            self._seen.setdefault(process.pid, (part, process))
            self._spent[process.pid] = times.user + times.system
            rss += memory.rss
        self.peak_rss_mb = max(self.peak_rss_mb, rss / 2**20)
