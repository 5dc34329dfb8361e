"""What opens a room: its link, and the seats of the people in it.

Both are signed with the server's secret, so that they are stored nowhere and still hold after a
restart. Whoever reads the database cannot enter a room. Knows no members and no storage.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from babblefish.storage.records import TokenHash
from babblefish.storage.secret import ServerSecret

_MOST_GIVEN_UP = 200
_SEAT = re.compile(r"([0-9a-f]{12})([0-9a-f]{8})([0-9a-f]{10})([0-9a-f]{2})")


class Link:
    """The token in a room's link: for ``seconds``, or until the host makes a new one."""

    def __init__(
        self, secret: ServerSecret, code: str, seconds: float, wall: Callable[[], float] = time.time
    ) -> None:
        self._secret, self._code, self._seconds, self._wall = secret, code, seconds, wall
        self.generation = 0
        self.renew()

    def renew(self) -> None:
        """From now on another token opens the room, and no earlier one."""
        self._set(self.generation + 1, self._wall() + self._seconds)

    def restore(self, generation: int, stored: Iterable[TokenHash]) -> None:
        """Go on as before a restart: with the link that people have, if it still holds."""
        self._set(generation, 0.0)
        expires = [found.expires for found in stored if found.sha256 == self.hash.sha256]
        if expires and expires[0] > self._wall():
            self._expires = expires[0]
        else:
            self.renew()

    def _set(self, generation: int, expires: float) -> None:
        self.generation, self._expires = generation, expires
        self.token = self._secret.sign("room", f"{self._code}/{generation}")

    @property
    def hash(self) -> TokenHash:
        """What is stored of it."""
        return TokenHash(hashlib.sha256(self.token.encode()).hexdigest(), self._expires)

    def opens(self, token: str) -> bool:
        same = secrets.compare_digest(token.encode(), self.token.encode())
        return same and self._wall() < self._expires


@dataclass(frozen=True, slots=True)
class Seat:
    """Who somebody is in a room; their phone has it, signed, as its key."""

    member: str
    """12 hexadecimal digits"""
    first_seq: int
    """captions up to here were said before they came"""
    color: int

    @classmethod
    def new(cls, first_seq: int, color: int) -> Seat:
        return cls(secrets.token_hex(6), first_seq, color)


class Seats:
    """Keys that people may come back with for ``seconds``, whatever the server has forgotten."""

    def __init__(
        self, secret: ServerSecret, code: str, seconds: float,
        wall: Callable[[], float] = time.time, given_up: Iterable[str] = (),
    ) -> None:  # fmt: skip
        self._secret, self._code, self._seconds, self._wall = secret, code, seconds, wall
        self._given_up: dict[str, None] = dict.fromkeys(given_up)

    @property
    def given_up(self) -> tuple[str, ...]:
        """Members who left or were removed, the latest last."""
        return tuple(self._given_up)

    def give_up(self, member: str) -> None:
        """No key of this member opens anything any more."""
        self._given_up[member] = None
        while len(self._given_up) > _MOST_GIVEN_UP:
            self._given_up.pop(next(iter(self._given_up)))

    def key(self, seat: Seat) -> str:
        """A secret: whoever has it is this member."""
        body = f"{seat.member}{int(self._wall()):08x}{seat.first_seq:010x}{seat.color:02x}"
        return body + self._secret.sign("seat", f"{self._code}/{body}")

    def read(self, key: str) -> Seat | None:
        """The seat that ``key`` is for; None when it is forged, of another room, old or given
        up."""
        match = _SEAT.match(key)
        if match is None or not self._secret.verify(
            "seat", f"{self._code}/{match[0]}", key[match.end() :]
        ):
            return None
        if self._wall() - int(match[2], 16) > self._seconds or match[1] in self._given_up:
            return None
        return Seat(match[1], int(match[3], 16), int(match[4], 16))
