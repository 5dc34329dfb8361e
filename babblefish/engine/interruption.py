"""Lets a worker process give up a job that nobody waits for any more, or nobody would miss when
something urgent waits behind it.

The pool sends a signal; a stage that may be given up calls ``check`` now and then, or says with
``while_waiting`` what to stop. What cannot be given up does neither, and is never interrupted.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

from babblefish.errors import WorkerError

SIGNAL = signal.SIGUSR1

_asked = False
_stop: Callable[[], None] | None = None
"""stops what the stage is waiting for"""


def listen() -> None:
    """Once, when the worker process starts."""
    signal.signal(SIGNAL, _ask)


def _ask(*_: object) -> None:
    global _asked
    _asked = True
    if _stop is not None:
        _stop()


def while_waiting(stop: Callable[[], None] | None) -> None:
    """``stop`` is called when the job should be given up; None: there is nothing to stop."""
    global _stop
    _stop = stop


def reset() -> None:
    """A new job begins."""
    global _asked
    _asked = False


def check() -> None:
    """Raises WorkerError("superseded") when the job at hand should be given up."""
    if _asked:
        raise WorkerError("superseded", "Something more urgent came; this was given up.")
