"""All that programs may ask the server for: which routes there are, and what they share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI

from babblefish.settings import Settings
from babblefish.ui.access import Access
from babblefish.ui.programs.gate import KeyGate
from babblefish.ui.programs.keys import Keys
from babblefish.ui.programs.listening_api import create_listening_router
from babblefish.ui.programs.openai_routes import create_openai_router
from babblefish.ui.programs.rooms_socket import create_rooms_socket_router
from babblefish.ui.programs.status import create_status_router
from babblefish.ui.programs.text import create_text_router
from babblefish.ui.programs.uploads import Uploads

if TYPE_CHECKING:
    from babblefish.engine.engine import Engine
    from rooms.hub import Hub


def add_programs(
    app: FastAPI, settings: Settings, hub: Hub, engine: Engine, access: Access
) -> None:
    """Add the routes, and ``keys``, ``gate`` and ``uploads`` to ``app.state``."""
    state = app.state
    state.keys = Keys(hub.storage)
    state.gate = gate = KeyGate(state.keys, access, settings)
    state.uploads = uploads = Uploads.of(settings)
    for router in (
        create_text_router(engine, gate, access),
        create_listening_router(engine, gate, uploads),
        create_openai_router(engine, gate, uploads),
        create_rooms_socket_router(hub, engine, access, gate),
        create_status_router(hub, engine, gate),
    ):
        app.include_router(router)
