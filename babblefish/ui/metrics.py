"""``/metrics``: the program's figures in Prometheus' text format, for callers who may watch.

What was counted (``babblefish.metrics``), and what is read at the moment of asking: rooms, people,
queues, workers, laptops, storage, processes. Other parts add theirs with ``Metrics.gauge``, or as
counters in ``babblefish.metrics.REGISTRY``. No label holds a name, a key or a room's code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics

from babblefish.metrics import PREFIX, REGISTRY
from babblefish.ui.api import ErrorAnswer
from babblefish.ui.programs.caller import Caller, Gate, needs
from babblefish.ui.reading import Reading, read
from babblefish.ui.watch import Watch

if TYPE_CHECKING:
    from babblefish.engine.cloning_messages import LaptopState

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPEN_CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_CONDITIONS = ("connecting", "ready", "preparing", "resting", "away", "refused")


class Metrics:
    """Of one server; ``app.state.metrics``."""

    def __init__(self, watch: Watch) -> None:
        self._registry = CollectorRegistry()
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self._watch = watch
        self._registry.register(self)

    def gauge(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """Show ``value()`` as ``babblefish_<name>``, asked for on the event loop at each scrape."""
        self._gauges[name] = (meaning, value)

    def render(self, open_format: bool = False) -> bytes:
        """Everything. open_format: as OpenMetrics 1.0."""
        both = _Both(self._registry, REGISTRY)
        if open_format:
            return openmetrics.generate_latest(both, version="1.0.0")
        return generate_latest(both)

    def describe(self) -> tuple[Metric, ...]:
        return ()

    def collect(self) -> Iterator[Metric]:
        reading = read(self._watch.sources)
        yield from _server(self._watch, reading)
        yield from _people(reading)
        yield from _workers(reading)
        yield from _laptops(reading.laptops)
        yield from _processes(reading)
        for name, (meaning, value) in self._gauges.items():
            yield _gauge(name, meaning, value())


class _Both:
    """Two registries as one."""

    def __init__(self, *registries: CollectorRegistry) -> None:
        self._registries = registries

    def collect(self) -> Iterator[Metric]:
        for registry in self._registries:
            yield from registry.collect()


def create_metrics_router(metrics: Metrics, gate: Gate) -> APIRouter:
    router = APIRouter(tags=["server"])
    shown: dict[int | str, dict[str, Any]] = {
        200: {"content": {CONTENT_TYPE: {}, OPEN_CONTENT_TYPE: {}}, "description": "The figures"},
        **{status: {"model": ErrorAnswer} for status in (401, 403, 429, 503)},
    }

    @router.get("/metrics", response_class=Response, responses=shown)
    async def figures(request: Request, _: Caller = needs(gate, "watch")) -> Response:
        """Figures for Prometheus. Bearer: a key that may watch."""
        open_format = "application/openmetrics-text" in request.headers.get("accept", "")
        content_type = OPEN_CONTENT_TYPE if open_format else CONTENT_TYPE
        body = metrics.render(open_format)
        return Response(body, headers={"Content-Type": content_type, "Cache-Control": "no-store"})

    return router


# --- what is read ---------------------------------------------------------------------------


def _gauge(name: str, meaning: str, value: float | None = None) -> GaugeMetricFamily:
    family = GaugeMetricFamily(PREFIX + name, meaning)
    if value is not None:
        family.add_metric([], value)
    return family


def _by(
    name: str, meaning: str, label: str, values: dict[str, float | int], counts: bool = False
) -> Metric:
    kind = CounterMetricFamily if counts else GaugeMetricFamily
    family = kind(PREFIX + name, meaning, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family


def _server(watch: Watch, now: Reading) -> Iterator[Metric]:
    about = GaugeMetricFamily(f"{PREFIX}info", "1, with the engine's profile.", labels=["profile"])
    about.add_metric([now.profile], 1)
    yield about
    yield _gauge("ready", "1 once people can be heard and translated.", float(now.ready))
    yield _gauge(
        "strain", "Cores' worth of engine work, as a part of the cores there are.", now.strain
    )
    yield _gauge(
        "loop_lag_seconds", "How late the event loop was at worst in the last few seconds.",
        watch.loop_lag,
    )  # fmt: skip
    yield _gauge("tasks", "asyncio tasks.", len(asyncio.all_tasks()))
    yield _gauge("storage_ok", "0 while what is to be kept cannot be.", float(now.storage_ok))
    lost = CounterMetricFamily(f"{PREFIX}storage_lost_lines", "Transcript lines that were lost.")
    lost.add_metric([], now.storage_lost)
    yield lost


def _people(now: Reading) -> Iterator[Metric]:
    yield _gauge("rooms", "Open rooms.", now.rooms)
    yield _by("people", "People in rooms and at their doors.", "state", {
        "connected": now.connected, "away": now.away, "waiting": now.at_doors,
    })  # fmt: skip
    yield _gauge("active_speakers", "People who are speaking.", now.speaking)
    yield _by("connections", "Open connections of participants.", "transport", {
        "webrtc": now.calls, "websocket": max(0, now.connected - now.calls),
    })  # fmt: skip
    yield _by(
        "lag_seconds", "How far behind listeners are who have something to hear.", "listener",
        {"median": now.lag_median, "worst": now.lag_worst},
    )  # fmt: skip


def _workers(now: Reading) -> Iterator[Metric]:
    pools = now.pools
    waiting = {pool.name: pool.waiting for pool in pools}
    yield _by("queue_depth", "What waits: jobs of each stage, microphone frames, utterances in "
              "work, transcript lines for the disk.", "queue", {
        **waiting, "microphone_frames": now.frames_waiting, "utterances": now.utterances,
        "transcript_lines": now.storage_waiting,
    })  # fmt: skip
    yield _by("worker_calls", "Jobs done, by stage.", "stage",
              {p.name: p.calls for p in pools}, counts=True)  # fmt: skip
    yield _by("worker_errors", "Jobs that failed, by stage.", "stage",
              {p.name: p.errors for p in pools}, counts=True)  # fmt: skip
    yield _by("worker_restarts", "Worker processes that died and were replaced, by stage.",
              "stage", {p.name: p.restarts for p in pools}, counts=True)  # fmt: skip
    yield _by("worker_dropped", "Jobs dropped from a full queue, by stage.", "stage",
              {p.name: p.dropped for p in pools}, counts=True)  # fmt: skip
    yield _by("worker_busy_seconds", "Time in which processes worked, by stage.", "stage",
              {p.name: p.busy_seconds for p in pools}, counts=True)  # fmt: skip
    yield _by("worker_processes", "Running worker processes, by stage.", "stage",
              {p.name: len(p.pids) for p in pools})  # fmt: skip


def _laptops(laptops: tuple[LaptopState, ...]) -> Iterator[Metric]:
    """By their random ids, which the log uses, too."""
    conditions = dict.fromkeys(_CONDITIONS, 0) | {
        condition: sum(laptop.condition == condition for laptop in laptops)
        for condition in {laptop.condition for laptop in laptops}
    }
    yield _by("laptops", "Paired laptops, by how they do.", "condition", dict(conditions))
    yield _by("laptop_ready", "1 while a laptop would be asked to speak.", "laptop",
              {laptop.id: float(laptop.asked_now) for laptop in laptops})  # fmt: skip
    requests = CounterMetricFamily(
        f"{PREFIX}laptop_requests", "Requests to speak in people's own voices.",
        labels=["laptop", "outcome"],
    )  # fmt: skip
    for laptop in laptops:
        for outcome in ("spoken", "failed", "given_up"):
            requests.add_metric([laptop.id, outcome], getattr(laptop.figures, outcome))
    yield requests
    yield _by("laptop_waiting", "Our requests that a laptop has not answered yet.", "laptop",
              {laptop.id: laptop.figures.waiting for laptop in laptops})  # fmt: skip
    yield _by("laptop_first_clause_seconds", "From asking to the first clause, of late.",
              "laptop", {
        laptop.id: laptop.figures.first_clause_s for laptop in laptops
        if laptop.figures.first_clause_s is not None
    })  # fmt: skip
    yield _by("laptop_memory_used_bytes", "Of a laptop's GPU.", "laptop", {
        laptop.id: laptop.health.memory_used_mb * 2**20 for laptop in laptops
        if laptop.health and laptop.health.memory_used_mb is not None
    })  # fmt: skip


def _processes(now: Reading) -> Iterator[Metric]:
    parts = {"server": now.server, "models": now.models}
    yield _by("memory_bytes", "Resident memory. Models that share pages count them each.",
              "part", {part: cost.memory for part, cost in parts.items()})  # fmt: skip
    yield _by("cpu_seconds", "Processor time of the processes that run now.", "part",
              {part: cost.cpu_seconds for part, cost in parts.items()}, counts=True)  # fmt: skip
    yield _gauge("open_files", "Open files and sockets of the server.", now.open_files)
    yield _gauge("threads", "Threads of the server.", now.threads)
