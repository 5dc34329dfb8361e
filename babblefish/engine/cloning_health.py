"""How one laptop does, and which way to it works: asked every few seconds, in the background.

Decides nothing; whoever wants to know is told of every answer, and of every time there is none.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

import httpx
import structlog

from babblefish.accelerator_protocol import Health
from babblefish.engine import cloning_http
from babblefish.engine.cloning_laptop import Laptop
from babblefish.engine.cloning_probe import first_to_answer
from babblefish.engine.cloning_transport import Transport, unreachable
from babblefish.errors import CloningError

log = structlog.get_logger(__name__)

POLL_S = 3.0
_FRESH_S = 2 * POLL_S + 4.0
_SOONEST_S = 0.2
_NEW_POLL_S, _NEW_S = 0.5, 15.0
CALL_AGAIN_S = 30.0
"""between tries to call a laptop that has dialled in"""


class LaptopHealth:
    """``run`` it as a task, then ``close`` it."""

    def __init__(
        self, laptop: Laptop, on_answer: Callable[[Health], None],
        on_silence: Callable[[CloningError], None],
    ) -> None:  # fmt: skip
        self.last: Health | None = None
        """what it answered last"""
        self.answered_at = 0.0
        """monotonic"""
        self.trouble: CloningError | None = None
        """why it did not answer the last time"""
        self.transport: Transport | None = None
        """which worked last"""
        self._laptop, self._on_answer, self._on_silence = laptop, on_answer, on_silence
        self._languages: frozenset[str] = frozenset()
        self._started_at = time.monotonic()
        self._call_again_at = self._started_at + CALL_AGAIN_S
        self._http: httpx.AsyncClient | None = None
        self._https: tuple[Transport, ...] = ()
        self._unfit: CloningError | None = None
        self._wake = asyncio.Event()
        self._prepare()

    def _prepare(self) -> None:
        laptop = self._laptop
        laptop.on_change(self.ask_soon)
        urls = [url for url in laptop.urls if url.startswith("https://")]
        if urls and laptop.certificate:
            try:
                self._http = cloning_http.client(laptop.secret, laptop.certificate)
            except CloningError as error:
                self._unfit = error
            else:
                self._https = tuple(cloning_http.HttpTransport(self._http, url) for url in urls)

    # --- what is known ----------------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        """It said so not long ago."""
        fresh = time.monotonic() - self.answered_at < _FRESH_S
        return self.last is not None and self.last.ready and fresh

    def speaks(self, language: str) -> bool:
        return language.partition("-")[0].lower() in self._languages

    def reach(self) -> Transport:
        """Raises CloningError("unreachable")."""
        if self.transport is None:
            raise unreachable()
        return self.transport

    # --- asking -----------------------------------------------------------------------------------

    def ask_soon(self) -> None:
        """Something has changed."""
        self._wake.set()

    async def run(self) -> None:
        while True:
            self._wake.clear()
            await self._ask()
            if time.monotonic() >= self._call_again_at:
                await self._call_again()
            await asyncio.sleep(_SOONEST_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause - _SOONEST_S):
                    await self._wake.wait()

    async def close(self) -> None:
        if self._http is not None:
            await self._http.aclose()

    @property
    def _pause(self) -> float:
        """A laptop that was paired just now may not know its secret yet."""
        new = self.last is None and time.monotonic() - self._started_at < _NEW_S
        return min(POLL_S, _NEW_POLL_S) if new else POLL_S

    async def _ask(self) -> None:
        socket = self._laptop.socket
        ways: tuple[Transport, ...] = (*([socket] if socket else []), *self._https)
        try:
            transport, health = await first_to_answer(ways, self.transport)
        except CloningError as error:
            self._lost(error if ways or self._unfit is None else self._unfit)
        else:
            self._answered(transport, health)

    async def _call_again(self) -> None:
        """It dialled in, since it could not be called. If it can now, that is the shorter way, and
        it hangs up by itself."""
        self._call_again_at = time.monotonic() + CALL_AGAIN_S
        if self.transport is not None and self.transport is self._laptop.socket:
            with contextlib.suppress(CloningError):
                self._answered(*await first_to_answer(self._https, None))

    def _answered(self, transport: Transport, health: Health) -> None:
        if self.trouble is not None:
            log.info("a laptop answers again", laptop=self._laptop.id)
        self.trouble = None
        self.transport, self.last, self.answered_at = transport, health, time.monotonic()
        self._languages = frozenset(code.partition("-")[0].lower() for code in health.languages)
        self._on_answer(health)

    def _lost(self, error: CloningError) -> None:
        if self.trouble is None or self.trouble.code != error.code:
            log.warning("a laptop does not answer", laptop=self._laptop.id, code=error.code)
        self.trouble = error
        self._on_silence(error)
