"""What log lines look like: when, what, in which request, and of an error its kind and its place.

Never what an error says and never the values of variables: in this program those are people's
names and what they said. Of other programs' loggers only the fixed part of a message is kept, for
the same reason. One line each, as JSON or for reading. Entry points call ``configure`` once.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor

Shape = Literal["auto", "json", "text"]
"""auto: text where stderr is a terminal"""

_OURS = ("babblefish", "rooms", "bench")
_ACCESS = "babblefish.access"


@dataclass(slots=True)
class _Request:
    id: str
    is_open: bool = True


_request: ContextVar[_Request | None] = ContextVar("request", default=None)
_chosen: Literal["json", "text"] = "text"
_lock = threading.Lock()


def places(error: BaseException) -> str:
    """Where it came from: ``file.py:line`` from the outermost call to the innermost."""
    frames = traceback.extract_tb(error.__traceback__)
    return " > ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)


@contextlib.contextmanager
def request() -> Iterator[str]:
    """Within the block, lines carry the id that it gives. Tasks that are started there and go on
    after it are no part of the request any more."""
    this = _Request(secrets.token_hex(8))
    token = _request.set(this)
    try:
        yield this.id
    finally:
        this.is_open = False
        _request.reset(token)


def chosen() -> Literal["json", "text"]:
    """What ``configure`` came to, for processes that are started from here."""
    return _chosen


def configure(shape: Shape = "auto") -> None:
    """For every logger of this process, ``structlog``'s and the standard library's (uvicorn's,
    for one), also those that exist already; and for what threads and warnings print."""
    global _chosen
    _chosen = ("text" if sys.stderr.isatty() else "json") if shape == "auto" else shape
    stream = sys.stderr
    chain = _chain(stream)
    structlog.configure(
        processors=chain,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *name: _Output(stream, *name[:1]),
    )
    root = logging.getLogger()
    for old in [h for h in root.handlers if isinstance(h, _Routed)]:
        root.removeHandler(old)
    root.addHandler(_Routed(stream, chain))
    root.setLevel(logging.WARNING)
    for name in _OURS:
        logging.getLogger(name).setLevel(logging.INFO)
    # at a terminal, every request would push the room's link out of sight
    logging.getLogger(_ACCESS).setLevel(logging.INFO if _chosen == "json" else logging.WARNING)
    warnings.showwarning = _on_warning
    threading.excepthook = _on_thread_error
    sys.unraisablehook = _on_unraisable


def _chain(stream: TextIO) -> list[Processor]:
    if _chosen == "json":
        time = structlog.processors.TimeStamper(fmt="iso", utc=True, key="time")
        last = [structlog.processors.JSONRenderer(default=_plain, ensure_ascii=False)]
    else:
        time = structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False)
        last = [_without_origin, structlog.dev.ConsoleRenderer(colors=stream.isatty())]
    return [_origin, structlog.processors.add_log_level, _without_words, time, *last]


# --- what a line holds ----------------------------------------------------------------------


def _origin(logger: Any, _method: str, event: EventDict) -> EventDict:
    """Which logger, and which request it was in."""
    event.setdefault("logger", logger.name)
    current = _request.get()
    if current is not None and current.is_open:
        event["request_id"] = current.id
    return event


def _without_origin(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """People at a terminal need neither."""
    event.pop("logger", None)
    event.pop("request_id", None)
    return event


def _without_words(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """``exc_info`` as kind and place."""
    given = event.pop("exc_info", None)
    error = given if isinstance(given, BaseException) else sys.exc_info()[1] if given else None
    if error is not None:
        event.setdefault("error", type(error).__name__)
        event["at"] = places(error)
    event.pop("stack_info", None)
    return event


def _plain(value: object) -> str:
    """What JSON has no form for; never its content."""
    return str(value) if isinstance(value, Path) else type(value).__name__


def _said(record: logging.LogRecord) -> str:
    """Ours whole; of others the fixed text alone, without what was filled in. asyncio writes
    what it knows of a failed task, its error's words included, below its first line."""
    if record.name.split(".")[0] in _OURS:
        return record.getMessage()
    lines = str(record.msg).strip().splitlines()
    return lines[0] if lines else ""


# --- where it goes --------------------------------------------------------------------------


class _Output:
    """One logger: whole lines to ``stream``."""

    def __init__(self, stream: TextIO, name: str = "") -> None:
        self._stream, self.name = stream, name

    def msg(self, line: str) -> None:
        with _lock, contextlib.suppress(OSError, ValueError):  # nobody reads stderr any more
            self._stream.write(line + "\n")
            self._stream.flush()

    debug = info = warn = warning = error = critical = exception = fatal = failure = log = msg


class _Routed(logging.Handler):
    """The standard library's records on the same way as structlog's events."""

    def __init__(self, stream: TextIO, chain: list[Processor]) -> None:
        super().__init__()
        self._stream, self._chain = stream, chain

    def emit(self, record: logging.LogRecord) -> None:
        try:
            event: EventDict = {"event": _said(record)}
        except Exception as error:  # the library's own report would show what was to be logged
            event = {"event": "a log line was lost", "exc_info": error}
        if record.exc_info and record.exc_info[1] is not None:
            event["exc_info"] = record.exc_info[1]
        output: Any = _Output(self._stream, record.name)
        line: Any = event
        for processor in self._chain:
            line = processor(output, record.levelname.lower(), line)
        output.msg(line)


def _on_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int,
    file: TextIO | None = None, line: str | None = None,
) -> None:  # fmt: skip
    at = f"{Path(filename).name}:{lineno}"
    structlog.get_logger("warnings").warning("a library warns", error=category.__name__, at=at)


def _on_thread_error(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
        structlog.get_logger("threading").error("a thread failed", exc_info=args.exc_value)


def _on_unraisable(args: Any) -> None:
    if args.exc_value is not None:
        structlog.get_logger("python").error("an error was ignored", exc_info=args.exc_value)
