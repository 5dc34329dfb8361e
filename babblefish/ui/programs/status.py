"""How the server does: alive, ready, and what is going on in figures.

No names, codes or tokens of rooms, people, programs or laptops. What is counted over time is
``/metrics``' business.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import psutil
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from babblefish.engine.cloning_messages import LaptopCondition, LaptopState
from babblefish.engine.profiles import available_cores
from babblefish.ui.programs.caller import Caller, needs
from babblefish.ui.programs.gate import KeyGate
from babblefish.ui.programs.refusals import REFUSALS

if TYPE_CHECKING:
    from babblefish.engine.engine import Engine
    from babblefish.engine.workers import WorkerPool
    from rooms.hub import Hub

State = Literal["ok", "starting", "failed"]


class HealthAnswer(BaseModel):
    status: State


class ServiceStatus(BaseModel):
    status: State
    profile: str
    uptime_seconds: float


class ClientsStatus(BaseModel):
    connected: int
    """participants of all rooms with a connection"""
    away: int
    """those whose phone is expected back"""
    programs: int
    """connections and long jobs of programs"""


class RoomsStatus(BaseModel):
    open: int
    in_use: int
    """in which somebody is connected"""
    people: int


class AcceleratorStatus(BaseModel):
    state: LaptopCondition
    in_use: bool
    """whether it would be asked now"""
    device: str
    languages: list[str]
    waiting: int
    first_clause_seconds: float | None


class ModelStatus(BaseModel):
    stage: str
    model: str
    size: str
    """"" where there is only one"""
    processes: int
    waiting: int
    """jobs in the queue"""
    jobs: int
    """since the start"""
    errors: int
    restarts: int
    dropped: int
    """jobs that were given up since too many were waiting"""


class CpuStatus(BaseModel):
    cores: int
    load: float
    """processes that want a core, on average of one minute"""
    strain: float
    """the models' work as a part of the cores: above 1 they are too few"""
    memory_mb: float
    """of the server and its worker processes"""


class StatusAnswer(BaseModel):
    service: ServiceStatus
    clients: ClientsStatus
    rooms: RoomsStatus
    accelerators: list[AcceleratorStatus]
    models: list[ModelStatus]
    cpu: CpuStatus


def create_status_router(
    hub: Hub, engine: Engine, gate: KeyGate, clock: Callable[[], float] = time.monotonic
) -> APIRouter:
    """``request.app.state`` has ``ready`` and ``failure``, see ``server.create_app``."""
    router = APIRouter(tags=["server"])
    began = clock()
    unready: dict[int | str, dict[str, Any]] = {
        503: {"model": HealthAnswer, "description": "Not ready, or it never will be."}
    }

    @router.get("/health", response_model=HealthAnswer, responses=unready)
    async def health(request: Request) -> JSONResponse:
        """``ok`` once people can be heard and translated, ``starting`` until then; 503 only when
        the server could not start."""
        state = _state(request)
        return JSONResponse({"status": state}, 503 if state == "failed" else 200)

    @router.get("/health/live")
    async def live() -> HealthAnswer:
        """Whether the server answers at all: where it does not, start it anew."""
        return HealthAnswer(status="ok")

    @router.get("/health/ready", response_model=HealthAnswer, responses=unready)
    async def ready(request: Request) -> JSONResponse:
        """Whether people and programs can be sent here: 503 while models load."""
        state = _state(request)
        return JSONResponse({"status": state}, 200 if state == "ok" else 503)

    @router.get("/status", responses={s: REFUSALS[s] for s in (401, 403, 429, 503)})
    async def status(request: Request, caller: Caller = needs(gate, "watch")) -> StatusAnswer:
        """What the server is doing, in figures."""
        return StatusAnswer(
            service=ServiceStatus(
                status=_state(request), profile=engine.profile_name,
                uptime_seconds=round(clock() - began, 1),
            ),
            clients=_clients(hub, gate),
            rooms=_rooms(hub),
            accelerators=[_accelerator(state) for state in hub.laptops.states],
            models=[_model(pool) for pool in engine.pools],
            cpu=_cpu(engine),
        )  # fmt: skip

    return router


def _state(request: Request) -> State:
    state = request.app.state
    if state.failure is not None:
        return "failed"
    return "ok" if state.ready.is_set() else "starting"


def _clients(hub: Hub, gate: KeyGate) -> ClientsStatus:
    members = [member for room in hub.rooms.values() for member in room.members.values()]
    connected = sum(member.connected for member in members)
    return ClientsStatus(connected=connected, away=len(members) - connected, programs=gate.open)


def _rooms(hub: Hub) -> RoomsStatus:
    rooms = list(hub.rooms.values())
    return RoomsStatus(
        open=len(rooms),
        in_use=sum(any(m.connected for m in room.members.values()) for room in rooms),
        people=sum(len(room.members) for room in rooms),
    )


def _accelerator(state: LaptopState) -> AcceleratorStatus:
    health = state.health
    return AcceleratorStatus(
        state=state.condition, in_use=state.asked_now, device=health.device if health else "",
        languages=sorted(health.languages) if health else [],
        waiting=health.waiting if health else 0, first_clause_seconds=state.figures.first_clause_s,
    )  # fmt: skip


def _model(pool: WorkerPool) -> ModelStatus:
    stats = pool.stats
    return ModelStatus(
        stage=pool.name, model=pool.spec.factory.rpartition(":")[2],
        size=str(pool.spec.options.get("size", "")), processes=len(pool.pids), waiting=pool.depth,
        jobs=stats.calls, errors=stats.errors, restarts=stats.restarts, dropped=stats.dropped,
    )  # fmt: skip


def _cpu(engine: Engine) -> CpuStatus:
    pids = [os.getpid(), *(pid for pool in engine.pools for pid in pool.pids)]
    return CpuStatus(
        cores=available_cores(), load=round(os.getloadavg()[0], 2),
        strain=round(engine.strain, 2), memory_mb=round(sum(map(_memory, pids)) / 2**20, 1),
    )  # fmt: skip


def _memory(pid: int) -> int:
    """Bytes; 0 for a process that has just ended."""
    try:
        return psutil.Process(pid).memory_info().rss
    except psutil.Error:
        return 0
