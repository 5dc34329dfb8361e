"""``/v1/audio/speech`` as programs written for OpenAI's interface call it."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import Field

from babblefish.errors import BabbleFishError
from babblefish.ui.api import Body
from babblefish.ui.programs.caller import Caller, Gate, needs
from babblefish.ui.programs.live_answer import LiveAnswer
from babblefish.ui.programs.openai_errors import OpenAIRoute, error_detail
from babblefish.ui.programs.openai_models import OPENAI_RESPONSES, SPEAKING, check_model
from babblefish.ui.programs.reading import Reader, Wish
from babblefish.ui.programs.sound_formats import Format
from babblefish.ui.programs.speech import MOST_CHARACTERS
from babblefish.ui.programs.speech_routes import SOUND, Speed

IGNORED = "BabbleFish-Ignored"
"""header that names the fields that were taken and changed nothing"""
EVENTS = "text/event-stream"


class VoiceId(Body):
    id: str = Field(min_length=1, max_length=200)


class SpeechBody(Body):
    model: str = Field(max_length=100)
    input: str = Field(min_length=1, max_length=MOST_CHARACTERS)
    voice: Annotated[str, Field(min_length=1, max_length=200)] | VoiceId = Field(
        description="One of OpenAI's names, which stand for a voice of every language, or one of "
        "GET /speak/voices",
    )
    response_format: Format | None = None
    """mp3 by default"""
    speed: Speed | None = None
    stream_format: Literal["audio", "sse"] | None = None
    instructions: str | None = Field(
        None, max_length=20_000, description="Taken, and without effect, as with tts-1"
    )
    language: str | None = Field(
        None, max_length=35,
        description="Not one of OpenAI's fields: empty, it is the voice's, else that of the text",
    )  # fmt: skip


def create_openai_speech_router(gate: Gate, reader: Reader) -> APIRouter:
    router = APIRouter(
        prefix="/v1/audio", tags=["OpenAI"], route_class=OpenAIRoute, responses=OPENAI_RESPONSES
    )
    documented = {**SOUND, "content": {**SOUND["content"], EVENTS: {"schema": {"type": "string"}}}}

    @router.post("/speech", responses={200: documented}, response_class=Response)
    async def speech(body: SpeechBody, caller: Caller = needs(gate, "speak")) -> Response:
        """Text read aloud, sent as it is made: as it is, or (``stream_format`` "sse") as events
        ``speech.audio.delta`` and, at the end, ``speech.audio.done``."""
        check_model(body.model, SPEAKING)
        spoken = await reader.read(caller, _wish(body))
        headers = spoken.headers | ({IGNORED: "instructions"} if body.instructions else {})
        if body.stream_format == "sse":
            return LiveAnswer(_events(spoken.stream), EVENTS, headers, last_words)
        return LiveAnswer(spoken.stream, spoken.media_type, headers)

    return router


def _wish(body: SpeechBody) -> Wish:
    voice = body.voice if isinstance(body.voice, str) else body.voice.id
    return Wish(
        body.input, body.language or "", voice, body.speed or 1.0, body.response_format or "mp3"
    )


async def _events(stream: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(stream):
        async for piece in stream:
            if piece:
                sound = base64.b64encode(piece).decode()
                yield event({"type": "speech.audio.delta", "audio": sound})
    usage = dict.fromkeys(("input_tokens", "output_tokens", "total_tokens"), 0)
    yield event({"type": "speech.audio.done", "usage": usage})


def event(data: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"


def last_words(error: BabbleFishError) -> bytes:
    """What ends a stream of events that failed: OpenAI's clients raise it as an APIError."""
    return event({"error": error_detail(500, error)})
