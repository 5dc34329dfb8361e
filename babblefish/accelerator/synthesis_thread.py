"""The thread that speaks: loads networks, takes what waits, says it, looks at what came out.

Everything that touches a network happens on this one thread. It outlives faults: what a batch
raises costs its requests, memory that runs out costs the batch its size.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import structlog
import torch

from babblefish.accelerator import checkpoints, guards, pace, sound, text
from babblefish.accelerator.f5 import (
    FRAMES_PER_SECOND,
    CheckpointFiles,
    F5Network,
    Vocoder,
    best_precision,
)
from babblefish.accelerator.sampling import Row, Sampling
from babblefish.accelerator.scheduling import Figures, Job, Limits, Request, Schedule
from babblefish.accelerator_protocol import ClauseSpoken, encode_audio
from babblefish.engine.precision import Precision
from babblefish.errors import BabbleFishError, SynthesisError, WeightsError

log = structlog.get_logger("accelerator")
_TRIES = 3
_JOINT = 0.12
"""seconds between the pieces of a long clause"""


class NobodyWaits(Exception):
    """For what is being said; raised between two steps."""


class SynthesisThread(threading.Thread):
    """Start it once. ``lock`` protects ``schedule``, ``figures`` and the requests' flags."""

    def __init__(
        self, weights_dir: Path, device: str, precision: Precision | None, limits: Limits,
        sampling: Sampling | None, *, compiled: bool = False, networks: int = 2,
        ready: Callable[[BabbleFishError | None], None],
    ) -> None:  # fmt: skip
        """sampling: None chooses by what the device manages. networks: kept loaded at most.
        ready: called on this thread, with what stands in the way or with None."""
        super().__init__(name="synthesis", daemon=True)
        self.lock = threading.Condition()
        self.schedule, self.figures = Schedule(), Figures()
        self.message = "Starting"
        self.device, self.limits = device, limits
        self.sampling = sampling or Sampling(7)
        self.precision = precision
        self._weights_dir, self._compiled, self._most_networks = weights_dir, compiled, networks
        self._networks: OrderedDict[str, F5Network] = OrderedDict()
        self._vocoder: Vocoder | None = None
        self._ready, self._closing = ready, False
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
        try:
            self._load()
        except BabbleFishError as error:
            self.message = error.message
            self._ready(error)
            return
        except Exception as error:
            log.exception("cannot start", kind=type(error).__name__)
            self.message = "F5-TTS cannot be started here."
            self._ready(SynthesisError("not_ready", self.message))
            return
        self.message = ""
        self._ready(None)
        while (batch := self._next()) is not None:
            self._say(batch)

    def _load(self) -> None:
        self.message = "Loading the vocoder"
        speakers = checkpoints.speakers_of(self._weights_dir)
        if not speakers:
            raise WeightsError(
                "missing",
                "There are no weights of F5-TTS yet. Fetch them with a network: "
                f"{checkpoints.command(['base'])}. {checkpoints.NOTE}",
            )
        self._vocoder = Vocoder(self._weights_dir / checkpoints.VOCOS.folder, self.device)
        first = next(iter(speakers.values()))
        self._network(first.key)

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
            spoken = self._speak_all(batch)
        except NobodyWaits:
            return
        except BabbleFishError as error:
            self._fail_all(batch, SynthesisError("synthesis_failed", error.message))
        except Exception as error:
            log.exception("a batch failed", kind=type(error).__name__)
            self._fail_all(batch, SynthesisError("synthesis_failed", "F5-TTS failed."))
        else:
            took = time.monotonic() - begun
            with self.lock:
                seconds = sum(len(samples) for samples in spoken) / sound.RATE
                self.figures.batch(sum(job.frames for job in batch), took, seconds)
            for job, samples in zip(batch, spoken, strict=True):
                self._judge(job, samples)
        finally:
            with self.lock:
                self._at_work = []

    def _speak_all(self, batch: list[Job]) -> list[np.ndarray]:
        """(n,) float32 at 24 kHz for each, in halves where memory does not last for all."""
        network = self._network(batch[0].request.checkpoint)
        rows = [self._row(network, job) for job in batch]
        try:
            mels = network.sample(rows, self.sampling, lambda: self._check(batch))
            assert self._vocoder is not None
            return [self._vocoder.speak(mel) for mel in mels]
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
        self._free_memory(keep=batch[0].request.checkpoint)
        if len(batch) == 1:
            return self._speak_once_more(network, batch[0])
        self.limits = self.limits.halved(len(batch))
        log.warning("memory ran out", rows=len(batch), now=self.limits.rows)
        half = (len(batch) + 1) // 2
        return [*self._speak_all(batch[:half]), *self._speak_all(batch[half:])]

    def _speak_once_more(self, network: F5Network, job: Job) -> list[np.ndarray]:
        """A single row, after everything else was freed."""
        try:
            mel = network.sample(
                [self._row(network, job)], self.sampling, lambda: self._check([job])
            )[0]
            assert self._vocoder is not None
            return [self._vocoder.speak(mel)]
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
            self._free_memory(keep="")
            raise SynthesisError(
                "synthesis_failed", "The memory does not suffice for this sentence."
            ) from None

    def _row(self, network: F5Network, job: Job) -> Row:
        reference = job.request.reference
        if reference.gone:
            raise NobodyWaits
        key = job.request.checkpoint
        if key not in reference.symbols:
            reference.symbols[key] = text.symbols(reference.words, network.vocabulary)
        said = text.joined(reference.symbols[key], text.symbols(job.text, network.vocabulary))
        tokens = network.vocabulary.numbers(said)
        frames = max(job.frames, len(tokens) + 1)
        return Row(reference.mel, tokens, frames, job.seed)

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
        if verdict.fault is None:
            self._deliver(job, guards.finished(samples))
        elif job.attempt + 1 < _TRIES:
            log.info("said again", fault=verdict.fault, attempt=job.attempt + 1)
            job.attempt += 1
            job.seed += 7919
            job.new_frames = round(job.new_frames * verdict.time)
            self.submit([job])
        else:
            message = "F5-TTS did not manage to say this."
            self._fail(request, SynthesisError("synthesis_failed", message))

    def _deliver(self, job: Job, samples: np.ndarray) -> None:
        request = job.request
        now = time.monotonic()
        result = ClauseSpoken(
            request_id=request.id, speaker_name=request.speaker_name, clause=job.clause,
            last=job.clause + 1 == request.clauses, audio=encode_audio(samples),
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

    # --- networks and memory --------------------------------------------------------------

    def _network(self, key: str) -> F5Network:
        if key in self._networks:
            self._networks.move_to_end(key)
            return self._networks[key]
        checkpoint = checkpoints.named(key)
        self.message = f"Loading {checkpoint.model.name}"
        while len(self._networks) >= self._most_networks:
            self._networks.popitem(last=False)
        self._empty_cache()
        checkpoints.verify(checkpoint, self._weights_dir)
        files = CheckpointFiles(
            checkpoint.weights(self._weights_dir), checkpoint.vocabulary(self._weights_dir),
            checkpoint.generation,
        )  # fmt: skip
        precision = self.precision or best_precision(self.device)
        network = F5Network(files, self.device, precision, compiled=self._compiled)
        self._networks[key] = network
        self.message = ""
        return network

    def _free_memory(self, keep: str) -> None:
        for key in [key for key in self._networks if key != keep]:
            del self._networks[key]
        self._empty_cache()

    def _empty_cache(self) -> None:
        if self.device == "cuda":
            torch.cuda.empty_cache()


def new_frames(words: str, speaking_pace: float) -> int:
    """That ``words`` are given."""
    return round(pace.seconds_for(words, speaking_pace) * FRAMES_PER_SECOND)


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
