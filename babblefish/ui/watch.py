"""The last quarter of an hour of this server, in memory: a reading every few seconds.

For the host's page, which plots it, and for ``/metrics``. Costs a few milliseconds each time; a
reading that fails is a gap, never a fault of the server. Knows neither pages nor formats.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from babblefish import metrics
from babblefish.ui.access_log import REQUESTS
from babblefish.ui.reading import Reading, Sources, read

log = structlog.get_logger(__name__)

EVERY_S = 5.0
KEPT_S = metrics.RECENT_S
_LOOK_S = 0.25
"""between looks at how late the event loop is"""


@dataclass(frozen=True, slots=True)
class Sample:
    at: float
    """monotonic"""
    reading: Reading
    server_cpu: float
    """share of one core since the sample before"""
    models_cpu: float
    loop_lag: float
    """seconds, the worst since the sample before"""
    failed: float
    """sentences that could not be interpreted; since the server started, as all that follow"""
    dropped: float
    restarts: int
    requests: float
    """by programs and pages"""


class Watch:
    """``run`` as a task while the server runs; ``app.state.watch``."""

    def __init__(self, sources: Sources, clock: Callable[[], float] = time.monotonic) -> None:
        self.sources = sources
        self.samples: deque[Sample] = deque(maxlen=round(KEPT_S / EVERY_S) + 1)
        self.started = clock()
        self._clock = clock
        self._lag = 0.0
        self._told = False

    @property
    def loop_lag(self) -> float:
        """Seconds by which the event loop was late at worst, since the last sample but one."""
        return max(self._lag, self.samples[-1].loop_lag if self.samples else 0.0)

    async def run(self) -> None:
        due = self._clock()
        while True:
            self.look()
            due += EVERY_S
            while (left := due - self._clock()) > 0:
                pause = min(_LOOK_S, left)
                before = self._clock()
                await asyncio.sleep(pause)
                self._lag = max(self._lag, self._clock() - before - pause)
            due = max(due, self._clock() - EVERY_S)

    def look(self) -> None:
        """Take a sample."""
        try:
            self.samples.append(self._sample())
        except Exception as error:  # watching must not stop what is watched
            if not self._told:
                log.exception("no reading", error=type(error).__name__)
            self._told = True
        self._lag = 0.0

    def _sample(self) -> Sample:
        reading, now = read(self.sources), self._clock()
        before = self.samples[-1] if self.samples else None
        passed = now - before.at if before else 0.0
        server = models = 0.0
        if before is not None and passed > 0:
            server = reading.server.cpu_seconds - before.reading.server.cpu_seconds
            models = reading.models.cpu_seconds - before.reading.models.cpu_seconds
            server, models = server / passed, max(0.0, models / passed)
        return Sample(
            now, reading, server, models, self._lag,
            metrics.total(metrics.UTTERANCES, "failed"), metrics.total(metrics.DROPPED),
            sum(pool.restarts for pool in reading.pools), metrics.total(REQUESTS),
        )  # fmt: skip
