"""The whole suite in lanes at the same time: ``python -m tests.lanes``, as ``make test`` does.

Most tests wait: for browsers, for servers, for the clock. Each lane is a pytest of its own with
some of the modules; those that depend most on being served in time come first at the processor,
those that only compute come last. What a lane says is shown when it is over, and a lane that fails
fails the run. Arguments are pytest's; with any, there is one lane with everything.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time

import pytest

NICE = {"meetings": 0, "clock": 0, "browsers": 4, "computing": 9}
"""lane → how far it stands back: whole meetings; whatever is said, waited for or given up by the
clock; pages in browsers; the rest"""
_BROWSERS = ("test_host_", "test_web_", "test_accelerator_page")
_LOOK_S = 0.2


def add_option(parser: pytest.Parser) -> None:
    parser.addoption("--lane", choices=list(NICE), help="only this part of the suite")


def lane_of(item: pytest.Item) -> str:
    if "e2e" in item.path.parts:
        return "meetings"
    if item.path.stem.startswith(_BROWSERS):
        return "browsers"
    return "clock" if item.get_closest_marker("real_time") else "computing"


def keep_to_lane(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is in the other lanes."""
    lane = config.getoption("--lane")
    if lane is not None:
        config.hook.pytest_deselected(items=[item for item in items if lane_of(item) != lane])
        items[:] = [item for item in items if lane_of(item) == lane]


def main(arguments: list[str]) -> int:
    command = [sys.executable, "-m", "pytest", "--color=yes" if sys.stdout.isatty() else "-q"]
    if arguments:
        return subprocess.run([*command[:3], *arguments], check=False).returncode
    begun, codes = time.monotonic(), {}
    with contextlib.ExitStack() as ending:
        lanes = {}
        for name, nice in NICE.items():
            told = ending.enter_context(tempfile.TemporaryFile("w+"))
            lane = subprocess.Popen(
                [*command, "--lane", name, "-p", "no:cacheprovider"], stdin=subprocess.DEVNULL,
                stdout=told, stderr=subprocess.STDOUT, preexec_fn=lambda by=nice: os.nice(by),
            )  # fmt: skip
            ending.callback(lane.wait)
            ending.callback(lane.terminate)
            lanes[name] = lane, told
        print(f"Testing in lanes: {', '.join(lanes)}. Each is shown when it is over.", flush=True)
        while len(codes) < len(lanes):
            time.sleep(_LOOK_S)
            for name, (lane, told) in lanes.items():
                if name not in codes and lane.poll() is not None:
                    codes[name] = lane.returncode
                    told.seek(0)
                    print(f"\n=== {name}\n{told.read()}", flush=True)
    failed = [name for name, code in codes.items() if code]
    minutes, seconds = divmod(round(time.monotonic() - begun), 60)
    print(f"{f'FAILED: {failed}' if failed else 'PASSED'} after {minutes} min {seconds} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
