"""`make setup` where things are missing: what it says, and that it does nothing twice."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def prepare(tmp_path, monkeypatch):
    """tools/prepare.py, at work on an empty folder that holds only the list of system packages."""
    spec = importlib.util.spec_from_file_location("prepare", ROOT / "tools" / "prepare.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / ".venv").mkdir()
    (tmp_path / "requirements-apt.txt").write_text((ROOT / "requirements-apt.txt").read_text())
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(module, "PYTHON", Path(sys.executable))
    return module


def test_where_apt_does_not_work_each_missing_package_is_named_with_its_cost(
    prepare, monkeypatch, tmp_path, capsys
):
    monkeypatch.setenv("PATH", str(tmp_path))
    prepare.install_system_packages(dev=False)
    said = capsys.readouterr().out
    for name, cost in prepare.wanted_packages(dev=False).items():
        assert any(name in line and cost in line for line in said.splitlines()), name
    assert "npm" in said, "the voices need it while there are no weights"
    assert "sudo apt-get install apertium" in said
    assert "chromium" not in said, "what only tests need is not asked of a host"


def test_what_tests_need_is_asked_of_developers(prepare):
    assert {"chromium", "apertium"} <= set(prepare.wanted_packages(dev=True))
    assert all(prepare.wanted_packages(dev=True).values()), "each says what it costs"


def test_requirements_are_installed_once_and_again_when_they_change(
    prepare, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (tmp_path / "requirements.txt").write_text("# nothing yet\n")
    prepare.install("requirements.txt")
    assert "Installing" in capsys.readouterr().out
    prepare.install("requirements.txt")
    assert capsys.readouterr().out == ""
    (tmp_path / "requirements.txt").write_text("no-such-package-of-babblefish==9.9\n")
    for _ in range(2):
        with pytest.raises(SystemExit):
            prepare.install("requirements.txt")
        said = capsys.readouterr()
        assert "no-such-package-of-babblefish" in said.err, "pip's own reason is shown"
        assert "same command again" in said.err


def test_another_python_is_refused_with_the_fix(prepare, monkeypatch, capsys):
    monkeypatch.setattr(prepare.sys, "version_info", (3, 9, 1))
    with pytest.raises(SystemExit):
        prepare.check_python()
    assert "PYTHON=/path/to/python3.11" in capsys.readouterr().err


def test_progress_is_shown_while_a_step_runs(prepare, capsys, monkeypatch):
    monkeypatch.setattr(prepare.sys.stdout, "isatty", lambda: True, raising=False)
    script = "print('noise'); print('Collecting numba==1.0')"
    assert prepare.run_visibly([sys.executable, "-c", script], r"Collecting (\S+)")
    said = capsys.readouterr().out
    assert "1  numba==1.0" in said and "noise" not in said


def test_without_any_python_make_says_so():
    done = subprocess.run(
        ["make", "-s", "setup", "PYTHON="], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode and "Python 3.11 is missing" in done.stdout


def test_the_host_requirements_pin_all_that_their_packages_need():
    pinned = names("requirements.txt")
    waiting, missing = list(pinned), set()
    while waiting:
        for line in importlib.metadata.requires(waiting.pop()) or ():
            needed = Requirement(line)
            name = canonicalize_name(needed.name)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                missing |= {name} - pinned
    assert missing == set(), "two installs of one commit would differ"
    assert not pinned & names("requirements-dev.txt"), "pinned twice"


def names(file):
    lines = (ROOT / file).read_text().splitlines()
    return {canonicalize_name(line.partition("==")[0]) for line in lines if "==" in line}
