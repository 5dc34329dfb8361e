"""``python app.py client``, the reference client of ``/ws/client``, against real servers."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from babblefish.client.address import room_address
from babblefish.client.connection import Participant
from babblefish.client.sound import recording
from babblefish.client.trust import trusting
from babblefish.errors import AudioError, SettingsError, TransportError
from babblefish.network import fingerprint
from babblefish.settings import Settings
from babblefish.ui.tls import Certificates
from rooms.hub import Hub
from tests.phones import Phone, join, tone
from tests.programs import SECONDS, loudest, serving, sine

pytestmark = pytest.mark.asyncio(loop_scope="module")
ROOT = Path(__file__).resolve().parents[1]


def link(server, room) -> str:
    return f"{str(server.http.base_url).rstrip('/')}/r/{room.code}#t={room.token}"


async def start(*arguments: object) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    command = [sys.executable, "app.py", "client", *map(str, arguments)]
    return await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=pipe, stderr=pipe)


async def message(process: asyncio.subprocess.Process, kind: str) -> dict:
    """The next message of a kind that a client with --json prints."""
    assert process.stdout is not None
    async with asyncio.timeout(SECONDS):
        while line := await process.stdout.readline():
            told = json.loads(line)
            if told["type"] == kind:
                return told
    assert process.stderr is not None
    raise AssertionError((await process.stderr.read()).decode())


async def ended(process: asyncio.subprocess.Process) -> tuple[int, str, str]:
    async with asyncio.timeout(SECONDS):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_one_client_says_a_recording_and_another_hears_it(server, room, tmp_path):
    said, heard = tmp_path / "said.flac", tmp_path / "heard.wav"
    soundfile.write(said, np.concatenate([sine(400, 1.0, 44100), np.zeros(22050, np.int16)]), 44100)
    listener = await start("--room", link(server, room), "--hears", "en", "--speaks", "en",
                           "--name", "Dan", "--out", heard, "--json")  # fmt: skip
    try:
        welcome = await message(listener, "welcome")
        assert "key" not in welcome, "what opens a seat is not printed"
        speaker = await start("--room", link(server, room), "--speaks", "fr", "--hears", "fr",
                              "--name", "Pierre", "--wav", said, "--stay", 2)  # fmt: skip
        result = await message(listener, "result")
        assert result["translation"].startswith("[en] said 400")
        assert result["speaker_name"] == "Pierre" and result["tts_audio"] == "…"
        code, out, err = await ended(speaker)
        assert code == 0 and "Pierre (you): said 400" in err and not out
        await server.hub.close_room(room.code)
        assert (await ended(listener))[0] == 0
    finally:
        for process in (listener, speaker):
            if process.returncode is None:
                process.kill()
    sound, rate = soundfile.read(heard)
    assert rate == 24000 and abs(len(sound) / rate - result["seconds"]) < 0.05
    assert min(abs(loudest(sound, rate) - 1000 - 100 * voice) for voice in range(4)) < 15


async def test_ctrl_c_leaves_the_room(server, room):
    listener = await start("--room", link(server, room), "--hears", "en", "--json")
    welcome = await message(listener, "welcome")
    assert welcome["member"] in room.members
    listener.send_signal(signal.SIGINT)
    code, _, err = await ended(listener)
    assert code == 0 and "Traceback" not in err
    assert welcome["member"] not in room.members, "its place is free at once"


async def test_what_cannot_work_is_said(server, room, tmp_path):
    processes = [
        await start("--room", "https://host:9000/r/ABC"),
        await start("--room", link(server, room)[:-3] + "abc"),
        await start("--room", link(server, room), "--wav", tmp_path / "none.wav"),
        await start("--room", "http://localhost:9/r/ABC#t=abc"),
    ]
    wanted = ["the whole link", "Ask the host", "no file", "does not answer"]
    for process, words in zip(processes, wanted, strict=True):
        code, _, err = await ended(process)
        assert code == 1 and words in err and "Traceback" not in err, (words, err)


async def test_after_a_drop_it_comes_back_and_nothing_is_told_twice(server, room):
    told: list[dict] = []
    came = asyncio.Event()

    def tell(message: dict) -> None:
        told.append(message)
        came.set()

    async def until(condition) -> None:
        async with asyncio.timeout(SECONDS):
            while not condition():
                came.clear()
                await came.wait()

    address = room_address(link(server, room))
    there = Participant(address, {"name": "Dan", "target": "en", "output": "text"}, tell=tell)
    running = asyncio.create_task(there.run())
    phone = Phone(join(room, "Pierre", "fr"))

    def said() -> list[str]:
        return [m["original"].split()[1] for m in told if m["type"] == "result"]

    async with phone:
        await until(lambda: told)
        phone.say(tone(400, 1.0))
        await until(lambda: said() == ["400"])
        dan = room.members[told[0]["member"]]
        dan.link.closed.set()  # as when the server stops: 1001
        phone.say(tone(600, 1.0))
        await until(lambda: there.connections == 2 and said() == ["400", "600"])
        assert [m["member"] for m in told if m["type"] == "welcome"] == [dan.id] * 2
        there.leave()
        async with asyncio.timeout(SECONDS):
            await running
    assert dan.id not in room.members


async def test_a_server_with_an_authority_of_its_own(engine, tmp_path):
    certificates = Certificates(tmp_path)
    certificates.refresh(["localhost"], [])
    hub = Hub(Settings(), engine)
    files = {"ssl_certfile": certificates.certificate_file, "ssl_keyfile": certificates.key_file}
    async with serving(hub, engine, certificates=certificates, options=files) as server:
        room = hub.create("Safe")
        address = room_address(link(server, room))
        shown = fingerprint(certificates.authority_der())
        saved = tmp_path / "saved.crt"
        saved.write_bytes(certificates.authority_der())
        for wanted, file in ((shown, None), ("", saved)):
            context = await asyncio.to_thread(trusting, address.server, wanted, file)
            there = Participant(address, {"name": "Dan", "target": "en"}, context)
            there.tell = lambda message, there=there: there.leave()
            async with asyncio.timeout(SECONDS):
                await there.run()
            assert there.connections == 1
        with pytest.raises(TransportError) as stranger:
            await asyncio.to_thread(trusting, address.server, "0" * 16)
        assert stranger.value.code == "other_server"
        context = await asyncio.to_thread(trusting, address.server)
        with pytest.raises(TransportError) as unknown:
            await Participant(address, {"name": "Dan", "target": "en"}, context).run()
        assert unknown.value.code == "other_server" and shown in unknown.value.message
        await hub.close_room(room.code)


@pytest.mark.parametrize(
    "room",
    ["", "https://host/r/ABC", "https://host/#t=abc", "ftp://host/r/A#t=b", "http://host/r/A#t=b",
     "https://name@host/r/A#t=b", "https://[::1/r/A#t=b"],
)  # fmt: skip
async def test_a_link_that_is_none_is_refused(room):
    with pytest.raises(SettingsError):
        room_address(room)


async def test_a_link_as_people_share_it():
    address = room_address("https://fish.example.org/talk/r/ABC123#t=se-cret_1")
    assert address.socket == "wss://fish.example.org/talk/ws/client"
    assert (address.code, address.token) == ("ABC123", "se-cret_1") and "cret" not in repr(address)


async def test_a_file_that_is_no_sound_is_refused(tmp_path):
    (tmp_path / "no.wav").write_text("This is text.")
    with pytest.raises(AudioError):
        async for _ in recording(tmp_path / "no.wav"):
            raise AssertionError("no sound")
