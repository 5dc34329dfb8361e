"""What log lines look like: when, what, and of an error its kind and its place.

Never what an error says and never the values of variables: in this program those are people's
names and what they said. Entry points call ``configure`` once.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Any

import structlog
from structlog.typing import EventDict


def places(error: BaseException) -> str:
    """Where it came from: ``file.py:line`` from the outermost call to the innermost."""
    frames = traceback.extract_tb(error.__traceback__)
    return " > ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)


def _without_words(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """``exc_info`` as kind and place."""
    given = event.pop("exc_info", None)
    error = given if isinstance(given, BaseException) else sys.exc_info()[1] if given else None
    if error is not None:
        event.setdefault("error", type(error).__name__)
        event["at"] = places(error)
    return event


def configure() -> None:
    """For every ``structlog`` logger of this process, also those that exist already."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            _without_words,
            structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
