"""A paired laptop as the registry of laptops knows it: identity, addresses, and the socket of one
that dialled in.

Asks it nothing; ``Cloning.add`` does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from babblefish.engine.cloning_socket import Socket, SocketTransport


class Laptop:
    def __init__(
        self, id: str, name: str, secret: str, urls: Sequence[str] = (), certificate: str = ""
    ) -> None:
        """name: for people; may be changed at any time. urls: https://address:port, best first;
        others are ignored. certificate: PEM, pinned; without it the laptop has to dial in."""
        self.id, self.name = id, name
        self.urls, self.certificate = tuple(urls), certificate
        self.secret = secret
        self.socket: SocketTransport | None = None
        """through which it dialled in, while that is open"""
        self._listeners: list[Callable[[], None]] = []

    def __repr__(self) -> str:
        return f"Laptop({self.id!r})"

    async def attach(self, socket: Socket) -> None:
        """Use ``socket``, on which the laptop has shown its secret. Returns when it is closed, when
        the laptop dials in once more, or after ``detach``: close it then. Works before and after
        ``Cloning.add``."""
        transport = SocketTransport(socket)
        self.detach()
        self.socket = transport
        self._changed()
        try:
            await transport.run()
        finally:
            if self.socket is transport:
                self.socket = None
                self._changed()

    def detach(self) -> None:
        """Let go of the socket, if there is one: its ``attach`` returns."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def on_change(self, listener: Callable[[], None] | None) -> None:
        """``listener`` is called when a socket comes or goes; None: nobody is."""
        self._listeners = [] if listener is None else [listener]

    def _changed(self) -> None:
        for listener in self._listeners:
            listener()
