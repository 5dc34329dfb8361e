"""The README's examples for programs, run as they stand there: a real server, curl, OpenAI's
client, and the client that is part of BabbleFish.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from babblefish.audio import rms
from tests.e2e.program import ROOT
from tests.e2e.real_server import RealServer
from tests.patience import wait_until
from tests.speech import RATE, Clip

pytestmark = pytest.mark.timeout(600)

SECTION = (
    (ROOT / "README.md").read_text(encoding="utf-8").split("## For programs\n")[1].split("\n## ")[0]
)
BLOCKS = re.findall(r"```(sh|python)\n(.*?)```", SECTION, re.DOTALL)
CURLS = re.findall(r"^curl .*?(?<!\\)$", BLOCKS[1][1].replace("\\\n", " "), re.MULTILINE)


@dataclass
class Desk:
    """A server, a key for it, and a folder with what the examples need."""

    server: RealServer
    folder: Path
    env: dict[str, str]

    def run(self, command: str) -> str:
        """What a line of the README prints, after it has succeeded."""
        command = command.replace(".venv/bin/python app.py", f"{sys.executable} {ROOT / 'app.py'}")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command], cwd=self.folder, env=self.env,
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def curl(self, path: str) -> str:
        [command] = [line for line in CURLS if line.startswith(f"curl $SERVER{path} ")
                     or line == f"curl $SERVER{path}"]  # fmt: skip
        return self.run(command)


@pytest.fixture(scope="module")
def talk(speech: list[Clip]) -> Clip:
    return next(clip for clip in speech if clip.language == "fr" and clip.transcript)


@pytest.fixture(scope="module")
def desk(talk: Clip, weights_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("programs")
    soundfile.write(folder / "question.wav", talk.samples, RATE)
    soundfile.write(folder / "talk.mp3", talk.samples, RATE)
    data = folder / "data"
    with RealServer(data) as server:
        env = {
            **os.environ, "SERVER": server.base, "ROOM": server.base + server.room_path,
            "CURL_CA_BUNDLE": str(data / "tls" / "ca.crt"), "BABBLEFISH_DATA_DIR": str(data),
        }  # fmt: skip
        desk = Desk(server, folder, env)
        desk.env["KEY"] = desk.run(BLOCKS[0][1]).strip()
        yield desk


def test_every_example_is_run_here():
    assert [line.split()[1].removeprefix("$SERVER") for line in CURLS] == [
        "/translate", "/transcribe", "/transcribe-translate", "/speak", "/languages",
    ]  # fmt: skip
    assert [kind for kind, _ in BLOCKS] == ["sh", "sh", "python", "sh"]


def test_text_is_translated(desk: Desk):
    answer = json.loads(desk.curl("/translate"))
    assert (answer.get("source_lang"), answer.get("target_lang")) == ("en", "es"), answer
    assert "hola" in answer["translation"].lower()
    codes = {language["code"] for language in json.loads(desk.curl("/languages"))["languages"]}
    assert {"en", "es", "fr"} <= codes


def words(text: str) -> set[str]:
    return set(re.findall(r"\w{4,}", text.lower()))


def test_a_recording_becomes_subtitles_and_another_language(desk: Desk, talk: Clip):
    shown = desk.curl("/transcribe")
    assert shown.startswith("1\n00:00:0")
    assert len(words(shown) & words(talk.transcript)) >= len(words(talk.transcript)) / 2
    told = desk.curl("/transcribe-translate")
    kinds = re.findall(r"^event: (\w+)", told, re.MULTILINE)
    assert "segment" in kinds and kinds[-1] == "done"
    segments = [
        json.loads(data)
        for kind, data in re.findall(r"^event: (\w+)\ndata: (.*)$", told, re.MULTILINE)
        if kind == "segment"
    ]
    assert segments[0]["language"] == "fr"
    assert segments[0]["translations"]["en"]


def loud_seconds(path: Path) -> float:
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
        rate = container.streams.audio[0].rate
    samples = np.concatenate([frame.reshape(-1) for frame in frames])
    assert rms(samples.astype(np.float32)) > 0
    return len(samples) / rate


def test_text_is_read_aloud(desk: Desk):
    desk.curl("/speak")
    assert 0.5 < loud_seconds(desk.folder / "hello.mp3") < 10


def test_the_client_of_openai_works_unchanged(desk: Desk, talk: Clip):
    (desk.folder / "hello.mp3").unlink(missing_ok=True)
    script = BLOCKS[2][1].replace("https://localhost:9000", desk.server.base)
    script = script.replace("bf_…", desk.env["KEY"])
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=desk.folder, capture_output=True, text=True,
        env=desk.env | {"SSL_CERT_FILE": desk.env["CURL_CA_BUNDLE"]}, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(words(done.stdout) & words(talk.transcript)) >= len(words(talk.transcript)) / 2
    assert 0.3 < loud_seconds(desk.folder / "hello.mp3") < 10


def test_two_programs_talk_in_a_room(desk: Desk):
    """One says the README's question; the other, which only listens, keeps the answer."""
    line = BLOCKS[3][1].splitlines()[-1]
    listener = subprocess.Popen(
        [sys.executable, str(ROOT / "app.py"), "client", "--room", desk.env["ROOM"],
         "--ca", desk.env["CURL_CA_BUNDLE"], "--hears", "en", "--out", "heard.wav", "--json"],
        cwd=desk.folder, env=desk.env, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert listener.stdout is not None
        for first in listener.stdout:
            if json.loads(first)["type"] in ("welcome", "roster", "joined"):
                break
        desk.run(line)
        results = (json.loads(told) for told in listener.stdout)
        result = next(told for told in results if told["type"] == "result")
        assert result["translation"]
        heard = desk.folder / "heard.wav"
        wait_until(lambda: heard.exists() and heard.stat().st_size > 20_000)
    finally:
        listener.terminate()
        listener.wait(60)
