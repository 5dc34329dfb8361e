"""How many events one connection may send: a bucket of tokens. Knows no events."""

from __future__ import annotations

_EVENTS_PER_SECOND, _EVENT_BURST = 20.0, 60.0


class Allowance:
    """Of one connection."""

    def __init__(self) -> None:
        self._tokens, self._at = _EVENT_BURST, 0.0
        self.refused = 0

    def take(self, now: float) -> bool:
        """now: seconds, on any clock that only goes forward."""
        self._tokens = min(_EVENT_BURST, self._tokens + (now - self._at) * _EVENTS_PER_SECOND)
        self._at = now
        if self._tokens < 1:
            self.refused += 1
            return False
        self._tokens -= 1
        return True
