"""Whether a caller is the room server this laptop was paired with, and when it last called.

Knows neither HTTP nor how pairing goes.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable


class Door:
    """Closed to everybody until ``open_to`` was told a secret."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._secret = b""
        self.expecting = False
        """a secret is being agreed on: the server may know it already"""
        self._called_at: float | None = None
        self._heard_at = clock()

    @property
    def paired(self) -> bool:
        return bool(self._secret)

    def open_to(self, secret: str) -> None:
        self._secret, self.expecting = secret.encode(), False

    def close(self) -> None:
        self._secret = b""

    def admits(self, authorization: str) -> bool:
        """Whether this header holds the secret; takes as long for any wrong one of its length.
        A right one counts as a call."""
        scheme, _, told = authorization.partition(" ")
        given = told.strip().encode("utf-8", "replace")
        if not self._secret or scheme.lower() != "bearer":
            return False
        if not hmac.compare_digest(given, self._secret):
            return False
        self._called_at = self._heard_at = self._clock()
        return True

    def heard(self) -> None:
        """The server was heard in another way than by its call."""
        self._heard_at = self._clock()

    @property
    def since_call(self) -> float:
        """Seconds since the server's last call; infinite before the first."""
        return float("inf") if self._called_at is None else self._clock() - self._called_at

    @property
    def since_heard(self) -> float:
        """Seconds since any contact, or since the start."""
        return self._clock() - self._heard_at
