"""“Look for laptops on this network”: for ten minutes, this server says in the network that it is
there (DNS service discovery), and then is quiet again.

Nothing is sent while it is off. Knows no laptops.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from zeroconf import Error, IPVersion
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from babblefish.accelerator_protocol import PROTOCOL_VERSION, SERVICE_TYPE
from babblefish.network import Address

LOOK_SECONDS = 600.0
_ANSWER_SECONDS = 10.0
_LONGEST_LABEL = 63
"""bytes of a name in DNS"""


@dataclass(frozen=True, slots=True)
class Sign:
    """What the network is told."""

    name: str
    """of this server, for people"""
    addresses: tuple[Address, ...]
    port: int
    fingerprint: str
    """of its certificate authority, as ``network.fingerprint`` writes it; empty: plain http"""


class Lookout:
    """``sign`` is asked each time it is switched on."""

    def __init__(
        self, sign: Callable[[], Sign], clock: Callable[[], float] = time.monotonic,
        seconds: float = LOOK_SECONDS,
    ) -> None:  # fmt: skip
        self._sign, self._clock, self._seconds = sign, clock, seconds
        self._until = 0.0
        self._telling: asyncio.Task | None = None
        self.problem = ""
        """why laptops cannot find this server by themselves, in words"""

    @property
    def on(self) -> bool:
        return self._clock() < self._until

    @property
    def left(self) -> float:
        """Seconds until it switches itself off."""
        return max(0.0, self._until - self._clock())

    def start(self) -> None:
        """For ten minutes from now on."""
        self._until = self._clock() + self._seconds
        if self._telling is None or self._telling.done() or self.problem:
            if self._telling is not None:
                self._telling.cancel()
            self.problem = ""
            self._telling = asyncio.create_task(self._tell(), name="look for laptops")

    async def stop(self) -> None:
        """Returns when the network has been told that this server is not looking any more."""
        self._until, self.problem = 0.0, ""
        task, self._telling = self._telling, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _tell(self) -> None:
        try:
            sign = self._sign()
            if not sign.addresses:
                self.problem = "This machine is in no network. Connect it, then look again."
            else:
                await self._advertise(sign)
        except (OSError, Error, TimeoutError) as error:
            self.problem = (
                "Laptops cannot find this server by themselves: the network does not let it say "
                f"that it is here ({_reason(error)}). Pair with the command instead."
            )
        await self._until_over()

    async def _advertise(self, sign: Sign) -> None:
        zeroconf = AsyncZeroconf(
            interfaces=[str(address) for address in sign.addresses], ip_version=IPVersion.All
            if any(address.version == 6 for address in sign.addresses) else IPVersion.V4Only,
        )  # fmt: skip
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                answered = await zeroconf.async_register_service(
                    _service(sign), allow_name_change=True
                )
                await answered
            await self._until_over()
        finally:
            await asyncio.shield(self._fall_silent(zeroconf))

    @staticmethod
    async def _fall_silent(zeroconf: AsyncZeroconf) -> None:
        with contextlib.suppress(OSError, Error, TimeoutError):
            async with asyncio.timeout(_ANSWER_SECONDS):
                await zeroconf.async_close()  # says goodbye first

    async def _until_over(self) -> None:
        while self.on:
            await asyncio.sleep(min(self.left + 0.01, 1.0))


def _service(sign: Sign) -> AsyncServiceInfo:
    label = sign.name.replace(".", " ").encode()[:_LONGEST_LABEL].decode(errors="ignore")
    host = "".join(c if c.isascii() and c.isalnum() else "-" for c in socket.gethostname())
    return AsyncServiceInfo(
        SERVICE_TYPE, f"{label}.{SERVICE_TYPE}", port=sign.port,
        addresses=[address.packed for address in sign.addresses],
        properties={
            "name": sign.name, "fingerprint": sign.fingerprint, "version": str(PROTOCOL_VERSION)
        },
        server=f"{host[:40] or 'server'}-babblefish.local.",
    )  # fmt: skip


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
