"""What is counted while the program runs: one place where every layer leaves its figures.

Counters and durations of this process, for Prometheus and for the host's page. Labels are stages,
codes and outcomes: never texts, names, keys, nor codes of rooms. What can be read off something
that is there anyway (queues, rooms, laptops) is not counted here but read when it is asked for.
Knows no HTTP.
"""

from __future__ import annotations

import math
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric

PREFIX = "babblefish_"
QUANTILES = (0.5, 0.95, 0.99)
RECENT_S = 900.0
"""over which the quantiles of ``Durations`` are taken"""
_MOST_RECENT = 2000
"""durations of one kind that are kept for them"""
_MOST_LABELS = 200
"""values of one label; what comes beyond them is counted as "other", whoever makes them up"""
_LABEL = re.compile(r"[a-z][a-z0-9_]{0,39}")
_SECONDS = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0),
    *(5.0, 8.0, 13.0, 20.0, 30.0, 60.0),
)

REGISTRY = CollectorRegistry()
"""of this process; add your own counters here, with ``PREFIX`` and labels that are bounded"""


class Labels:
    """Values of one label, which stay few and plain whatever is asked for."""

    def __init__(self, most: int = _MOST_LABELS) -> None:
        self._known: set[str] = set()
        self._most = most

    def of(self, value: str) -> str:
        """``value``, or "other"."""
        if value in self._known:
            return value
        if len(self._known) >= self._most or not _LABEL.fullmatch(value):
            return "other"
        self._known.add(value)
        return value


def quantile(ordered: Sequence[float], share: float) -> float:
    """Nearest rank; ``ordered`` is not empty."""
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


class Durations:
    """Durations of one kind, told apart by one label: a histogram for Prometheus to add up, and
    the quantiles of the last quarter of an hour to be looked at as they are."""

    def __init__(
        self, name: str, meaning: str, label: str, registry: CollectorRegistry = REGISTRY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._name, self._meaning, self._label = name, meaning, label
        self._clock = clock
        self._labels = Labels()
        self._recent: dict[str, deque[tuple[float, float]]] = {}
        self._histogram = Histogram(
            f"{PREFIX}{name}_seconds", meaning, (label,), registry=registry, buckets=_SECONDS
        )
        registry.register(self)

    def observe(self, value: str, seconds: float) -> None:
        """value: of the label."""
        value = self._labels.of(value)
        self._histogram.labels(value).observe(seconds)
        kept = self._recent.setdefault(value, deque(maxlen=_MOST_RECENT))
        kept.append((self._clock(), seconds))

    def recent(self, value: str, within: float = RECENT_S) -> list[tuple[float, float]]:
        """(seconds ago, duration), the oldest first."""
        now = self._clock()
        kept = self._recent.get(value, deque())
        while kept and now - kept[0][0] > RECENT_S:
            kept.popleft()
        return [(now - at, seconds) for at, seconds in kept if now - at <= within]

    def values(self) -> list[str]:
        """Of the label, in the order in which they came up."""
        return list(self._recent)

    def quantiles(self, value: str, within: float = RECENT_S) -> tuple[float, ...]:
        """One for each of ``QUANTILES``; empty where nothing was observed of late."""
        ordered = sorted(seconds for _, seconds in self.recent(value, within))
        return tuple(quantile(ordered, share) for share in QUANTILES) if ordered else ()

    def describe(self) -> Iterable[Metric]:
        return (self._family(),)

    def collect(self) -> Iterator[Metric]:
        family = self._family()
        for value in self.values():
            for share, seconds in zip(QUANTILES, self.quantiles(value), strict=False):
                family.add_metric([value, str(share)], seconds)
        yield family

    def _family(self) -> GaugeMetricFamily:
        return GaugeMetricFamily(
            f"{PREFIX}{self._name}_recent_seconds",
            f"{self._meaning} Quantiles of the last {RECENT_S / 60:.0f} minutes.",
            labels=[self._label, "quantile"],
        )


TURNS = Durations(
    "turn",
    "From the last voiced sample to: transcript (read by those who speak the language), caption "
    "(each final translated one), sound (the first is ready), heard (a listener's begins).",
    "until",
)
STAGES = Durations("stage", "Work on one utterance, by stage.", "stage")
UTTERANCES = Counter(
    f"{PREFIX}utterances", "What people said, by what became of it.", ("outcome",),
    registry=REGISTRY,
)  # fmt: skip
ERRORS = Counter(
    f"{PREFIX}errors", "What went wrong and was told to somebody, by where and code.",
    ("stage", "code"), registry=REGISTRY,
)  # fmt: skip
DROPPED = Counter(f"{PREFIX}dropped", "Left out under load, by what.", ("what",), registry=REGISTRY)
for _what in ("microphone_frame", "translation_sound", "passing_event"):
    DROPPED.labels(_what)
_stages, _codes, _whats = Labels(), Labels(), Labels()


def error(stage: str, code: str) -> None:
    """Something went wrong: ``BabbleFishError.stage`` and its code."""
    ERRORS.labels(_stages.of(stage), _codes.of(code)).inc()


def dropped(what: str, number: int = 1) -> None:
    """Something of little value was left out so that the rest keeps up."""
    DROPPED.labels(_whats.of(what)).inc(number)


def total(counter: Counter, label: str | None = None) -> float:
    """Its sum over all labels, or over those of which one is ``label``."""
    return sum(
        sample.value for family in counter.collect() for sample in family.samples
        if sample.name.endswith("_total") and label in (None, *sample.labels.values())
    )  # fmt: skip
