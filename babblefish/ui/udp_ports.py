"""An event loop whose UDP sockets take their ports from a given range, for a firewall to open.

aiortc leaves the choice to the system, which takes any of 28 000. Knows no WebRTC.
"""

from __future__ import annotations

import asyncio
import errno
from typing import Any


class PortRangeLoop(asyncio.SelectorEventLoop):
    def __init__(self, ports: range) -> None:
        super().__init__()
        self._ports, self._next = ports, 0

    async def create_datagram_endpoint(
        self, protocol_factory: Any, local_addr: Any = None, *args: Any, **options: Any
    ) -> Any:
        """As asyncio's; where any port would do, one of the range. OSError(EADDRINUSE) when all
        of them are taken."""
        if local_addr is None or local_addr[1] != 0:
            return await super().create_datagram_endpoint(
                protocol_factory, local_addr, *args, **options
            )
        for _ in self._ports:
            port = self._ports[self._next % len(self._ports)]
            self._next += 1
            try:
                return await super().create_datagram_endpoint(
                    protocol_factory, (local_addr[0], port), *args, **options
                )
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
        raise OSError(
            errno.EADDRINUSE,
            f"All UDP ports from {self._ports.start} to {self._ports.stop - 1} are in use.",
        )
