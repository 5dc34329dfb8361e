"""What the laptop's owner reads and is asked in the terminal.

Words only; decides nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from babblefish.accelerator.discovery import Found
from babblefish.accelerator_protocol import PROTOCOL_VERSION, Health
from babblefish.errors import TransportError
from babblefish.languages import english_name

_MANY = 12
"""languages in one line"""


class Terminal:
    """asks: whether somebody is there who can answer; None: where it is a terminal."""

    def __init__(self, asks: bool | None = None) -> None:
        self._asks = sys.stdin.isatty() and sys.stdout.isatty() if asks is None else asks

    def say(self, text: str = "") -> None:
        print(text, flush=True)

    def ask(self, question: str) -> str:
        return input(question)

    def same_fingerprint(self, fingerprint: str) -> bool:
        """Show it; where somebody can answer, ask whether it is the right one."""
        self.say(f"This server's fingerprint: {fingerprint}")
        if not self._asks:
            self.say("Compare it with the tab “Laptops” of the host page.")
            return True
        answer = self.ask("Does the tab “Laptops” of the host page show the same? [Y/n] ")
        return answer.strip().lower() in ("", "y", "yes")

    def choose(self, servers: Sequence[Found]) -> Found:
        """One of those that were found. Raises TransportError("not_found" | "several")."""
        if not servers:
            raise TransportError(
                "not_found",
                "No room server in this network looks for laptops. Switch “Look for laptops” on "
                "in the tab “Laptops” of its host page, or give its address: --server "
                "https://host:9000 --pair CODE",
            )
        self.say("Room servers that look for laptops:" if servers[1:] else "Found:")
        for number, server in enumerate(servers, 1):
            self.say(f"  {number}. {server.name}  {server.server}{_other(server)}")
            if server.fingerprint:
                self.say(f"     fingerprint {server.fingerprint}")
        if not servers[1:]:
            return servers[0]
        if not self._asks:
            raise TransportError(
                "several", "There are several. Choose one with --server and its address."
            )
        while True:
            answer = self.ask(f"Which one? [1-{len(servers)}] ").strip()
            if answer.isdecimal() and 1 <= int(answer) <= len(servers):
                return servers[int(answer) - 1]

    def number(self, number: str) -> None:
        self.say(
            f"Waiting until the host says yes. The host page shows this laptop with the number\n\n"
            f"  {number}\n\nIf it shows another one there, it is another laptop."
        )

    def ready(self, health: Health, server: str, page: str) -> None:
        """Connected, and able to speak."""
        kind = "Runs on" if health.memory_total_mb is None else "GPU"
        facts = [("Server", server), (kind, health.device)]
        if health.memory_used_mb is not None and health.memory_total_mb is not None:
            used, total = health.memory_used_mb / 1024, health.memory_total_mb / 1024
            facts.append(("VRAM", f"{used:.1f} of {total:.1f} GB in use"))
        facts.append(("Languages", languages(health.languages)))
        if page:
            facts.append(("Page", page))
        self.say("\nConnected. Cloning ready")
        for name, value in facts:
            self.say(f"  {name:<10} {value}")
        self.say("Stop with Ctrl-C.")


def languages(codes: Sequence[str]) -> str:
    names = sorted(english_name(code) for code in codes)
    rest = len(names) - _MANY
    return ", ".join(names[:_MANY]) + (f" and {rest} more" if rest > 0 else "")


def _other(server: Found) -> str:
    if server.same_version:
        return ""
    side = "the laptop" if server.version > PROTOCOL_VERSION else "the server"
    return f"  (of another version: update {side})"
