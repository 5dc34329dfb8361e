"""How hard the machine works, so that what is merely nice to have can step back in time.

Partial captions, early attempts and clauses spoken in advance make one conversation quick; when
several people talk at once on a small machine, they would take what final captions and speech
need. Pure arithmetic on the pools' own counts; it decides nothing.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from babblefish.engine.job_queue import Priority
from babblefish.engine.workers import WorkerPool

BUSY = 1.15
"""strain from which guesses stop: partial captions come seldom, no clause is spoken in advance"""
OVERLOADED = 1.5
"""strain from which work starts only on what is certain"""
_WINDOW_S = 5.0
_EVERY_S = 0.25


class Strain:
    """Cores' worth of work going on in some pools, as a part of the cores there are.

    Work that has to share cores takes longer, so the figure rises above 1 when they are too few.
    """

    def __init__(
        self, pools: Sequence[WorkerPool], cores: int,
        least: Priority = Priority.PROGRAM, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """least: of work that is at least as urgent."""
        self._pools, self._cores, self._least, self._clock = pools, cores, least, clock
        self._samples: deque[tuple[float, float]] = deque()
        """(time, core seconds worked by then)"""

    def now(self) -> float:
        """Over the last five seconds, or since the first call where that is shorter."""
        at = self._clock()
        if not self._samples or at - self._samples[-1][0] >= _EVERY_S:
            self._samples.append(
                (at, sum(p.worked_by(self._least) * p.threads for p in self._pools))
            )
            while at - self._samples[0][0] > _WINDOW_S:
                self._samples.popleft()
        (begun, before), (ended, after) = self._samples[0], self._samples[-1]
        return (after - before) / (self._cores * max(_WINDOW_S, ended - begun))
