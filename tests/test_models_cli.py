"""`python app.py models`: what it prints, and that it fetches where the server never would."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from babblefish.engine import models
from babblefish.errors import WeightsError
from babblefish.models_cli import models_app
from babblefish.progress_bar import ProgressBar
from tests import hub_server
from tests.hub_server import FILES, HubServer

ROOT = Path(__file__).resolve().parents[1]
_SCRIPT = """
import sys
sys.path.insert(0, ".")
import app
from babblefish.engine import models
from tests import hub_server
hub = hub_server.HubServer()
models.CATALOGUE["small"] = hub_server.fill(hub)
app.main()
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("BABBLEFISH_WEIGHTS_DIR", str(tmp_path / "weights"))
    return tmp_path / "weights"


@pytest.fixture
def copies(tmp_path, monkeypatch) -> Path:
    """Copies of all weights of profile "small", which is in the catalogue."""
    hub = HubServer()
    monkeypatch.setitem(models.CATALOGUE, "small", hub_server.fill(hub))
    for repo, files in FILES.items():
        folder = tmp_path / "copies" / repo.removeprefix("org/")
        folder.mkdir(parents=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
    return tmp_path / "copies"


def run(*arguments: str) -> str:
    done = CliRunner().invoke(models_app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def block(output: str, profile: str) -> str:
    return next(part for part in output.split("\n\n") if part.startswith(profile))


def test_the_table_names_sizes_licences_and_how_to_get_a_profile(folder):
    shown = run()
    assert shown == run("list")
    for profile in ("compact", "whisper-nllb", "seamless"):
        assert f"{profile}  [not installed]" in shown
        assert f"python app.py models fetch {profile}" in shown
    assert "NON-COMMERCIAL" not in block(shown, "compact")
    seamless = block(shown, "seamless")
    assert "9.3 GB   CC-BY-NC-4.0, NON-COMMERCIAL USE ONLY" in seamless
    assert "10.8 GB of disk" in seamless and "of memory" in seamless
    assert "MIT, gated: terms and token, optional" in seamless
    nllb = block(shown, "whisper-nllb")
    assert "486 MB   MIT; --whisper small, the default" in nllb
    assert "~145 MB" in nllb and "--voices pl,de,nl" in nllb and "--nllb 1.3B" in nllb
    assert "to download" in nllb, "more than what stays"
    assert max(len(line) for line in shown.splitlines()) < 120
    assert str(folder) in shown


def test_the_table_tells_what_is_there_and_what_is_damaged(folder, copies):
    run("fetch", "small", "--from", str(copies))
    shown = block(run(), "small")
    assert "[installed]" in shown and "+ Listener" in shown and "+ People" in shown
    assert "installed: pl" in shown
    (line,) = [line for line in shown.splitlines() if "Translator" in line]
    assert line.startswith("  + ") and "~" not in line, "its size is known now"
    (folder / "listener/model.bin").unlink()
    shown = block(run(), "small")
    assert "[partly]" in shown and "! Listener" in shown


def test_fetch_takes_copies_and_says_which_are_not_for_commerce(folder, copies):
    (copies / "people/people.bin").unlink()
    shown = run("fetch", "small", "--from", str(copies), "--voices", "pol,deu")
    assert "NON-COMMERCIAL USE ONLY" in shown and "Translator, Voice pol, Voice deu" in shown
    assert "Not installed" in shown and "nobody is told apart" in shown
    assert "small: complete and verified" in shown
    assert models.installed("small", folder) and (folder / "voices/deu").is_dir()


def test_verify_checks_every_profile_that_is_there(folder, copies):
    run("fetch", "small", "--from", str(copies))
    assert run("verify") == "small: every file is the original.\n"
    assert run("verify", "small") == "small: every file is the original.\n"
    path = folder / "voices/pol/model.safetensors"
    path.write_bytes(path.read_bytes()[::-1])
    (folder / "silero").mkdir()
    (folder / "silero/silero_vad.onnx").write_bytes(b"short")
    done = CliRunner().invoke(models_app, ["verify"])
    assert isinstance(done.exception, WeightsError)
    said = done.output + str(done.exception)
    assert "model.safetensors is not the original" in said, "the last profile"
    assert "model.bin is missing" in said and "make setup" in said, (
        "compact, of which a bit is there"
    )


def test_verify_without_weights_says_how_to_get_them(folder):
    done = CliRunner().invoke(models_app, ["verify"])
    assert isinstance(done.exception, WeightsError) and "make setup" in done.exception.message


def test_unknown_choices_are_refused_with_the_known_ones(folder):
    done = CliRunner().invoke(models_app, ["fetch", "whisper-nllb", "--voices", "pl,xx"])
    assert isinstance(done.exception, WeightsError) and "--voices xx" in done.exception.message
    assert "pol, deu" in done.exception.message


def test_ctrl_c_says_that_nothing_is_lost(folder, copies, monkeypatch):
    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(models, "fetch", interrupted)
    done = CliRunner().invoke(models_app, ["fetch", "small", "--from", str(copies)])
    assert done.exit_code == 130 and "run the same command again" in done.output


def test_the_command_fetches_although_the_program_is_offline(folder):
    """The real entry point in a process of its own, which goes offline before it looks at its
    arguments, and an address of the hub from the environment."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
    with HubServer() as server:
        hub_server.fill(server)
        environment |= {"HF_ENDPOINT": server.endpoint, "HF_HOME": str(folder / "home"),
                        "HF_TOKEN": "good"}  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", _SCRIPT, "models", "fetch", "small"],
            cwd=ROOT, env=environment, capture_output=True, text=True,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "small: complete and verified" in done.stdout
    assert (folder / "people/people.bin").read_bytes() == FILES["org/people"]["people.bin"]
    assert "Downloading listener/model.bin" in done.stderr and "%" in done.stderr
    assert "Traceback" not in done.stderr


def test_elsewhere_than_on_a_terminal_a_line_comes_every_few_seconds(capsys):
    now = [0.0]
    bar = ProgressBar(clock=lambda: now[0])
    for second in range(12):
        now[0] = second
        bar("Downloading x", second * 10_000_000, 120_000_000)
    bar("Checking", 120_000_000, 120_000_000)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[-1] for line in lines] == ["Downloading x"] * 3 + ["Checking"]
    assert "50 MB of 120 MB" in lines[1]


def test_on_a_terminal_a_bar_shows_speed_and_time_left(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with ProgressBar() as bar:
        for done in range(0, 101, 10):
            bar("Downloading x", done * 1_000_000, 100_000_000)
            bar._bar.refresh()
        bar("Checking", 10, 100)
    shown = capsys.readouterr().err
    assert "Downloading x" in shown and "/100M" in shown and "B/s" in shown and "to go" in shown
    assert "Checking" in shown
