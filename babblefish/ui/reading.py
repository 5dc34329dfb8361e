"""How the server does at this moment, read off what is there anyway: one object of plain figures.

A few milliseconds, on the event loop. Holds no name, text, key or code of a room.
"""

from __future__ import annotations

import contextlib
import os
import statistics
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from babblefish.engine.cloning_messages import LaptopState
    from babblefish.engine.engine import Engine
    from babblefish.engine.workers import WorkerPool
    from babblefish.ui.rtc import Call
    from rooms.hub import Hub
    from rooms.member import Member

_LAG_COUNTS_S = 0.05
"""listeners who are less behind have nothing to hear"""


@dataclass(frozen=True, slots=True)
class Sources:
    """What is read. ``calls``: the WebRTC connections; ``is_ready``: whether models are loaded."""

    hub: Hub
    engine: Engine
    calls: Callable[[], Mapping[str, Call]]
    is_ready: Callable[[], bool]
    process: psutil.Process = field(default_factory=psutil.Process)


@dataclass(frozen=True, slots=True)
class Cost:
    cpu_seconds: float = 0.0
    memory: int = 0
    """bytes, resident"""


@dataclass(frozen=True, slots=True)
class PoolReading:
    """One stage's workers, since the server started."""

    name: str
    waiting: int
    calls: int
    errors: int
    restarts: int
    dropped: int
    busy_seconds: float
    pids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    profile: str
    ready: bool
    strain: float
    rooms: int
    connected: int
    """people with a connection"""
    away: int
    at_doors: int
    speaking: int
    calls: int
    """WebRTC connections that carry sound"""
    lag_median: float
    """seconds, of those who have something to hear"""
    lag_worst: float
    frames_waiting: int
    utterances: int
    """over, and not wholly published"""
    pools: tuple[PoolReading, ...]
    laptops: tuple[LaptopState, ...]
    storage_ok: bool
    storage_message: str
    storage_waiting: int
    storage_lost: int
    server: Cost
    models: Cost
    open_files: int
    threads: int

    @property
    def waiting(self) -> int:
        """Jobs in all queues."""
        return sum(pool.waiting for pool in self.pools)


def read(sources: Sources) -> Reading:
    hub, engine = sources.hub, sources.engine
    rooms = tuple(hub.rooms.values())
    members = [member for room in rooms for member in room.members.values()]
    connected = [member for member in members if member.connected]
    behind = _behind(connected)
    waiting = [member.session.waiting for member in members]
    pools = tuple(_pool(pool) for pool in engine.pools)
    health = hub.storage.health if hub.storage is not None else None
    with sources.process.oneshot():
        times, memory = sources.process.cpu_times(), sources.process.memory_info()
        threads = sources.process.num_threads()
    return Reading(
        engine.profile_name, sources.is_ready(), engine.strain, len(rooms), len(connected),
        len(members) - len(connected), sum(len(room.admission.waiting) for room in rooms),
        sum(member.session.speaking for member in connected),
        sum(call.link is not None for call in sources.calls().values()),
        statistics.median(behind) if behind else 0.0, max(behind, default=0.0),
        sum(frames for frames, _ in waiting), sum(utterances for _, utterances in waiting),
        pools, hub.laptops.states,
        health is None or health.state == "ok", health.message if health else "",
        health.waiting if health else 0, health.dropped if health else 0,
        Cost(times.user + times.system, memory.rss),
        _cost(pid for pool in pools for pid in pool.pids), _open_files(), threads,
    )  # fmt: skip


def _behind(listeners: Collection[Member]) -> list[float]:
    lags = (member.playout.lag for member in listeners)
    return [lag for lag in lags if lag > _LAG_COUNTS_S]


def _pool(pool: WorkerPool) -> PoolReading:
    stats = pool.stats
    return PoolReading(
        pool.name, pool.depth, stats.calls, stats.errors, stats.restarts, stats.dropped,
        stats.busy_seconds, tuple(pid for pid in pool.pids if pid),
    )  # fmt: skip


def _cost(pids: Iterable[int]) -> Cost:
    """Of processes of which some may be gone by now."""
    seconds, memory = 0.0, 0
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            with process.oneshot():
                times = process.cpu_times()
                memory += process.memory_info().rss
                seconds += times.user + times.system
    return Cost(seconds, memory)


def _open_files() -> int:
    try:
        return len(os.listdir("/proc/self/fd")) - 1  # but for the one that lists
    except OSError:  # no /proc on this system
        return 0
