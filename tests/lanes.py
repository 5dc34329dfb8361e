"""The whole suite in two lanes at the same time: ``python -m tests.lanes``, as ``make test`` does.

One lane has the tests that wait, for browsers, servers and the clock; the other those that only
compute, in whatever processor time the first leaves. A module is in one lane as a whole. What the
second lane says is shown when it is over. Arguments are pytest's; with any, there is one lane.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

import pytest

WAITS, COMPUTES = "waits", "computes"


def add_option(parser: pytest.Parser) -> None:
    parser.addoption("--lane", choices=[WAITS, COMPUTES], help="only this half of the suite")


def keep_to_lane(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is in the other lane."""
    lane = config.getoption("--lane")
    if lane is None:
        return
    here = [item for item in items if (lane == WAITS) == bool(item.get_closest_marker("real_time"))]
    others = set(items) - set(here)
    config.hook.pytest_deselected(items=[item for item in items if item in others])
    items[:] = here


def main(arguments: list[str]) -> int:
    command = [sys.executable, "-m", "pytest"]
    if arguments:
        return subprocess.run([*command, *arguments], check=False).returncode
    with tempfile.TemporaryFile("w+") as told:
        computing = subprocess.Popen(
            [*command, "--lane", COMPUTES, "-p", "no:cacheprovider"], stdout=told,
            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            preexec_fn=lambda: os.nice(10),
        )  # fmt: skip
        try:
            print("Tests that wait; at the same time, those that compute:", flush=True)
            first = subprocess.run([*command, "--lane", WAITS], check=False).returncode
            if computing.poll() is None:
                print("Waiting for the tests that compute …", flush=True)
            second = computing.wait()
        finally:
            computing.kill()
            computing.wait()
        told.seek(0)
        print("\nTests that compute:")
        print(told.read(), flush=True)
    failed = [lane for lane, code in ((WAITS, first), (COMPUTES, second)) if code]
    print(f"FAILED in the lane that {' and in that which '.join(failed)}" if failed else "PASSED")
    return max(first, second)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
