"""``/v1/audio/transcriptions`` and ``/v1/audio/translations`` as programs written for OpenAI's
interface call them. ``listening.py`` does the work."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from babblefish.ui.programs.caller import Caller, Gate, needs
from babblefish.ui.programs.event_stream import while_connected
from babblefish.ui.programs.listening import Event, Segment, listen
from babblefish.ui.programs.listening_api import upload_body
from babblefish.ui.programs.live_answer import LiveAnswer
from babblefish.ui.programs.openai_answers import MEDIA_TYPES, Collected, diarized
from babblefish.ui.programs.openai_errors import OpenAIErrorAnswer, OpenAIRoute
from babblefish.ui.programs.openai_forms import TranscriptionForm, TranslationForm, parsed
from babblefish.ui.programs.openai_models import OPENAI_RESPONSES
from babblefish.ui.programs.openai_speech import EVENTS, IGNORED, event, last_words
from babblefish.ui.programs.uploads import Uploads

if TYPE_CHECKING:
    from babblefish.engine.engine import Engine

_BEAT_S = 10.0
"""without an event, after which a sign of life is sent"""


def create_openai_listening_router(engine: Engine, gate: Gate, uploads: Uploads) -> APIRouter:
    router = APIRouter(
        prefix="/v1/audio", tags=["OpenAI"], route_class=OpenAIRoute,
        responses=OPENAI_RESPONSES | _REFUSALS, default_response_class=Response,
    )  # fmt: skip
    desk = _Desk(engine, gate, uploads)
    heard = _answers(*MEDIA_TYPES.values(), EVENTS)

    @router.post("/transcriptions", responses=heard, openapi_extra=upload_body(TranscriptionForm))
    async def transcriptions(
        request: Request, caller: Caller = needs(gate, "transcribe")
    ) -> Response:
        """What is said in a recording, in the language that it is said in. With ``stream``, as
        events, each as soon as it was said. Hanging up cancels."""
        return await desk.transcription(request, caller)

    read = _answers(*MEDIA_TYPES.values())

    @router.post("/translations", responses=read, openapi_extra=upload_body(TranslationForm))
    async def translations(
        request: Request, caller: Caller = needs(gate, "transcribe")
    ) -> Response:
        """What is said in a recording, in English. Hanging up cancels."""
        return await desk.translation(request, caller)

    return router


class _Desk:
    def __init__(self, engine: Engine, gate: Gate, uploads: Uploads) -> None:
        self._engine, self._gate, self._uploads = engine, gate, uploads

    async def transcription(self, request: Request, caller: Caller) -> Response:
        async with AsyncExitStack() as stack:
            stack.enter_context(self._gate.hold(caller))
            upload = stack.enter_context(await self._uploads.receive(request))
            form = parsed(TranscriptionForm, upload.fields)
            events = listen(self._engine, upload, form.request(), partial(self._gate.still, caller))
            headers = _headers(form)
            if form.stream:
                pieces = _as_events(events, form.response_format == "diarized_json")
                return LiveAnswer(pieces, EVENTS, headers, last_words, stack.pop_all())
            found = await while_connected(request, _collected(events, Collected()))
            segments = "segment" in form.timestamp_granularities or not form.words
            return found.answer(form.response_format, form.words, segments, headers)

    async def translation(self, request: Request, caller: Caller) -> Response:
        async with AsyncExitStack() as stack:
            stack.enter_context(self._gate.hold(caller))
            upload = stack.enter_context(await self._uploads.receive(request))
            form = parsed(TranslationForm, upload.fields)
            events = listen(self._engine, upload, form.request(), partial(self._gate.still, caller))
            found = await while_connected(request, _collected(events, Collected(english=True)))
            return found.answer(form.response_format, False, True, _headers(form))


async def _collected(events: AsyncGenerator[Event], collected: Collected) -> Collected:
    async with aclosing(events):
        async for found in events:
            collected.add(found)
    return collected


async def _as_events(events: AsyncGenerator[Event], speakers: bool) -> AsyncGenerator[bytes, None]:
    """speakers: a segment with its speaker before the words of each."""
    collected, told = Collected(), -math.inf
    async with aclosing(events):
        async for found in events:
            collected.add(found)
            if isinstance(found, Segment):
                told = time.monotonic()
                if speakers:
                    yield event(diarized(found))
                space = " " if len(collected.segments) > 1 else ""
                delta = {"type": "transcript.text.delta", "delta": space + found.text}
                yield event(delta | ({"segment_id": f"seg_{found.id}"} if speakers else {}))
            elif time.monotonic() - told > _BEAT_S:
                told = time.monotonic()
                yield b":\n\n"
    codes = [{"code": code} for code in collected.languages]
    done = {"type": "transcript.text.done", "text": collected.text, "languages": codes}
    yield event(done | collected.problem_field())


def _headers(form: TranscriptionForm | TranslationForm) -> dict[str, str]:
    return {IGNORED: ", ".join(form.ignored)} if form.ignored else {}


def _answers(*kinds: str) -> dict[int | str, dict[str, Any]]:
    content = {kind: {"schema": {"type": "string"}} for kind in kinds}
    content["application/json"] = {"schema": {"type": "object"}}
    return {200: {"description": "What was said, in the form asked for.", "content": content}}


_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": OpenAIErrorAnswer} for status in (408, 415, 507)
}
