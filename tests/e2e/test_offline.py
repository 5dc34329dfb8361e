"""Nothing leaves the building: a meeting where every way out is closed and watched."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.e2e.offline_meeting import NOWHERE

ROOT = Path(__file__).resolve().parents[2]
_SETUP = f"""
set -e
ip link set lo up
ip link add {NOWHERE} type veth peer name nowhere1
for i in {NOWHERE} nowhere1; do echo 1 > /proc/sys/net/ipv6/conf/$i/disable_ipv6; done
ip link set nowhere1 up
ip addr add 10.77.0.1/24 dev {NOWHERE}
ip link set {NOWHERE} up
ip route add default via 10.77.0.2
ip neigh add 10.77.0.2 lladdr 02:00:00:00:00:02 dev {NOWHERE}
"""


def run(script: str) -> subprocess.CompletedProcess:
    """``script`` in a network namespace of its own, whose only way out is a counting dead end."""
    return subprocess.run(
        ["unshare", "--map-root-user", "--net", "sh", "-c", _SETUP + script],
        cwd=ROOT, capture_output=True, text=True, timeout=500,
    )  # fmt: skip


def test_promise_28_a_whole_meeting_without_a_network_and_no_attempt_to_reach_one(weights_dir):
    done = run(f"exec {sys.executable} -m tests.e2e.offline_meeting")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert len(result["caption"].split()) >= 4 and result["heard_s"] > 1.0
    assert result["sent_outside"] == 0


def test_the_watch_on_the_way_out_sees_a_single_packet():
    knock = (
        "import socket; from tests.e2e.offline_meeting import sent_outside; "
        "before = sent_outside(); "
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 9)); "
        "print(sent_outside() - before)"
    )
    done = run(f'exec {sys.executable} -c "{knock}"')
    assert done.returncode == 0 and int(done.stdout) == 1, done.stderr
