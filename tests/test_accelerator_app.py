"""The laptop's whole program as a process: real F5 (tiny), real https, the real room server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import pytest

from babblefish.accelerator.certificate import own_certificate
from babblefish.accelerator.laptop import Laptop
from babblefish.accelerator.pairing import Pairing, PairingFile
from babblefish.accelerator.settings import load_settings
from babblefish.accelerator.terminal import Terminal
from babblefish.accelerator_protocol import Health
from babblefish.engine.cloning import CloneReference, CloneRequest
from babblefish.network import bind, fingerprint
from babblefish.ui import laptop_calls
from tests import tiny_f5
from tests.patience import PATIENCE, until
from tests.scripted_synthesiser import ScriptedSynthesiser, voice
from tests.test_accelerator_service import pinned
from tests.test_accelerators_api import Server, server

ROOT = Path(__file__).resolve().parents[1]
RATE = 24_000


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    tiny_f5.install(folder)
    return folder


@dataclass
class Program:
    process: asyncio.subprocess.Process
    folder: Path
    lines: list[str] = field(default_factory=list)
    reading: asyncio.Task | None = None

    async def read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(line.decode().rstrip())

    async def says(self, pattern: str, seconds: float = 3 * PATIENCE) -> re.Match:
        found: list[re.Match] = []

        def look() -> bool:
            found[:] = [m for line in self.lines if (m := re.search(pattern, line))]
            return bool(found) or self.process.returncode is not None

        async with asyncio.timeout(seconds):
            while not look():
                await asyncio.sleep(0.05)
        assert found, self.lines
        return found[-1]

    async def ends(self, seconds: float = 3 * PATIENCE) -> int:
        async with asyncio.timeout(seconds):
            code = await self.process.wait()
        assert self.reading is not None
        await self.reading
        return code

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@contextlib.asynccontextmanager
async def program(folder: Path, weights: Path, *options: str) -> AsyncIterator[Program]:
    settings = {
        "DATA_DIR": str(folder), "WEIGHTS_DIR": str(weights), "PORT": "0", "PAGE_PORT": "0",
        "DEVICE": "cpu", "SILENCE_S": "1", "NAME": "Dan's laptop",
    }  # fmt: skip
    environment = {f"BABBLEFISH_LAPTOP_{name}": value for name, value in settings.items()}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "accelerator_app.py", *options, cwd=ROOT, stdin=asyncio.subprocess.DEVNULL,
        env={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    it = Program(process, folder)
    it.reading = asyncio.create_task(it.read())
    try:
        yield it
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await it.reading


@pytest.fixture
async def room(tmp_path) -> AsyncIterator[Server]:
    async with server(tmp_path / "server") as it:
        yield it


def clone(text: str, request_id: str = "u1") -> CloneRequest:
    clip = np.random.default_rng(0).normal(0, 0.1, 4 * RATE).astype(np.float32)
    reference = CloneReference.of("ana", text, "en", clip, RATE)
    return CloneRequest(request_id, "ana", "Ana", "en", ("Hello,", "how are you?"), reference)


SPOKEN = "These words of the reference are nobody else's"


async def test_it_is_paired_speaks_forgets_ends_at_once_and_comes_back(room, tmp_path, weights):
    mark = fingerprint(room.tls.authority_der())
    folder = tmp_path / "laptop"
    code = room.pairing.code()
    options = ("--server", room.base, "--pair", code.lower(), "--trust", mark)
    async with program(folder, weights, *options, "--no-page") as laptop:
        await laptop.says(r"^Connected\. Cloning ready$")
        assert re.search(r"Languages +Chinese, English", laptop.text)
        assert re.search(r"Runs on +CPU", laptop.text) and "Server " in laptop.text
        await until(lambda: room.hub.cloning.speaks("en"))
        state = room.hub.laptops.states[0]
        assert (state.name, state.transport) == ("Dan's laptop", "https")
        said = [c async for c in room.hub.cloning.speak(clone(SPOKEN), 60.0)]
        assert [c.text for c in said] == ["Hello,", "how are you?"]
        async with endpoint_of(room, folder) as http:
            assert await voices(http) == 1
            room.hub.cloning.forget("ana")
            async with asyncio.timeout(PATIENCE):
                while await voices(http):
                    await asyncio.sleep(0.05)
            assert (await http.get("/health", headers={"Authorization": "x"})).status_code == 401
        [_ async for _ in room.hub.cloning.speak(clone(SPOKEN, "u2"), 60.0)]
        laptop.process.send_signal(signal.SIGINT)
        assert await laptop.ends() == 0
        assert "Stopped." in laptop.text and "Traceback" not in laptop.text
        assert_nothing_stays(folder, laptop.text)
    await until(lambda: not room.hub.cloning.speaks("en"))
    async with program(folder, weights, "--no-page") as again:  # plain: the pairing is kept
        await again.says(r"^Connected\. Cloning ready$")
        await until(lambda: room.hub.cloning.speaks("en"))
        said = [c async for c in room.hub.cloning.speak(clone(SPOKEN, "u3"), 60.0)]
        assert len(said) == 2
        again.process.kill()
        await again.ends()
        assert_nothing_stays(folder, again.text)
    await until(lambda: not room.hub.cloning.speaks("en"))


def assert_nothing_stays(folder: Path, said: str) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.name for path in files} == {"endpoint.crt", "endpoint.key", "pairing.json"}
    secret = json.loads((folder / "pairing.json").read_text())["secret"]
    assert all(b"ana" not in path.read_bytes() for path in files if path.name != "endpoint.crt")
    assert secret not in said and SPOKEN not in said and "how are you" not in said
    assert "Ana" not in said


@contextlib.asynccontextmanager
async def endpoint_of(room: Server, folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The laptop's endpoint, as the room server calls it."""
    pairing = PairingFile(folder).load()
    assert pairing is not None
    url = room.hub.laptops.all[0].urls[0]
    async with httpx.AsyncClient(
        base_url=url, verify=pinned((folder / "endpoint.crt").read_text()),
        headers={"Authorization": f"Bearer {pairing.secret}"},
    ) as http:  # fmt: skip
        yield http


