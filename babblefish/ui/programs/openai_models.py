"""The names of models that programs may ask for: OpenAI's, so that nothing has to be set
differently, and "babblefish". Whichever is named, the engine's profile does the work."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel

from babblefish.ui.programs.caller import Caller, Gate, needs
from babblefish.ui.programs.openai_errors import FieldError, OpenAIErrorAnswer, OpenAIRoute

OWN = "babblefish"
SPEAKING = (OWN, "tts-1", "tts-1-hd", "gpt-4o-mini-tts")
TRANSCRIBING = (
    OWN, "whisper-1", "gpt-transcribe", "gpt-4o-transcribe", "gpt-4o-mini-transcribe",
    "gpt-4o-transcribe-diarize",
)  # fmt: skip
_DATED = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_CREATED = 1_790_000_000
"""Unix time, which the interface wants of a model: one that stays the same"""

OPENAI_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": OpenAIErrorAnswer} for status in (400, 401, 403, 404, 411, 413, 429, 503)
}


class ModelAnswer(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int = _CREATED
    owned_by: str = OWN


class ModelsAnswer(BaseModel):
    object: Literal["list"] = "list"
    data: list[ModelAnswer]


def check_model(name: str, known: tuple[str, ...]) -> None:
    """Raises FieldError("model_not_found")."""
    if _DATED.sub("", name) not in known:
        raise FieldError(
            "model", "model_not_found",
            f"There is no such model here. Use one of: {', '.join(known)}.",
        )  # fmt: skip


def create_models_router(gate: Gate) -> APIRouter:
    router = APIRouter(
        prefix="/v1", tags=["OpenAI"], route_class=OpenAIRoute, responses=OPENAI_RESPONSES
    )
    known = tuple(dict.fromkeys((*SPEAKING, *TRANSCRIBING)))

    @router.get("/models")
    async def models(_: Caller = needs(gate, "speak", "transcribe")) -> ModelsAnswer:
        """The names of models that may be asked for; all of them mean what this server has."""
        return ModelsAnswer(data=[ModelAnswer(id=name) for name in known])

    @router.get("/models/{model}")
    async def model(
        model: Annotated[str, Path(max_length=100)], _: Caller = needs(gate, "speak", "transcribe")
    ) -> ModelAnswer:
        check_model(model, known)
        return ModelAnswer(id=model)

    return router
