"""Visitors that refer to themselves, as connections do, beside all that a server has loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

MEETINGS = """
import gc, sys, weakref
from collections import deque
from babblefish import garbage

class Phone:
    def __init__(self):
        self.parts = [[self] for _ in range(1000)]

loaded = [[] for _ in range(200_000)]
gc.collect()  # as one has happened while everything was loaded
if sys.argv[1] == "settled":
    garbage.settle()
there, known, most = deque(maxlen=20), weakref.WeakSet(), 0
for number in range(400):
    there.append(Phone())
    known.add(there[-1])
    most = max(most, len(known) - len(there))
print(most, gc.get_freeze_count() > 200_000)
"""


@pytest.mark.parametrize("how", ["settled", "as it comes"])
def test_those_who_have_left_are_not_kept_for_long(how):
    command = [sys.executable, "-c", MEETINGS, how]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    left, frozen = done.stdout.split()
    assert frozen == str(how == "settled")
    assert (int(left) < 40) == (how == "settled"), left
