"""Lets a worker process give up a job that nobody waits for any more, or nobody would miss when
something urgent waits behind it.

The pool sends a signal; a stage that may be given up calls ``check`` now and then. What cannot be
given up never calls it, and is never interrupted.
"""

from __future__ import annotations

import signal

from babblefish.errors import WorkerError

SIGNAL = signal.SIGUSR1

_asked = False


def listen() -> None:
    """Once, when the worker process starts."""
    signal.signal(SIGNAL, _ask)


def _ask(*_: object) -> None:
    global _asked
    _asked = True


def reset() -> None:
    """A new job begins."""
    global _asked
    _asked = False


def check() -> None:
    """Raises WorkerError("superseded") when the job at hand should be given up."""
    if _asked:
        raise WorkerError("superseded", "Something more urgent came; this was given up.")
