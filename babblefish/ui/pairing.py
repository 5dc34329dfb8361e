"""How a laptop comes to be trusted: by the code of the host page, or asked for and confirmed there.

Decides; knows no requests and no pages. A code is for one laptop and holds while the host page
shows it and a quarter of an hour longer; guesses are counted over restarts. Nothing of what a
laptop says is acted on before it is trusted.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from babblefish.accelerator_protocol import PROTOCOL_VERSION, Asked, Introduction, Paired
from babblefish.errors import StorageError, TransportError
from babblefish.network import fingerprint, local_addresses
from babblefish.settings import Settings
from babblefish.ui import laptop_calls
from babblefish.ui.access import RateLimited
from babblefish.ui.admin_book import AdminBook
from babblefish.ui.admin_door import ALPHABET, CODE_LENGTH
from babblefish.ui.lookout import Lookout, Sign
from babblefish.ui.side_thread import SideThread
from babblefish.ui.tls import Certificates
from babblefish.ui.tries import Limit, Tries

if TYPE_CHECKING:
    from rooms.hub import Hub

log = logging.getLogger(__name__)

CODE_SECONDS = 15 * 60.0
"""for which a code holds after the host page showed it last"""
LIMITS = (Limit(5, 60.0), Limit(20, 3600.0)), (Limit(60, 60.0),)
"""guesses: for each address, and for all together. A code cannot be guessed in years; a longer
limit for all would only let strangers keep the host's laptops out."""
MOST_WAITING, MOST_OF_ONE = 8, 2
"""laptops that wait for the host, in all and from one address"""
WAIT_SECONDS = 600.0
QUIET_SECONDS = 30.0
"""a laptop that does not ask for so long is not waiting any more"""
_DISK_JOBS, _DISK_SECONDS = 8, 3.0

State = Literal["waiting", "confirmed", "refused"]


@dataclass
class Guest:
    """A laptop that asked to be paired."""

    introduction: Introduction
    address: str
    """that it asked from"""
    came: float
    id: str = field(default_factory=lambda: secrets.token_hex(6))
    """for the host page"""
    ticket: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    """a secret of the laptop"""
    number: str = field(default_factory=lambda: f"{secrets.randbelow(1_000_000):06}")
    state: State = "waiting"
    seen: float = 0.0
    pairing: asyncio.Task[Paired] | None = None


