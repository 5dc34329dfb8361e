"""How it stands with the room server, in words for the terminal and the owner's page."""

from __future__ import annotations

from babblefish.accelerator.dial_out import DialOut, State
from babblefish.accelerator.page_views import Connection
from babblefish.accelerator.pairing import Pairing
from babblefish.accelerator.trust import Trust

_SENTENCES: dict[State, str] = {
    "expected": "Waiting for the first call of the room server.",
    "called": "The room server calls this laptop.",
    "waiting": "The room server is not there at the moment. This laptop keeps looking for it.",
    "dialling": "The room server is not there at the moment. This laptop keeps looking for it.",
    "open": "This laptop has called the room server, and they talk.",
    "refused": "The room server does not know this laptop any more, so all voices were forgotten. "
    "Pair it again: the tab “Laptops” of the host page has the command.",
    "replaced": "Another program is connected to the room server as this laptop. Close one of the "
    "two.",
    "stranger": "Who answers at the room server's address is not the server that this laptop was "
    "paired with. If it was set up anew, run accelerator_app.py --forget and pair again; if not, "
    "somebody else answers at this address.",
}


def connection_of(target: Pairing | Trust, dialling: DialOut | None) -> Connection:
    """dialling: None until the laptop is paired."""
    server, mark = _names(target)
    if dialling is None:
        return Connection(False, "Waiting to be paired with the room server.", server, mark)
    state = dialling.state
    return Connection(state in ("called", "open"), _SENTENCES[state], server, mark)


def told_of(state: State, target: Pairing | Trust) -> str:
    """What the terminal says at once about a new state; empty: nothing."""
    if state not in ("refused", "replaced", "stranger"):
        return ""
    return f"{_names(target)[0]}: {_SENTENCES[state]}"


def _names(target: Pairing | Trust) -> tuple[str, str]:
    if isinstance(target, Trust):
        return target.server, target.fingerprint
    shown = f"{target.server_name} ({target.server})" if target.server_name else target.server
    return shown, target.trust.fingerprint
