"""What is needed to run the server for good: files that name what there is, a check of health."""

from __future__ import annotations

import asyncio
import fnmatch
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from babblefish.accelerator.settings import LaptopSettings
from babblefish.settings import Settings
from babblefish.ui.alive import alive
from tests.served import served

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
DOCKERFILES = sorted(DEPLOY.glob("*ockerfile"))
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
TEXTS = [
    *(path for path in DEPLOY.rglob("*") if path.is_file()), ROOT / "docs" / "deployment.md",
]  # fmt: skip


def test_every_setting_that_is_named_exists():
    known = {f"BABBLEFISH_{name.upper()}" for name in Settings.model_fields}
    known |= {f"BABBLEFISH_LAPTOP_{name.upper()}" for name in LaptopSettings.model_fields}
    for path in TEXTS:
        for name in re.findall(r"BABBLEFISH_[A-Z_]*[A-Z]", path.read_text(encoding="utf-8")):
            assert name in known, f"{path.name}: {name}"


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_images_are_made_of_files_that_are_there(path: Path):
    text = path.read_text(encoding="utf-8")
    allowed = [
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"
    ]
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
    assert copied
    for source in " ".join(copied).split():
        assert (ROOT / source).exists(), source
        assert any(fnmatch.fnmatch(source, pattern) for pattern in allowed), source
    assert re.search(r"^USER \d+$", text, re.MULTILINE), "nothing runs as root"


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_the_linter_of_dockerfiles_has_nothing_to_say(path: Path):
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([linter, path], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_compose_names_what_there_is():
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    assert set(services) == {"server", "accelerator"}
    for service in services.values():
        assert (ROOT / service["build"]["dockerfile"]).is_file()
        assert service["read_only"] and service["cap_drop"] == ["ALL"]
    assert services["accelerator"]["profiles"], "only where there is a card"


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_start_programs_that_are_there(path: Path, tmp_path: Path):
    text = path.read_text(encoding="utf-8")
    program = re.search(r"^ExecStart=/opt/babblefish/\S+/python (\S+)", text, re.MULTILINE)
    assert program and (ROOT / program[1]).is_file()
    analyser = shutil.which("systemd-analyze")
    if analyser is None:
        return
    # the user and the environment are made by the person who installs it
    text = re.sub(r"/opt/babblefish/\S+/python", sys.executable, text)
    unit = tmp_path / path.name
    unit.write_text(text.replace("User=babblefish", "DynamicUser=yes"))
    done = subprocess.run([analyser, "verify", unit], capture_output=True, text=True)
    complaints = [line for line in done.stderr.splitlines() if path.name in line]
    assert complaints == []


async def test_the_health_check_of_containers_asks_the_server():
    async with served() as server:
        port = int(server.http.base_url.port or 0)
        here = Settings(http=True, host="0.0.0.0", port=port)
        assert await asyncio.to_thread(alive, here) == ""
    problem = await asyncio.to_thread(alive, here)
    assert problem.startswith(f"No answer at 127.0.0.1:{port}")
