"""What fails while the machine stands still is made again, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests import lanes, patience

ROOT = Path(__file__).resolve().parents[1]
_CONFTEST = """
    from tests import standstill

    still = 0.0

    def standstills():
        global still
        still += {growth}
        return still

    standstill.standstills = standstills

    def pytest_configure(config):
        config.addinivalue_line("markers", "real_time: x")
        config.pluginmanager.register(standstill.Again())
"""
_TESTS = """
    import pytest

    tries = []

    @pytest.mark.real_time
    def test_fails_twice():
        tries.append(1)
        assert len(tries) > 2, "too late"

    def test_fails():
        assert not tries, "another fault"
"""


def run(folder: Path, growth: float) -> tuple[int, str]:
    """As on a machine that stands still for ``growth`` seconds between any two looks."""
    (folder / "conftest.py").write_text(textwrap.dedent(_CONFTEST.format(growth=growth)))
    (folder / "test_it.py").write_text(textwrap.dedent(_TESTS))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", os.devnull,
         "--rootdir", str(folder), str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": ".", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )  # fmt: skip
    return done.returncode, done.stdout


def test_a_test_in_real_time_is_made_again_and_the_run_says_so(tmp_path):
    code, told = run(tmp_path, 0.7)
    assert "1 failed, 1 passed" in told and code == 1
    again = told[told.index("made again") :]
    assert "test_fails_twice: 0.7 s" in again and "too late" in again


def test_where_the_machine_goes_on_a_failure_is_one(tmp_path):
    code, told = run(tmp_path, 0.0)
    assert "2 failed" in told and code == 1 and "made again" not in told


def test_a_standstill_is_seen_and_not_counted():
    before, begun, clock = patience.standstills(), patience.awake(), time.monotonic()
    process, _ = patience.watcher()
    os.kill(process, signal.SIGSTOP)
    time.sleep(0.6)
    os.kill(process, signal.SIGCONT)
    found = patience.standstills() - before
    assert found >= 0.5
    passed = time.monotonic() - clock
    assert patience.awake() - begun == pytest.approx(passed - found, abs=0.3)


def test_every_module_is_in_one_lane():
    files = [file for lane in lanes.modules().values() for file in lane]
    found = [str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(files) == sorted(found) and all(lanes.modules().values())
    stems = {Path(file).stem.removeprefix("test_") for file in files}
    assert stems >= lanes._COMPUTING | lanes._CLOCK, "a module that is no more"
