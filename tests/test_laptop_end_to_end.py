"""A real laptop's program with a tiny F5 and the real server: paired with the code that the host
page shows, called or calling, heard, restarted, removed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from babblefish.engine.cloning import ClonedClause, CloneReference, CloneRequest
from rooms.hub import Hub
from tests import tiny_f5
from tests.laptop_server import Server, server
from tests.patience import PATIENCE, until
from tests.sound_files import voice

pytestmark = [pytest.mark.asyncio, pytest.mark.e2e, pytest.mark.timeout(300)]
ROOT = Path(__file__).resolve().parents[1]
STARTS_S = 240.0
"""torch is slow to import on a busy machine"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    tiny_f5.install(folder)
    return folder


@contextlib.asynccontextmanager
async def laptop(
    folder: Path, weights: Path, *arguments: str, **environment: str
) -> AsyncIterator[list[str]]:
    """The program as its owner starts it; what its terminal shows."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "accelerator_app.py", "--no-page", "--port", "0", "--device", "cpu",
        *arguments, cwd=ROOT, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={
            **os.environ, "BABBLEFISH_LAPTOP_DATA_DIR": str(folder),
            "BABBLEFISH_LAPTOP_WEIGHTS_DIR": str(weights), "PYTHONUNBUFFERED": "1", **environment,
        },
    )  # fmt: skip
    shown: list[str] = []
    reading = asyncio.create_task(_read(process.stdout, shown))
    try:
        yield shown
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        try:
            async with asyncio.timeout(PATIENCE):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        await reading
        print("".join(shown))


async def _read(stream: asyncio.StreamReader | None, shown: list[str]) -> None:
    while stream is not None and (line := await stream.readline()):
        shown.append(line.decode(errors="replace"))


def pairing_of(there: Server) -> tuple[str, ...]:
    """The options of the command on the host page."""
    return ("--server", there.base, "--pair", there.pairing.code(), "--trust", there.pairing.mark())


async def say(hub: Hub) -> list[ClonedClause]:
    clip = voice(6.0, seed=3, rate=24_000).astype(np.float32)
    clip = 0.5 * clip / np.abs(clip).max()
    reference = CloneReference.of("ana", "One two three, this is me.", "en", clip, 24_000)
    clauses = ("Hello everybody,", "how are you on this fine day?")
    request = CloneRequest("u1", "ana", "Ana", "en", clauses, reference)
    return [clause async for clause in hub.cloning.speak(request, 60.0)]


async def spoken(hub: Hub, transport: str) -> None:
    await until(lambda: hub.cloning.speaks("en"), STARTS_S)
    assert hub.laptops.states[0].transport == transport
    said = await say(hub)
    assert [clause.last for clause in said] == [False, True]
    assert all(np.abs(clause.samples).max() > 0.01 for clause in said)


async def test_paired_by_its_command_called_stopped_dialled_in_and_removed(tmp_path, weights):
    data = tmp_path / "laptop"
    async with server(tmp_path / "server") as there:
        async with laptop(data, weights, *pairing_of(there), "--host", "127.0.0.1") as shown:
            await spoken(there.hub, "https")
            await until(lambda: any("Connected. Cloning ready" in line for line in shown))
        await until(lambda: not there.hub.cloning.speaks("en"))
        (one,) = there.hub.laptops.all
        one.urls = ()  # from now on a firewall is in the way
        there.hub.cloning.add(one)
        async with laptop(data, weights, "--host", "127.0.0.1", BABBLEFISH_LAPTOP_SILENCE_S="1"):
            await spoken(there.hub, "websocket")
            assert await there.hub.laptops.remove(one.id) is True
            assert there.hub.laptops.all == () and not there.hub.cloning.speaks("en")
