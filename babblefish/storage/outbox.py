"""Transcript lines on their way to the disk: bounded, in order, counted when they are lost.

Filled by the event loop, emptied by the storage's thread. Knows no database.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

from babblefish.storage.records import SpokenLine, StoredRoom, TranslatedLine

_MAX_ROOMS = 1000


@dataclass(frozen=True, slots=True)
class Batch:
    rooms: tuple[StoredRoom, ...]
    lines: tuple[SpokenLine | TranslatedLine, ...]


class Outbox:
    """``limit``: lines kept; the oldest make way for newer ones."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._rooms: dict[str, StoredRoom] = {}
        self._lines: deque[SpokenLine | TranslatedLine] = deque()
        self._since: float | None = None
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, item: StoredRoom | SpokenLine | TranslatedLine) -> None:
        """Of a room, the newest state counts; it is written before any line."""
        with self._lock:
            if isinstance(item, StoredRoom):
                self._rooms.pop(item.code, None)
                self._rooms[item.code] = item
                if len(self._rooms) > _MAX_ROOMS:
                    self._rooms.pop(next(iter(self._rooms)))
            else:
                self._lines.append(item)
                self._shorten()
            if self._since is None:
                self._since = time.monotonic()

    def take(self, most: int) -> Batch:
        with self._lock:
            rooms = tuple(self._rooms.values())
            self._rooms.clear()
            lines = tuple(self._lines.popleft() for _ in range(min(most, len(self._lines))))
            if not self._lines:
                self._since = None
            return Batch(rooms, lines)

    def give_back(self, batch: Batch) -> None:
        """``batch`` could not be written: it waits again, in front."""
        with self._lock:
            self._rooms = {room.code: room for room in batch.rooms} | self._rooms
            self._lines.extendleft(reversed(batch.lines))
            self._shorten()
            if self._since is None:
                self._since = time.monotonic()

    def lose(self, count: int) -> None:
        with self._lock:
            self.dropped += count

    def age(self) -> float | None:
        """Seconds that something has been waiting; None when nothing is."""
        since = self._since
        return None if since is None else time.monotonic() - since

    def _shorten(self) -> None:
        while len(self._lines) > self._limit:
            self._lines.popleft()
            self.dropped += 1
