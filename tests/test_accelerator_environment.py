"""``accelerator_app.py`` started with a Python that has nothing installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from babblefish.accelerator.environment import ROOT


def start(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """-S: without site-packages."""
    code = (
        "import sys; from pathlib import Path; "
        "from babblefish.accelerator.environment import enter; enter(Path(sys.argv[1]))"
    )
    return subprocess.run(
        [sys.executable, "-S", "-c", code, str(root), *options], cwd=ROOT, text=True,
        capture_output=True, timeout=300,
    )  # fmt: skip


def test_it_goes_on_in_the_environment_of_its_own(tmp_path: Path) -> None:
    python = tmp_path / ".venv-accelerator" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "went on with $@"\n')
    python.chmod(0o755)
    done = start(tmp_path, "--pair", "K7QX-92PD")
    assert done.returncode == 0
    assert done.stdout.startswith("went on with")
    assert "--pair K7QX-92PD" in done.stdout


def test_without_one_it_says_how_to_get_it(tmp_path: Path) -> None:
    done = start(tmp_path)
    assert done.returncode == 1
    assert "make accelerator" in done.stderr
    assert "Traceback" not in done.stderr
