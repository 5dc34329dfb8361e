"""From what the owner typed to a pairing: which server, is it the right one, code or asking.

Uses ``discovery``, ``trust`` and ``pairing``; knows nothing of speech.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from babblefish.accelerator.discovery import Found, find_servers
from babblefish.accelerator.pairing import Pairing, ask, pair
from babblefish.accelerator.terminal import Terminal
from babblefish.accelerator.trust import Trust, check, meet, server_address
from babblefish.accelerator_protocol import Introduction
from babblefish.errors import SettingsError, TransportError


@dataclass(frozen=True, slots=True)
class Wish:
    """From the command line; empty: not given."""

    server: str = ""
    code: str = ""
    fingerprint: str = ""


def choose_server(kept: Pairing | None, wish: Wish, terminal: Terminal) -> Pairing | Trust:
    """The pairing that there is already, or a server to be paired with, checked.

    Blocks, may ask in the terminal. Raises SettingsError or TransportError with the fix.
    """
    server = server_address(wish.server) if wish.server else ""
    if kept is not None and not (wish.code or wish.fingerprint) and server in ("", kept.server):
        return kept
    if not server and kept is not None:
        server = kept.server
    told = wish.fingerprint
    if not server:
        chosen = _found(terminal)
        server, told = chosen.server, told or chosen.fingerprint
    if kept is not None and kept.server == server and not wish.fingerprint:
        asyncio.run(check(kept.trust))
        return kept.trust
    trust = asyncio.run(meet(server, told))
    if not trust.fingerprint or wish.fingerprint or terminal.same_fingerprint(trust.fingerprint):
        return trust
    raise TransportError(
        "other_server", "Then it is another server, or somebody pretends to be yours. Nothing was "
        "sent to it. Check the address.",
    )  # fmt: skip


def _found(terminal: Terminal) -> Found:
    terminal.say("Looking for room servers in this network…")
    chosen = terminal.choose(asyncio.run(find_servers()))
    if not chosen.same_version:
        raise TransportError(
            "other_version", "This room server and this laptop are of different versions. Update "
            "the older of the two.",
        )  # fmt: skip
    if not chosen.fingerprint:
        raise SettingsError(
            "server", "This room server runs without https, so that anybody in the network could "
            "listen. Start it with https.",
        )  # fmt: skip
    return chosen


async def join(
    trust: Trust, code: str, introduction: Introduction, terminal: Terminal
) -> tuple[Pairing, bool]:
    """A new pairing, and whether the server can call this laptop. Raises TransportError."""
    if code:
        paired = await pair(trust, introduction.model_copy(update={"code": code}))
    else:
        paired = await ask(trust, introduction, terminal.number)
    pairing = Pairing(
        trust.server, trust.authority, paired.accelerator_id, paired.secret, paired.server_name
    )
    return pairing, paired.reachable
