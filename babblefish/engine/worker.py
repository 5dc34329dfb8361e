"""The inside of a worker process: build one stage, then answer one job at a time.

``worker_process.py`` starts it: ``python -m babblefish.engine.worker FD NICE LOGS``. It ends when
its socket does, so it never outlives the server. It knows no queue, priority or event loop.
"""

from __future__ import annotations

import importlib
import operator
import os
import pickle
import signal
import sys
import time
from multiprocessing.connection import Connection
from typing import Any, cast

from babblefish import logs
from babblefish.engine import interruption
from babblefish.engine.stages import StageSpec
from babblefish.errors import BabbleFishError, WorkerError


def send(connection: Connection, message: Any) -> None:
    """Pickle ``message``; arrays follow as raw buffers, so that they are copied only once."""
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
    connection.send_bytes(len(buffers).to_bytes(4, "little") + head)
    for buffer in buffers:
        connection.send_bytes(buffer.raw())


def receive(connection: Connection) -> Any:
    """Counterpart of ``send``. Raises EOFError or OSError when the other side is gone."""
    head = connection.recv_bytes()
    count = int.from_bytes(head[:4], "little")
    buffers = [bytearray(connection.recv_bytes()) for _ in range(count)]
    return pickle.loads(memoryview(head)[4:], buffers=buffers)


def build(spec: StageSpec) -> Any:
    """The stage that ``spec`` names."""
    module, _, name = spec.factory.partition(":")
    return getattr(importlib.import_module(module), name)(**spec.options)


def _portable(error: Exception, method: str) -> BabbleFishError:
    """Anything a stage raises, as an error that is safe to pickle, log and show."""
    if isinstance(error, BabbleFishError):
        return error
    return WorkerError("stage_crashed", f"{method} failed inside the model: {type(error).__name__}")


def run(connection: Connection) -> None:
    spec: StageSpec = receive(connection)
    try:
        stage = build(spec)
        send(connection, ("ready", stage.capabilities, 0.0))
    except Exception as error:
        send(connection, ("error", _portable(error, spec.factory), 0.0))
        return
    while True:
        try:
            method, jobs = receive(connection)
        except (EOFError, OSError):
            return
        started = time.perf_counter()
        interruption.reset()
        try:
            answers = _answers(stage, method, jobs)
        except Exception as error:
            answers = [_portable(error, method)] * len(jobs)
        send(connection, (answers, time.perf_counter() - started))


def _answers(stage: Any, method: str, jobs: list[tuple]) -> list[Any]:
    """One for each of ``jobs``, which are arguments of ``method``."""
    if len(jobs) == 1:
        return [operator.attrgetter(method)(stage)(*jobs[0])]
    answers = operator.attrgetter(f"{method}_batch")(stage)(jobs)
    if len(answers) != len(jobs):
        raise WorkerError("stage_crashed", f"{method} lost part of what it was given.")
    return [_portable(a, method) if isinstance(a, Exception) else a for a in answers]


def main() -> None:
    descriptor, nice = int(sys.argv[1]), int(sys.argv[2])
    logs.configure(cast(logs.Shape, sys.argv[3]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends us
    interruption.listen()
    os.nice(nice)
    try:
        run(Connection(descriptor))
    except (BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
        return


if __name__ == "__main__":
    main()
