"""Figures of the laptop for Prometheus: how long speech takes, the queue, memory, errors by code.

Holds no text, no names and nobody's id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily

from babblefish.accelerator_protocol import Health

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.05, 0.1, 0.15, 0.25, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 13.0, 30.0)
_FACTORS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0, 8.0, 16.0)
_PREFIX = "babblefish_laptop_"


class Metrics:
    """A registry of its own, so that several may live in one process."""

    def __init__(self, health: Callable[[], Health]) -> None:
        self._registry = CollectorRegistry()
        self.first_clause = self._histogram(
            "first_clause_seconds", "From a request's arrival to its first clause.", _SECONDS
        )
        self.request = self._histogram(
            "request_seconds", "From a request's arrival to its last clause.", _SECONDS
        )
        self.factor = self._histogram(
            "real_time_factor", "Seconds of work for one second of speech.", _FACTORS
        )
        self.requests = Counter(
            f"{_PREFIX}requests", "Requests to speak, by how they came and ended.",
            ("transport", "outcome"), registry=self._registry,
        )  # fmt: skip
        self.voices = Counter(
            f"{_PREFIX}voice_changes", "References stored and deleted.", ("change",),
            registry=self._registry,
        )  # fmt: skip
        self.errors = Counter(
            f"{_PREFIX}errors", "What went wrong, by code.", ("code",), registry=self._registry
        )
        self._registry.register(_Now(health))

    def _histogram(self, name: str, meaning: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(_PREFIX + name, meaning, registry=self._registry, buckets=buckets)

    def render(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)


class _Now:
    """What is read at the moment of asking."""

    def __init__(self, health: Callable[[], Health]) -> None:
        self._health = health

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return ()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        now = self._health()
        yield _gauge("ready", "1 when it can speak.", float(now.ready))
        yield _gauge("waiting", "Requests in the queue and at work.", now.waiting)
        yield _gauge(
            "expected_wait_seconds", "Until a new request would begin.", now.expected_wait_s
        )
        yield _gauge("voices", "References in the cache.", now.voices)
        if now.memory_used_mb is not None:
            yield _gauge("memory_used_bytes", "Of the accelerator.", now.memory_used_mb * 2**20)
        if now.memory_total_mb is not None:
            yield _gauge("memory_total_bytes", "Of the accelerator.", now.memory_total_mb * 2**20)


def _gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(_PREFIX + name, meaning, value=value)
