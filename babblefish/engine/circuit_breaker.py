"""When somebody who failed is asked again: a circuit breaker with three states.

Closed: everybody may ask. Open, after failures: nobody may. Half-open, once a probe was answered
and the rest is over: one request may try; it closes the circuit or opens it again, for longer.
Pure state over a clock; it asks nobody itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

FAILURES = 2
"""in a row, and the circuit opens"""
REST_S = 3.0
"""after a trial that failed; doubled with each further one"""
LONGEST_REST_S = 60.0

State = Literal["closed", "half_open", "open"]


class CircuitBreaker:
    """``clock``: seconds, monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._open_until: float | None = None
        """None: closed"""
        self._rest = REST_S
        self._answered = False
        """a probe, since the circuit opened"""
        self._trial = False

    @property
    def state(self) -> State:
        if self._open_until is None:
            return "closed"
        return "half_open" if self._answered and self._clock() >= self._open_until else "open"

    @property
    def allows(self) -> bool:
        """Whether a request may be made now."""
        state = self.state
        return state == "closed" or (state == "half_open" and not self._trial)

    def begin(self) -> None:
        """A request is being made; ``succeeded``, ``failed`` or ``gave_up`` ends it."""
        if self.state == "half_open":
            self._trial = True

    def succeeded(self) -> None:
        self._failures, self._open_until, self._rest = 0, None, REST_S
        self._answered = self._trial = False

    def failed(self, gone: bool = False) -> None:
        """gone: there is nobody at all, so that another request would fail as well."""
        self._failures += 1
        if self._trial:
            self._open(self._rest)
            self._rest = min(LONGEST_REST_S, 2 * self._rest)
        elif gone or (self._open_until is None and self._failures >= FAILURES):
            self._open(0.0)

    def gave_up(self) -> None:
        """Nobody waited for the end of the request: it says nothing about who was asked."""
        self._trial = False

    def answered(self) -> None:
        """A probe was answered."""
        self._answered = True

    def _open(self, rest: float) -> None:
        self._open_until = max(self._open_until or 0.0, self._clock() + rest)
        self._answered = self._trial = False
        self._failures = 0
