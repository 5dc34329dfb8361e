"""The thread that speaks: takes what waits, says it, looks at what came out.

Everything that touches a network happens on this one thread. It outlives faults: what a batch
raises costs its requests, memory that runs out costs the batch its size, and a device that fails
again and again is tried anew.
"""

from __future__ import annotations

import dataclasses
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import structlog

from babblefish.accelerator import guards, pace, round_trip, sound, text
from babblefish.accelerator.f5 import FRAMES_PER_SECOND
from babblefish.accelerator.networks import Networks, is_out_of_memory, steps_for
from babblefish.accelerator.round_trip import RoundTrip
from babblefish.accelerator.sampling import Row, Sampling
from babblefish.accelerator.scheduling import Figures, Job, Limits, Request, Schedule
from babblefish.accelerator_protocol import ClauseSpoken, encode_audio
from babblefish.errors import BabbleFishError, SynthesisError

log = structlog.get_logger("accelerator")
_TRIES = 3
_FAILURES = 3
"""batches in a row, after which the device is looked after"""
_JOINT = 0.12
"""seconds between the pieces of a long clause"""


class NobodyWaits(Exception):
    """For what is being said; raised between two steps."""


class SynthesisThread(threading.Thread):
    """Start it once. ``lock`` protects ``schedule``, ``figures`` and the requests' flags."""

    def __init__(
        self, networks: Networks, weights_dir: Path, limits: Limits, sampling: Sampling,
        ready: Callable[[BabbleFishError | None], None], *, listen: bool | None = None,
    ) -> None:  # fmt: skip
        """sampling: steps 0 takes as many as the device does in time. ready: called on this
        thread, with what stands in the way or with None. listen: to what was said, with a
        recogniser where there is one: always, never, or where that is quick (None)."""
        super().__init__(name="synthesis", daemon=True)
        self.lock = threading.Condition()
        self.schedule, self.figures = Schedule(), Figures()
        self.message = "Starting"
        self.limits, self.sampling = limits, sampling
        self.networks = networks
        self._weights_dir, self._ready, self._listen = weights_dir, ready, listen
        self._listener: RoundTrip | None = None
        self._closing, self._failures = False, 0
        self._at_work: list[Job] = []
        self._since = 0.0

    # --- called from other threads --------------------------------------------------------

    def submit(self, jobs: Sequence[Job]) -> None:
        with self.lock:
            self.schedule.add(jobs)
            self.lock.notify()

    def give_up(self, request: Request) -> None:
        """Nobody waits for it any more."""
        with self.lock:
            request.over = True
            self.schedule.drop(request)

    def close(self) -> None:
        with self.lock:
            self._closing = True
            self.lock.notify()

    def waiting(self) -> tuple[int, float]:
        """Requests that are not answered yet, and seconds until a new one would begin."""
        with self.lock:
            jobs = self.schedule.jobs
            working = [job for job in self._at_work if not job.request.over]
            requests = {id(job.request) for job in [*jobs, *working]}
            left = self.figures.seconds(working)
            if working:
                left = max(0.0, left - (time.monotonic() - self._since))
            first = [job for job in jobs if job.clause == 0]
            return len(requests), left + self.figures.seconds(first)

    # --- this thread ----------------------------------------------------------------------

    def run(self) -> None:
        if not self._begin():
            return
        while (batch := self._next()) is not None:
            self._say(batch)
        self.networks.free()

    def _begin(self) -> bool:
        trouble: BabbleFishError | None = None
        try:
            seconds = self.networks.start(self._tell)
            if not self.sampling.steps:
                self.sampling = dataclasses.replace(self.sampling, steps=steps_for(seconds))
            if self._listen is not False:
                self._listener = round_trip.load(self._weights_dir, always=self._listen is True)
        except BabbleFishError as error:
            trouble = error
        except Exception as error:
            log.error("cannot start", **_where(error))
            trouble = SynthesisError("not_ready", "F5-TTS cannot be started here, see the log.")
        self.message = trouble.message if trouble else ""
        self._ready(trouble)
        return trouble is None

    def _tell(self, message: str) -> None:
        self.message = message

    def _next(self) -> list[Job] | None:
        """Waits for something to say. None: closing."""
        with self.lock:
            while not self._closing:
                batch = self.schedule.take(self.limits)
                late = [job for job in batch if self._too_late(job.request)]
                for job in late:
                    self._fail(job.request, SynthesisError("busy", "It could not begin in time."))
                batch = [job for job in batch if job not in late]
                if batch:
                    self._at_work, self._since = batch, time.monotonic()
                    return batch
                if not late:
                    self.lock.wait()
        return None

    def _too_late(self, request: Request) -> bool:
        return request.begun is None and time.monotonic() > request.begin_by

    def _say(self, batch: list[Job]) -> None:
        begun = time.monotonic()
        for job in batch:
            if job.request.begun is None:
                job.request.begun = begun
        try:
            self.networks.get(batch[0].request.checkpoint, self._tell)
            spoken = self._speak_all(batch)
        except NobodyWaits:
            return
        except BabbleFishError as error:
            self._fail_all(batch, SynthesisError("synthesis_failed", error.message))
        except Exception as error:
            log.error("a batch failed", **_where(error))
            self._fail_all(batch, SynthesisError("synthesis_failed", "F5-TTS failed."))
            self._look_after_the_device()
        else:
            self._failures = 0
            took = time.monotonic() - begun
            with self.lock:
                seconds = sum(len(samples) for samples in spoken) / sound.RATE
                self.figures.batch(sum(job.frames for job in batch), took, seconds)
            for job, samples in zip(batch, spoken, strict=True):
                self._judge(job, samples)
        finally:
            with self.lock:
                self._at_work = []

    def _speak_all(self, batch: list[Job], again: bool = False) -> list[np.ndarray]:
        """(n,) float32 at 24 kHz for each, in halves where memory does not last for all."""
        key = batch[0].request.checkpoint
        try:
            rows = [self._row(key, job) for job in batch]
            return self.networks.speak(key, rows, self.sampling, lambda: self._check(batch))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        self.networks.free(keep=key)
        if len(batch) == 1:
            if again:
                message = "The memory does not suffice for this sentence."
                raise SynthesisError("synthesis_failed", message)
            return self._speak_all(batch, again=True)
        self.limits = self.limits.halved(len(batch))
        log.warning("memory ran out", rows=len(batch), now=self.limits.rows)
        half = (len(batch) + 1) // 2
        return [*self._speak_all(batch[:half]), *self._speak_all(batch[half:])]

    def _row(self, key: str, job: Job) -> Row:
        reference = job.request.reference
        vocabulary = self.networks.get(key, self._tell).vocabulary
        if key not in reference.symbols:
            reference.symbols[key] = text.symbols(reference.words, vocabulary)
        said = text.joined(reference.symbols[key], text.symbols(job.text, vocabulary))
        tokens = vocabulary.numbers(said)
        return Row(reference.mel, tokens, max(job.frames, len(tokens) + 1), job.seed)

    def _check(self, batch: Sequence[Job]) -> None:
        if self._closing or all(job.request.over for job in batch):
            raise NobodyWaits

    def _judge(self, job: Job, samples: np.ndarray) -> None:
        """Send it off, or have it said again."""
        request = job.request
        if request.over:
            return
        expected = pace.spoken_seconds(job.text, request.reference.pace)
        verdict = guards.judge(samples, expected)
        said = guards.finished(samples) if verdict.fault is None else samples
        if verdict.fault is None and self._sounds_wrong(job, said):
            verdict = guards.Verdict("words", 1.1)
        if verdict.fault is None:
            self._deliver(job, said)
        elif job.attempt + 1 < _TRIES:
            log.info("said again", fault=verdict.fault, attempt=job.attempt + 1)
            job.attempt += 1
            job.seed += 7919
            job.new_frames = round(job.new_frames * verdict.time)
            self.submit([job])
        else:
            log.warning("not said", fault=verdict.fault)
            message = "F5-TTS did not manage to say this."
            self._fail(request, SynthesisError("synthesis_failed", message))

    def _sounds_wrong(self, job: Job, said: np.ndarray) -> bool:
        listener, request = self._listener, job.request
        if listener is None or not listener.worthwhile:
            return False
        return listener.is_wrong(said, request.language, job.text, request.reference.words)

    def _deliver(self, job: Job, samples: np.ndarray) -> None:
        request = job.request
        request.parts[job.clause, job.piece] = samples
        parts = [request.parts.get((job.clause, piece)) for piece in range(job.pieces)]
        whole = [part for part in parts if part is not None]
        if len(whole) < len(parts):
            return
        now = time.monotonic()
        result = ClauseSpoken(
            request_id=request.id, speaker_name=request.speaker_name, clause=job.clause,
            last=job.clause + 1 == request.clauses, audio=encode_audio(_with_pauses(whole)),
            sample_rate=sound.RATE, latency_ms=1000 * (now - request.arrived),
        )  # fmt: skip
        with self.lock:
            if request.over:
                return
            if job.clause == 0 and request.begun is not None:
                self.figures.first_clause(now - request.begun)
            request.done[job.clause] = result
            while request.told in request.done:
                request.tell(request.done.pop(request.told))
                request.told += 1
            request.over = request.told == request.clauses

    def _fail_all(self, batch: Sequence[Job], error: SynthesisError) -> None:
        for job in batch:
            self._fail(job.request, error)

    def _fail(self, request: Request, error: SynthesisError) -> None:
        with self.lock:
            if not request.over:
                request.over = True
                self.schedule.drop(request)
                request.tell(error)

    def _look_after_the_device(self) -> None:
        """After failures in a row: load everything anew, and say so where that fails, too."""
        self._failures += 1
        if self._failures < _FAILURES:
            return
        self._failures = 0
        self.networks.free()
        while not self._closing and not self._begin():
            with self.lock:
                self.lock.wait(10.0)


def _where(error: Exception) -> dict[str, str]:
    """What may be logged of an error: neither its message nor values, which may be speech."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    return {
        "kind": type(error).__name__,
        "at": " > ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames),
    }


def new_frames(words: str, speaking_pace: float) -> int:
    """That ``words`` are given."""
    return round(pace.seconds_for(words, speaking_pace) * FRAMES_PER_SECOND)


def _with_pauses(parts: Sequence[np.ndarray]) -> np.ndarray:
    pause = np.zeros(round(_JOINT * sound.RATE), np.float32)
    joined = [piece for part in parts for piece in (part, pause)]
    return np.concatenate(joined[:-1])
