"""One Apertium translation mode as a chain of processes that is kept alive.

A mode file is a shell pipeline of small programs. Started once with null-flush, the chain
answers each text ended by a null byte with its translation and another null byte, in a few
milliseconds instead of the tenth of a second that starting it takes. This module speaks the
stream format and watches over the processes; it does not know languages or chains of pairs.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import shlex
import subprocess
import time
from pathlib import Path
from typing import IO

from babblefish.errors import TranslationError

_SPECIAL = re.compile(r"([\\\[\]{}^$/@<>~])")
"""characters with a meaning in the stream format"""
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_END = "[][\n]"
"""a blank after the text makes the last program hand out its last word"""


def read_mode(path: Path) -> list[list[str]]:
    """The commands of a mode file, each asked to flush at null bytes and to mark no word."""
    commands: list[list[str]] = [[]]
    for token in shlex.split(path.read_text(encoding="utf-8"), comments=True):
        if token == "|":
            commands.append([])
        elif token == "$1":
            commands[-1].append("-n")
        elif token != "$2":
            commands[-1].append(token)
    return [[command[0], "-z", *command[1:]] for command in commands if command]


class Pipeline:
    """``translate`` any number of times, then ``close``. Restarts itself when it hangs or dies."""

    def __init__(self, mode: Path, timeout: float = 2.5, start_timeout: float = 6.0) -> None:
        """timeout: seconds for an answer; start_timeout: for the first one after a start."""
        self._commands = read_mode(mode)
        self._name = mode.stem
        self._timeout, self._start_timeout = timeout, start_timeout
        self._answered = False
        self._processes: list[subprocess.Popen] = []
        self._rest = b""

    def translate(self, text: str) -> str:
        """One line of text, at most a few thousand characters.

        Raises TranslationError("unavailable") when two attempts in a row failed.
        """
        for _ in range(2):
            try:
                if not self._processes:
                    self._start()
                return self._ask(text)
            except (OSError, TimeoutError, UnicodeDecodeError):
                self.close()
        raise TranslationError(
            "unavailable",
            f"Apertium's {self._name} does not answer. Check it with `apertium {self._name}`.",
        )

    def start(self) -> None:
        """Start the processes without waiting for them to be ready, which takes them a while."""
        if not self._processes:
            self._start()

    def warm_up(self, timeout: float = 60.0) -> None:
        """Wait until the processes answer. Raises TranslationError("unavailable")."""
        usual, self._start_timeout = self._start_timeout, timeout
        try:
            self.translate("a")
        finally:
            self._start_timeout = usual

    def close(self) -> None:
        processes, self._processes, self._rest = self._processes, [], b""
        self._answered = False
        for process in processes:
            process.kill()
        for process in processes:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            process.wait()

    def _start(self) -> None:
        source: int | None = None
        environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        for command in self._commands:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE if source is None else source,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                bufsize=0,
            )
            if self._processes:
                _pipe(self._processes[-1].stdout).close()
            self._processes.append(process)
            source = _pipe(process.stdout).fileno()

    def _ask(self, text: str) -> str:
        stream = _SPECIAL.sub(r"\\\1", text) + _END
        _pipe(self._processes[0].stdin).write(stream.encode("utf-8") + b"\0")
        answer = self._read().decode("utf-8").removesuffix("\n").removesuffix(_END.rstrip("\n]"))
        return _ESCAPED.sub(r"\1", answer.replace(_END, ""))

    def _read(self) -> bytes:
        allowed = self._timeout if self._answered else self._start_timeout
        deadline = time.monotonic() + allowed
        output = _pipe(self._processes[-1].stdout)
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            while b"\0" not in self._rest:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError
                chunk = os.read(output.fileno(), 65536)
                if not chunk:
                    raise BrokenPipeError
                self._rest += chunk
        answer, _, self._rest = self._rest.partition(b"\0")
        self._answered = True
        return answer


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    """A stream that was asked for as a pipe."""
    assert stream is not None
    return stream
