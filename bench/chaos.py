"""Makes a laptop's life hard at random: kills, freezes and slows it, has it talk nonsense, and
revives it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import numpy as np

from bench.laptop_process import LaptopProcess

USUAL = {"first_s": 0.25, "each_s": 0.1}
"""how a laptop speaks that is well: about as fast as a small GPU"""
_NONSENSE = (
    *("nan", "nan_samples", "html", "silence", "absurd_rate", "wrong_clause", "end", "failed"),
    *("short", "long", "oversized", "503", "page"),
)
_HANGING = ("hang", "half", "trickle", "deaf")


class Chaos:
    """``run`` until cancelled; then the laptop is well, or dead."""

    def __init__(self, process: LaptopProcess, seed: int) -> None:
        self._process, self._rng = process, np.random.default_rng(seed)
        self.done: Counter[str] = Counter()

    async def run(self) -> None:
        ways: dict[str, Callable[[], Awaitable[None]]] = {
            "killed": self._kill, "killed while it spoke": self._kill_speaking,
            "frozen": self._freeze, "hung": self._hang, "slowed": self._slow,
            "nonsense": self._nonsense,
        }  # fmt: skip
        while True:
            await self._wait(3, 9)
            way = str(self._rng.choice(list(ways)))
            self.done[way] += 1
            await ways[way]()
            await self.well()

    async def well(self) -> None:
        """As on a good day; started if it has died."""
        self._process.thaw()
        await self._process.start()
        await self._process.behave(fault="", fault_at=0, **USUAL)

    async def _kill(self) -> None:
        self._process.kill()
        await self._wait(1, 6)

    async def _kill_speaking(self) -> None:
        await self._process.behave(fault="die", fault_at=int(self._rng.integers(0, 3)))
        async with asyncio.timeout(15):
            while self._process.is_running:
                await asyncio.sleep(0.05)
        self._process.kill()
        await self._wait(1, 4)

    async def _freeze(self) -> None:
        self._process.freeze()
        await self._wait(1, 8)

    async def _hang(self) -> None:
        fault = str(self._rng.choice(_HANGING))
        await self._process.behave(fault=fault, fault_at=int(self._rng.integers(0, 3)))
        await self._wait(3, 8)

    async def _slow(self) -> None:
        first, each = self._rng.uniform(0.8, 3.0), self._rng.uniform(0.3, 2.5)
        await self._process.behave(first_s=first, each_s=each)
        await self._wait(4, 10)

    async def _nonsense(self) -> None:
        fault = str(self._rng.choice(_NONSENSE))
        await self._process.behave(fault=fault, fault_at=int(self._rng.integers(0, 3)))
        await self._wait(3, 8)

    async def _wait(self, least: float, most: float) -> None:
        await asyncio.sleep(self._rng.uniform(least, most))