class Pairing:
    """``clock`` gives Unix time."""

    def __init__(
        self, hub: Hub, lookout: Lookout, data_dir: Path,
        mark: Callable[[], str] = str,
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        """mark: fingerprint of the server's certificate authority; empty: it has none."""
        self.lookout, self.mark = lookout, mark
        self._hub, self._clock = hub, clock
        disk = SideThread("pairing file", _DISK_JOBS, _DISK_SECONDS)
        self._book = AdminBook(data_dir / "pairing-state.json", disk)
        self._tries = Tries(*LIMITS, self._book.read().get("tries"))
        self._code = ""
        self._until = 0.0
        self._guests: dict[str, Guest] = {}
        """by ticket, the first one first"""
        self._writing: set[asyncio.Task] = set()

    # --- with a code --------------------------------------------------------------------------

    def code(self) -> str:
        """The code to show to a signed-in admin now, such as "ABCD-EFGH"."""
        now = self._clock()
        if not self._code or not 0 < self._until - now <= CODE_SECONDS:
            self._code = "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))
        self._until = now + CODE_SECONDS
        return f"{self._code[:4]}-{self._code[4:]}"

    async def pair(self, who: Introduction, key: str, came_from: str) -> Paired:
        """Use up the code. key: who counts as one guesser; came_from: address.

        Raises TransportError("pair_code" | "certificate" | "other_version"), RateLimited, and
        what ``Laptops.pair`` raises.
        """
        signed = self._hub.secret.sign("pairing address", key)[:16]
        if seconds := self._tries.wait(signed, self._clock()):
            raise RateLimited(seconds)
        await self._book.write({"tries": self._tries.remember()})
        if not self._is_code(who.code):
            raise TransportError(
                "pair_code", "That is not the code, or it is used up. The tab “Laptops” of the "
                "server's host page shows the newest one.",
            )  # fmt: skip
        _check(who)  # a laptop that cannot be taken costs no code
        self._code = ""
        self._tries.forgive(signed)
        await self._book.write({"tries": self._tries.remember()})
        return await self._admit(who, came_from)

    def _is_code(self, typed: str) -> bool:
        cleaned = "".join(c for c in typed if not c.isspace() and c not in "-–—_.").upper()
        held = bool(self._code) and 0 < self._until - self._clock() <= CODE_SECONDS
        return secrets.compare_digest(cleaned.encode(), self._code.encode()) and held

    async def _admit(self, who: Introduction, came_from: str) -> Paired:
        certificate = laptop_calls.pinned(who.certificate)
        urls = laptop_calls.allowed(who.urls, came_from) if certificate else []
        answering = await laptop_calls.reachable(urls, certificate)
        if answering is not None:
            urls = [answering, *(url for url in urls if url != answering)]
        laptop = await self._hub.laptops.pair(who.name, urls, certificate)
        return Paired(
            accelerator_id=laptop.id, secret=laptop.secret, server_name=server_name(),
            reachable=answering is not None,
        )  # fmt: skip

    # --- without one --------------------------------------------------------------------------

    @property
    def waiting(self) -> tuple[Guest, ...]:
        """Laptops about which the admin has to decide, the first one first."""
        self._tidy()
        return tuple(guest for guest in self._guests.values() if guest.state == "waiting")

    def ask(self, who: Introduction, came_from: str) -> Asked:
        """Raises TransportError("not_looking" | "too_many_waiting" | "certificate" |
        "other_version")."""
        if not self.lookout.on:
            raise TransportError(
                "not_looking", "The server does not look for laptops at the moment. Switch “Look "
                "for laptops” on in the tab “Laptops” of its host page, or use the command there.",
            )  # fmt: skip
        _check(who)
        self._tidy()
        for guest in [g for g in self._guests.values() if g.address == came_from]:
            if guest.state == "refused" or guest.introduction.certificate == who.certificate:
                del self._guests[guest.ticket]  # it asks anew
        mine = sum(guest.address == came_from for guest in self._guests.values())
        if mine >= MOST_OF_ONE or len(self._guests) >= MOST_WAITING:
            raise TransportError(
                "too_many_waiting", "Too many laptops wait already. Decide about them on the host "
                "page, or use the command there.",
            )  # fmt: skip
        guest = Guest(who, came_from, self._clock(), seen=self._clock())
        self._guests[guest.ticket] = guest
        return Asked(ticket=guest.ticket, number=guest.number)

    async def answer(self, ticket: str) -> Asked | Paired:
        """What was decided; ``Asked`` again while nothing is.

        Raises TransportError("ticket" | "refused") and what ``Laptops.pair`` raises.
        """
        self._tidy()
        guest = self._guests.get(ticket)
        if guest is None:
            raise TransportError("ticket", "The server does not wait for you any more. Ask again.")
        guest.seen = self._clock()
        if guest.state == "refused":
            raise TransportError("refused", "The host has refused this laptop.")
        if guest.state == "waiting":
            return Asked(ticket=ticket, number=guest.number)
        if guest.pairing is None:
            guest.pairing = asyncio.create_task(
                self._admit(guest.introduction, guest.address), name="pair a laptop"
            )
        return await asyncio.shield(guest.pairing)  # the same again for an answer that got lost

    def confirm(self, guest: str) -> None:
        """It is paired as soon as it asks again. Raises TransportError("ticket")."""
        self._find(guest).state = "confirmed"
        self._note("laptop_confirmed", guest)

    def refuse(self, guest: str) -> None:
        """Raises TransportError("ticket")."""
        self._find(guest).state = "refused"
        self._note("laptop_refused", guest)

    async def close(self) -> None:
        await self.lookout.stop()
        pairing = [guest.pairing for guest in self._guests.values() if guest.pairing]
        await asyncio.gather(*pairing, *self._writing, return_exceptions=True)

    def _note(self, act: str, guest: str) -> None:
        task = asyncio.create_task(self._keep_note(act, guest), name="audit line")
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _keep_note(self, act: str, guest: str) -> None:
        if self._hub.storage is not None:
            try:
                await self._hub.storage.note("admin", act, guest)
            except StorageError as error:
                log.warning("The audit lacks a line, %s: %s", act, error.message)

    def _find(self, id_: str) -> Guest:
        for guest in self.waiting:
            if guest.id == id_:
                return guest
        raise TransportError("ticket", "This laptop does not wait any more.")

    def _tidy(self) -> None:
        now = self._clock()
        for guest in list(self._guests.values()):
            if now - guest.seen > QUIET_SECONDS or now - guest.came > WAIT_SECONDS:
                del self._guests[guest.ticket]


def _check(who: Introduction) -> None:
    """Raises TransportError("certificate" | "other_version")."""
    if who.health.protocol != PROTOCOL_VERSION:
        raise TransportError(
            "other_version", "The laptop runs another version of BabbleFish than this server. "
            "Update the older of the two.",
        )  # fmt: skip
    laptop_calls.pinned(who.certificate)


def server_name() -> str:
    """How this server is called towards laptops."""
    return f"BabbleFish on {socket.gethostname()}"[:120]


def create_pairing(settings: Settings, hub: Hub, certificates: Certificates | None) -> Pairing:
    """certificates: whose authority people can compare; None: plain http."""

    @cache
    def mark() -> str:
        return fingerprint(certificates.authority_der()) if certificates is not None else ""

    def sign() -> Sign:
        addresses = local_addresses()
        if settings.host not in ("0.0.0.0", "::", ""):
            own = laptop_calls.address_of(settings.host)
            addresses = [own] if own is not None else []
        return Sign(server_name(), tuple(addresses), settings.port, mark())

    return Pairing(hub, Lookout(sign), settings.data_dir, mark)
