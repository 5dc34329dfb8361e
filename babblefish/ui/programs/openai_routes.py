"""Puts together what reads aloud for programs, and what speaks OpenAI's interface."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter

from babblefish.ui.programs.caller import Gate
from babblefish.ui.programs.openai_listening import create_openai_listening_router
from babblefish.ui.programs.openai_models import create_models_router
from babblefish.ui.programs.openai_speech import create_openai_speech_router
from babblefish.ui.programs.reading import Reader
from babblefish.ui.programs.speech_routes import create_speech_router
from babblefish.ui.programs.uploads import Uploads

if TYPE_CHECKING:
    from babblefish.engine.engine import Engine


def create_openai_router(engine: Engine, gate: Gate, uploads: Uploads) -> APIRouter:
    """``/speak`` and everything under ``/v1``; ``openai_errors.OpenAIErrors`` goes with it."""
    reader = Reader(engine, gate)
    router = APIRouter()
    router.include_router(create_speech_router(engine, gate, reader))
    router.include_router(create_openai_speech_router(gate, reader))
    router.include_router(create_openai_listening_router(engine, gate, uploads))
    router.include_router(create_models_router(gate))
    return router
