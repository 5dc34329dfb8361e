"""One worker process and the thread that talks to it.

Starts ``babblefish.engine.worker``, gives it one job at a time and reports to its ``WorkerPool``;
a process that dies is followed by another, ever later. Knows no queue and no priorities.
"""

from __future__ import annotations

import os
import queue
import socket
import subprocess
import sys
import threading
import time
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING

from babblefish import logs
from babblefish.engine import interruption
from babblefish.engine.job_queue import Job
from babblefish.engine.worker import receive, send

if TYPE_CHECKING:
    from babblefish.engine.workers import WorkerPool

_ROOT = Path(__file__).resolve().parents[2]
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
LITTLE_SPINNING = {
    "OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0", "GOMP_SPINCOUNT": "20000",
}  # fmt: skip
"""OpenMP's threads (torch) spin for some microseconds while they wait for one another, and then
sleep: spinning on takes the cores from the other stages, sleeping at once makes a large network
take twice as long. onnxruntime's spin within a run, see ``onnx_session``"""
BACKOFF = (0.0, 0.2, 1.0, 3.0, 10.0)
"""seconds before a process is started again, by failures in a row"""


class WorkerProcess:
    """One worker process and the thread that talks to it."""

    def __init__(self, pool: WorkerPool, number: int) -> None:
        self._pool = pool
        self._popen: subprocess.Popen | None = None
        self._jobs: queue.SimpleQueue[list[Job] | None] = queue.SimpleQueue()
        self._bell, self._listen = socket.socketpair()
        """one byte per job, so that the thread can wait for a job and a death at once"""
        self._closing = False
        self.current: list[Job] = []
        self.pid = 0
        self._thread = threading.Thread(
            target=self._serve, name=f"{pool.name}-{number}", daemon=True
        )
        self._thread.start()

    def give(self, jobs: list[Job]) -> None:
        """One job, or several of one method to be done together."""
        self.current = jobs
        for job in jobs:
            job.begun = time.monotonic()
        self._put(jobs)

    def _put(self, jobs: list[Job] | None) -> None:
        self._jobs.put(jobs)
        self._bell.send(b"!")

    def kill(self) -> None:
        """End the process; its job fails, and a new process follows unless closing."""
        if self._popen is not None and self._popen.poll() is None:
            self._popen.kill()

    def interrupt(self) -> None:
        """Ask it to give up its job, if the stage can."""
        if self._popen is not None and self._popen.poll() is None:
            self._popen.send_signal(interruption.SIGNAL)

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._put(None)
        self.kill()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def _spawn(self) -> Connection:
        pool = self._pool
        ours, theirs = socket.socketpair()
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(_ROOT), *sys.path[1:]]))
        environment.update(
            {name: str(pool.threads) for name in _THREAD_VARIABLES}, **LITTLE_SPINNING
        )
        with theirs:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", "babblefish.engine.worker", str(theirs.fileno()),
                 str(pool.nice), logs.chosen()],
                pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )  # fmt: skip
        self.pid = self._popen.pid
        connection = Connection(ours.detach())
        send(connection, pool.spec)
        return connection

    def _serve(self) -> None:
        failures = 0
        while not self._closing:
            time.sleep(BACKOFF[min(failures, len(BACKOFF) - 1)])
            connection = None
            try:
                connection = self._spawn()
                if self._closing:  # close() may have come before there was anything to kill
                    break
                kind, value, _ = receive(connection)
                if kind == "error":
                    self._closing = True
                    self._pool._post(self._pool._on_broken, self, value)
                    break
                self._pool._post(self._pool._on_ready, self, value)
                failures = 0
                self._answer_jobs(connection)
            except (EOFError, OSError):
                failures += 1
            finally:
                if connection is not None:
                    connection.close()
                self.kill()
                if self._popen is not None:
                    self._popen.wait()
            if not self._closing:
                self._pool._post(self._pool._on_death, self, failures)
        self._bell.close()
        self._listen.close()

    def _answer_jobs(self, connection: Connection) -> None:
        while True:
            if connection in wait([connection, self._listen]):
                raise EOFError  # an idle worker says nothing: it died
            self._listen.recv(1)
            if (jobs := self._jobs.get()) is None:
                return
            send(connection, (jobs[0].method, [job.args for job in jobs]))
            self._pool._post(self._pool._on_answer, self, *receive(connection))
