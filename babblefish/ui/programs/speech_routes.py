"""The routes for programs that want text read aloud: ``/speak`` and the list of voices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel, Field

from babblefish import languages
from babblefish.errors import TransportError
from babblefish.ui.api import Body
from babblefish.ui.programs.caller import Caller, Gate, needs
from babblefish.ui.programs.live_answer import LiveAnswer
from babblefish.ui.programs.reading import Reader, Wish
from babblefish.ui.programs.refusals import REFUSALS
from babblefish.ui.programs.sound_formats import MEDIA_TYPES, Format
from babblefish.ui.programs.speech import MOST_CHARACTERS, SPEEDS
from babblefish.ui.programs.voice_names import ANY, OPENAI_VOICES

if TYPE_CHECKING:
    from babblefish.engine.engine import Engine

SOUND: dict[str, Any] = {
    "description": "The speech, sent as it is made: synthetic, and marked so where the format "
    "can carry a remark. In the headers: its language and voice.",
    "content": {
        kind: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA_TYPES.values()
    },
}
Speed = Annotated[float, Field(ge=SPEEDS[0], le=SPEEDS[1], allow_inf_nan=False)]


class SpeakBody(Body):
    text: str = Field(min_length=1, max_length=MOST_CHARACTERS)
    language: str = Field(
        "", max_length=35, description="fr, fr-FR or fra_Latn; empty: the voice's, else the text's"
    )
    voice: str = Field(
        ANY, max_length=200, description="One of GET /speak/voices, one of OpenAI's names, or any"
    )
    speed: Speed = 1.0
    format: Format = "wav"


class VoicesAnswer(BaseModel):
    voices: dict[str, list[str]]
    """language → the voices that speak it, best first"""
    openai: list[str]
    """names that fit every language"""


def create_speech_router(engine: Engine, gate: Gate, reader: Reader) -> APIRouter:
    router = APIRouter(tags=["programs"], responses=REFUSALS)

    @router.post("/speak", responses={200: SOUND}, response_class=Response)
    async def speak(body: SpeakBody, caller: Caller = needs(gate, "speak")) -> Response:
        """Text read aloud. The first sound comes while the rest is being made; a caller who hangs
        up stops the work. The lengths in the headers of wav and flac files are left open."""
        spoken = await reader.read(caller, Wish(**body.model_dump()))
        return LiveAnswer(spoken.stream, spoken.media_type, spoken.headers)

    @router.get("/speak/voices")
    async def voices(
        language: Annotated[str, Query(max_length=35)] = "",
        _: Caller = needs(gate, "speak"),
    ) -> VoicesAnswer:
        """The voices of each language, or of one."""
        if not engine.ready:
            raise TransportError("starting", "The server is still starting. One moment, please.")
        wanted = languages.normalise(language) if language else None
        found: dict[str, list[str]] = {}
        for pool in engine.synthesisers:
            for code, names in pool.capabilities.voices.items():
                if wanted in (None, code):
                    found.setdefault(code, []).extend(names)
        return VoicesAnswer(voices=found, openai=list(OPENAI_VOICES))

    return router