async def voices(http: httpx.AsyncClient) -> int:
    return Health.model_validate_json((await http.get("/health")).content).voices


async def test_a_server_that_cannot_call_is_called(room, tmp_path, weights, monkeypatch):
    monkeypatch.setattr(laptop_calls, "allowed", lambda *_: [])  # as behind a firewall
    mark = fingerprint(room.tls.authority_der())
    options = ("--server", room.base, "--pair", room.pairing.code(), "--trust", mark)
    async with program(tmp_path / "laptop", weights, *options, "--no-page") as laptop:
        await laptop.says("keeps a connection to it")
        await laptop.says(r"^Connected\. Cloning ready$")
        await until(lambda: room.hub.cloning.speaks("en"))
        assert room.hub.laptops.states[0].transport == "websocket"
        said = [c async for c in room.hub.cloning.speak(clone(SPOKEN), 60.0)]
        assert [c.text for c in said] == ["Hello,", "how are you?"]
        # removed on the host page: it says so, and nobody's voice is left in it
        await room.hub.laptops.remove(room.hub.laptops.all[0].id)
        await laptop.says("does not know this laptop any more, so all voices were forgotten")
        laptop.process.send_signal(signal.SIGTERM)
        assert await laptop.ends() == 0
        assert "Traceback" not in laptop.text


async def test_voices_are_forgotten_when_the_server_is_silent_and_at_the_end(tmp_path):
    synthesiser, settings = ScriptedSynthesiser(), load_settings(data_dir=tmp_path, voices_s=0.3)
    with bind("127.0.0.1", 0) as listener:
        laptop = Laptop(
            settings, Pairing("https://127.0.0.1:1", "", "a1", "s" * 40), "", Terminal(False),
            synthesiser, own_certificate(tmp_path), listener, None,
        )  # fmt: skip
        working = asyncio.create_task(laptop.run())
        await laptop.reception.put_voice(voice())
        await until(lambda: not synthesiser.voices)
        laptop.door.heard()
        await laptop.reception.put_voice(voice())
        laptop._stop.set()
        await asyncio.wait_for(working, PATIENCE)
    assert synthesiser.voices == {} and synthesiser.closed and laptop.problem is None


@pytest.mark.parametrize(
    ("options", "said", "code"),
    [
        (
            ("--server", "http://192.0.2.1:9000", "--pair", "X"),
            "Start the room server with https",
            1,
        ),
        (("--server", "https://127.0.0.1:1", "--pair", "X"), "does not answer", 1),
        (("--port", "70000"), "--port", 1),
        (("--forget",), "Nothing to forget", 0),
    ],
)
async def test_what_is_wrong_is_said_in_one_sentence(tmp_path, options, said, code):
    async with program(tmp_path, tmp_path, *options) as laptop:
        assert await laptop.ends() == code
        assert said in laptop.text and "Traceback" not in laptop.text
        assert len(laptop.lines) == 1


async def test_a_wrong_code_and_another_server_name_the_fix(room, tmp_path, weights):
    room.pairing.code()
    mark = fingerprint(room.tls.authority_der())
    options = ("--server", room.base, "--pair", "AAAA-AAAA", "--no-page")
    async with program(tmp_path / "a", weights, *options) as laptop:
        assert await laptop.ends() == 1
        assert mark in laptop.text and "Laptops" in laptop.lines[-1]
        assert not (tmp_path / "a" / "pairing.json").exists()
    async with program(tmp_path / "b", weights, *options, "--trust", "0" * 32) as laptop:
        assert await laptop.ends() == 1
        assert "Look at the Admin tab again" in laptop.text


async def test_without_weights_it_says_how_to_get_them(room, tmp_path):
    options = ("--server", room.base, "--pair", room.pairing.code(), "--no-page")
    async with program(tmp_path / "laptop", tmp_path / "none", *options) as laptop:
        assert await laptop.ends() == 1
        assert "accelerator_app.py --fetch base" in laptop.text
        assert "Traceback" not in laptop.text


async def test_a_port_in_use_names_another(tmp_path, weights):
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        kept = tmp_path / "pairing.json"
        kept.write_text(
            json.dumps(
                {"server": "https://127.0.0.1:1", "authority": "", "accelerator_id": "a",
                 "secret": "s" * 40, "server_name": ""}
            )
        )  # fmt: skip
        async with program(tmp_path, weights, "--port", str(port)) as laptop:
            assert await laptop.ends() == 1
            assert f"--port {port + 1}" in laptop.text
