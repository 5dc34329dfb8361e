"""A whole meeting inside a network namespace without a way out; run by test_offline.py.

The namespace has one interface that leads nowhere and counts what is sent through it: DNS
questions, telemetry, STUN, anything. Prints a JSON object of what was understood and counted.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from babblefish.audio import resample, to_int16
from babblefish.protocol import Caption, Voicing
from babblefish.settings import OFFLINE_ENVIRONMENT, load_settings
from bench.client import Phone
from bench.server import RoomLink
from tests.e2e.real_server import RealServer

NOWHERE = "nowhere0"


def sent_outside() -> int:
    """Packets sent through the dead end so far (/proc/net/dev: eight columns in, then out)."""
    lines = Path("/proc/self/net/dev").read_text().splitlines()
    columns = next(line.split() for line in lines if line.strip().startswith(f"{NOWHERE}:"))
    return int(columns[10])


async def meet(base: str, link: RoomLink) -> dict:
    clip = _speech()
    sound = to_int16(resample(clip.samples, 16_000, 48_000))
    async with (
        Phone(base, link, "Pierre", "fr", "fr") as pierre,
        Phone(base, link, "Dan", "en", "en") as dan,
        asyncio.timeout(300),
    ):
        pierre.say(np.concatenate([np.zeros(24_000, np.int16), sound]))

        def events(kind):
            return [event for _, event in dan.events if isinstance(event, kind)]

        await dan.until(lambda: any(v.state == "played" for v in events(Voicing)))
        return {
            "caption": next(c.text for c in events(Caption) if c.final),
            "heard_s": dan.recording.seconds_audible(0, float("inf")),
        }


def _speech():
    """Where there are no recordings, a model in this very process reads aloud. It must be as
    silent as the server, which has to see to that by itself and is running by now."""
    os.environ.update(OFFLINE_ENVIRONMENT)
    from tests.read_aloud import sentence

    return sentence(load_settings().weights_dir, "fr")


def main() -> None:
    before = sent_outside()
    with tempfile.TemporaryDirectory() as data, RealServer(Path(data), "--http") as server:
        code, token = server.room_path.removeprefix("/r/").split("#t=")
        result = asyncio.run(meet(server.base, RoomLink(code, token)))
    result["sent_outside"] = sent_outside() - before
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
