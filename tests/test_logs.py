"""Log lines tell where an error came from, and nothing that anybody said."""

from __future__ import annotations

import subprocess
import sys

from tests.test_architecture import ROOT

_PROGRAM = """
import structlog
from babblefish import logs

log = structlog.get_logger("test")
logs.configure()

def interpret(transcript):
    raise ValueError(f"cannot say: {transcript}")

try:
    interpret("the merger is on")
except ValueError:
    log.exception("interpretation failed")
try:
    interpret("the merger is off")
except ValueError as error:
    log.warning("again", exc_info=error)
"""


def test_an_error_is_logged_with_its_kind_and_place_and_without_words() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True
    )
    first, second = done.stderr.splitlines()
    assert "interpretation failed" in first
    for line in (first, second):
        assert "ValueError" in line
        assert "<string>:" in line
        assert "merger" not in line
    assert done.stdout == ""


def test_every_entry_point_configures_its_log() -> None:
    for name in ("app.py", "babblefish/accelerator/cli.py"):
        assert "logs.configure()" in (ROOT / name).read_text(encoding="utf-8"), name
