"""Visitors that refer to themselves, as connections do, beside all that a server has loaded; and
what they leave between what stays."""

from __future__ import annotations

import platform
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


PIECES = """
import asyncio, contextlib
import psutil
from babblefish import garbage

async def main():
    process, pieces = psutil.Process(), [bytearray(4000) for _ in range(25_000)]
    before = process.memory_info().rss
    del pieces[:-1]  # the last one stays, behind all others
    kept = process.memory_info().rss
    garbage._TRIM_S = 0.01
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(garbage.give_back(), 1.0)
    print(before - kept, kept - process.memory_info().rss)

asyncio.run(main())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps what is free")
def test_what_is_free_again_goes_back_to_the_system():
    command = [sys.executable, "-c", PIECES]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    by_itself, given_back = map(int, done.stdout.split())
    assert by_itself < 10e6 and given_back > 70e6, done.stdout
