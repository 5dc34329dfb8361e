"""How long tests wait for what must come, and a clock that stands still while the machine does.

A test waits for a condition, for as long as ``PATIENCE`` at most: a busy machine may take many
times what a quiet one takes.
"""

from __future__ import annotations

import asyncio
import atexit
import mmap
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
PATIENCE = 60.0
"""seconds"""
PATIENCE_MS = 60_000

STANDSTILL_S = 0.3
"""the shortest that counts: whoever only sleeps is given a processor sooner than that, however busy
the machine is"""
_RECORD = struct.Struct("dd")
"""total of all standstills so far in seconds, time of the last look"""
_WATCH = f"""
import mmap, os, struct, sys, time
record, found = struct.Struct({_RECORD.format!r}), 0.0
with open(sys.argv[1], "r+b") as file, mmap.mmap(file.fileno(), 0) as shared:
    parent, before = os.getppid(), time.monotonic()
    while os.getppid() == parent:
        time.sleep(0.02)
        now = time.monotonic()
        if now - before > {STANDSTILL_S}:
            found += now - before
        before = now
        record.pack_into(shared, 0, found, now)
"""


@cache
def watcher() -> tuple[int, mmap.mmap]:
    """A process of its own, which does nothing but look at the clock: its id, and its records."""
    path = Path(tempfile.mkstemp(prefix="standstills-")[1])
    path.write_bytes(bytes(mmap.PAGESIZE))
    with path.open("r+b") as file:
        shared = mmap.mmap(file.fileno(), 0)
    process = subprocess.Popen([sys.executable, "-S", "-c", _WATCH, str(path)])

    def end() -> None:
        process.kill()
        process.wait()
        path.unlink()

    atexit.register(end)
    return process.pid, shared


def standstills() -> float:
    """For how many seconds, so far, the machine gave nobody a processor."""
    (_, shared), asked = watcher(), time.monotonic()
    while True:
        found, looked = _RECORD.unpack_from(shared)
        if looked >= asked or time.monotonic() > asked + PATIENCE:
            return found
        time.sleep(0.005)


def awake() -> float:
    """Seconds, as ``time.monotonic``, without those in which the machine stood still. For bounds on
    how long the program takes."""
    return time.monotonic() - standstills()


async def at_once(awaited: Coroutine[Any, Any, T]) -> T:
    """What comes of ``awaited``, which may wait for nothing: a few turns of the event loop."""
    task = asyncio.create_task(awaited)
    for _ in range(10):
        await asyncio.sleep(0)
    assert task.done(), "something was waited for"
    return task.result()


async def until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait for ``condition()`` to be true; raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def wait_until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """The same for tests without an event loop."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"it did not happen within {seconds} s")
        time.sleep(0.02)
