"""Routes for programs that send recordings: what was said, and translated, in one answer or as it
is found.

Knows requests and formats of answers; ``listening.py`` does the work.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_origin

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field, ValidationError, field_validator

from babblefish.errors import TransportError
from babblefish.languages import normalise
from babblefish.ui.api import Body, ErrorAnswer
from babblefish.ui.programs.caller import Caller, Gate, needs
from babblefish.ui.programs.event_stream import MEDIA_TYPE, event, event_stream, while_connected
from babblefish.ui.programs.listening import (
    Event,
    ListeningRequest,
    Problem,
    Progress,
    Segment,
    listen,
)
from babblefish.ui.programs.multipart import FILE
from babblefish.ui.programs.refusals import REFUSALS
from babblefish.ui.programs.uploads import Uploads
from babblefish.ui.subtitles import Cue, subtitles

if TYPE_CHECKING:
    from babblefish.engine.engine import Engine

Form = TypeVar("Form", bound=BaseModel)
Format = Literal["json", "srt", "vtt", "txt"]

Code = Annotated[str, Field(min_length=1, max_length=35)]
Term = Annotated[str, Field(min_length=1, max_length=40)]

_PROGRESS_S = 0.5
"""between two events that say how far it has come"""
_MEDIA_TYPES = {
    "srt": "application/x-subrip; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
    "txt": "text/plain; charset=utf-8",
}
_RECORDINGS = (
    "audio/wav", "audio/mpeg", "audio/flac", "audio/ogg", "audio/webm", "audio/mp4",
    "application/octet-stream",
)  # fmt: skip


class Transcribing(Body):
    """Fields beside the file; of the form, or of the address."""

    source_lang: Code = "auto"
    """spoken in all of it, such as fr, fr-FR or fra_Latn; auto: each sentence's is detected"""
    words: bool = True
    """whether to say when each word was said; costs a little time"""
    prompt: str = Field("", max_length=2000)
    """text that came before, or that is written the way this is to be written"""
    glossary: list[Term] = Field([], max_length=100)
    """names and terms that may be said, spelt as they are to be written; one a line, or repeated"""
    format: Format = "json"

    @field_validator("glossary", mode="before")
    @classmethod
    def _lines(cls, value: object) -> object:
        return _split(value, "\n")


class TranscribingTranslating(Transcribing):
    target_lang: list[Code] = Field(min_length=1, max_length=20)
    """languages to translate into; with commas, or repeated. Subtitles and text take one"""

    @field_validator("target_lang", mode="before")
    @classmethod
    def _codes(cls, value: object) -> object:
        return _split(value, ",")


class WordAnswer(BaseModel):
    word: str
    start: float
    end: float
    confidence: float


class SegmentAnswer(BaseModel):
    id: int
    start: float
    """seconds"""
    end: float
    speaker: str
    language: str
    text: str
    confidence: float
    words: list[WordAnswer]
    translations: dict[str, str]


class ProblemAnswer(BaseModel):
    start: float
    end: float
    code: str
    message: str
    language: str | None
    """of the translation that failed; null: of what was said"""


class RecordingAnswer(BaseModel):
    language: str | None
    """spoken most; null: nothing was said"""
    seconds: float
    text: str
    translations: dict[str, str]
    segments: list[SegmentAnswer]
    problems: list[ProblemAnswer]
    """what could not be understood or translated"""


def create_listening_router(engine: Engine, gate: Gate, uploads: Uploads) -> APIRouter:
    """``POST /transcribe`` and ``/transcribe-translate``."""
    router = APIRouter(tags=["programs"], responses=_refusals())
    desk = _Desk(engine, gate, uploads)

    @router.post(
        "/transcribe", response_model=RecordingAnswer, responses=_ANSWERS,
        openapi_extra=upload_body(Transcribing),
    )  # fmt: skip
    async def transcribe(request: Request, caller: Caller = needs(gate, "transcribe")) -> Any:
        """What is said in a recording: a form (multipart/form-data) with the field ``file``, or
        the file itself, with the other fields in the address. With ``Accept: text/event-stream``
        the answer comes as events: ``progress``, ``segment``, ``problem``, and ``done`` or
        ``error``. Hanging up cancels."""
        return await desk.answer(request, caller, Transcribing)

    @router.post(
        "/transcribe-translate", response_model=RecordingAnswer, responses=_ANSWERS,
        openapi_extra=upload_body(TranscribingTranslating),
    )  # fmt: skip
    async def transcribe_translate(
        request: Request, caller: Caller = needs(gate, "transcribe")
    ) -> Any:
        """As ``/transcribe``, and translated."""
        return await desk.answer(request, caller, TranscribingTranslating)

    return router


class _Desk:
    def __init__(self, engine: Engine, gate: Gate, uploads: Uploads) -> None:
        self._engine, self._gate, self._uploads = engine, gate, uploads

    async def answer(self, request: Request, caller: Caller, kind: type[Transcribing]) -> Response:
        as_events = _wants_events(request)
        async with AsyncExitStack() as stack:
            stack.enter_context(self._gate.hold(caller))
            upload = stack.enter_context(await self._uploads.receive(request))
            form = parsed(kind, upload.fields)
            wanted = _wanted(form)
            if as_events and form.format != "json":
                raise TransportError("bad_input", "format: events are JSON. Leave it out.")
            allowed = partial(self._gate.still, caller)
            events = listen(self._engine, upload, wanted, allowed)
            if not as_events:
                return await while_connected(request, _whole(events, form.format, wanted))
            return event_stream(_as_events(events), stack.pop_all())


class Tally:
    """How far it has come, and what was spoken most."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.segments = self.problems = 0
        self._spoken: dict[str, float] = {}

    def add(self, found: Event) -> None:
        match found:
            case Segment():
                self.segments += 1
                seconds = self._spoken.get(found.language, 0.0) + found.end - found.start
                self._spoken[found.language] = seconds
            case Problem():
                self.problems += 1
            case Progress():
                self.seconds = round(found.seconds_done, 3)

    @property
    def language(self) -> str | None:
        return max(self._spoken, key=lambda code: self._spoken[code], default=None)


async def _whole(events: AsyncGenerator[Event], form: Format, wanted: ListeningRequest) -> Response:
    """Everything in one answer."""
    tally, segments, problems = Tally(), [], []
    async with aclosing(events):
        async for found in events:
            tally.add(found)
            if isinstance(found, Segment):
                segments.append(found)
            elif isinstance(found, Problem):
                problems.append(found)
    if form != "json":
        shown = wanted.targets[0] if wanted.targets else ""
        cues = [
            Cue(found.start, found.end, found.speaker, found.translations.get(shown, found.text))
            for found in segments
        ]
        return Response(subtitles(cues, form), media_type=_MEDIA_TYPES[form], headers=_PRIVATE)
    answer = RecordingAnswer(
        language=tally.language,
        seconds=tally.seconds,
        text=" ".join(found.text for found in segments),
        translations={
            target: " ".join(
                found.translations[target] for found in segments if target in found.translations
            )
            for target in wanted.targets
        },
        segments=[_segment(found) for found in segments],
        problems=[ProblemAnswer(**asdict(found)) for found in problems],
    )
    return Response(answer.model_dump_json(), media_type="application/json", headers=_PRIVATE)


async def _as_events(events: AsyncGenerator[Event]) -> AsyncGenerator[bytes]:
    """What is found, as it is found; progress now and then."""
    tally, told, shown = Tally(), 0.0, -1.0
    async with aclosing(events):
        async for found in events:
            tally.add(found)
            match found:
                case Segment():
                    yield event("segment", _segment(found).model_dump())
                case Problem():
                    yield event("problem", asdict(found))
                case Progress():
                    if time.monotonic() - told >= _PROGRESS_S:
                        told, shown = time.monotonic(), found.seconds_done
                        yield event("progress", asdict(found))
    if tally.seconds > shown:
        yield event("progress", asdict(Progress(tally.seconds, tally.seconds)))
    yield event(
        "done",
        {
            "language": tally.language, "seconds": tally.seconds, "segments": tally.segments,
            "problems": tally.problems,
        },
    )  # fmt: skip


def _segment(found: Segment) -> SegmentAnswer:
    words = [
        WordAnswer(
            word=word.text, start=word.start, end=word.end, confidence=round(word.confidence, 3)
        )
        for word in found.words
    ]
    return SegmentAnswer(
        id=found.id, start=found.start, end=found.end, speaker=found.speaker,
        language=found.language, text=found.text, confidence=found.confidence, words=words,
        translations=found.translations,
    )  # fmt: skip


def _wants_events(request: Request) -> bool:
    kinds = request.headers.get("accept", "").split(",")
    return any(kind.partition(";")[0].strip().lower() == MEDIA_TYPE for kind in kinds)


def _wanted(form: Transcribing) -> ListeningRequest:
    """Raises BabbleFishError("language"), TransportError("bad_input")."""
    targets = form.target_lang if isinstance(form, TranscribingTranslating) else []
    codes = tuple(dict.fromkeys(normalise(target) for target in targets))
    if form.format != "json" and len(codes) > 1:
        raise TransportError("bad_input", f"target_lang: {form.format} takes one language.")
    source = None if form.source_lang == "auto" else normalise(form.source_lang)
    return ListeningRequest(source, codes, form.words, form.prompt, tuple(form.glossary))


def parsed(kind: type[Form], fields: Mapping[str, Sequence[str]]) -> Form:
    """The fields of a form; lists may be given by repeating one.

    Raises TransportError("bad_input") that names the field."""
    values: dict[str, Any] = {}
    for name, told in fields.items():
        field = kind.model_fields.get(name)
        many = field is not None and get_origin(field.annotation) is list
        if len(told) > 1 and not many:
            raise TransportError("bad_input", f"{name[:40]}: this field was sent more than once.")
        values[name] = list(told) if many else told[0]
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])[:60]
        raise TransportError("bad_input", f"{place}: {first['msg']}.") from error


def _split(value: object, sign: str) -> object:
    """Several in one field."""
    if not isinstance(value, list):
        return value
    return [part.strip() for told in value for part in told.split(sign) if part.strip()]


# --- what the OpenAPI document says ---------------------------------------------------------

_PRIVATE = {"Cache-Control": "no-store"}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "What was said. Events where they were asked for.",
        "content": {
            kind: {"schema": {"type": "string"}}
            for kind in (MEDIA_TYPE, *(name.partition(";")[0] for name in _MEDIA_TYPES.values()))
        },
    }
}


def _refusals() -> dict[int | str, dict[str, Any]]:
    more = {
        400: "What arrived is no form, or broke off.",
        408: "The recording took too long to arrive.",
        415: "This is no sound file, or not sent as one.",
        507: "The server's disk is nearly full.",
    }
    return REFUSALS | {
        status: {"model": ErrorAnswer, "description": words} for status, words in more.items()
    }


def upload_body(kind: type[BaseModel]) -> dict[str, Any]:
    """``openapi_extra`` of a route that takes a recording and the fields of ``kind``."""
    schema = kind.model_json_schema()
    fields = schema["properties"]
    form = {
        "type": "object",
        "properties": {FILE: {"type": "string", "format": "binary"}, **fields},
        "required": [FILE, *schema.get("required", [])],
        "additionalProperties": False,
    }
    raw = {"schema": {"type": "string", "format": "binary"}}
    content = {"multipart/form-data": {"schema": form}, **dict.fromkeys(_RECORDINGS, raw)}
    return {"requestBody": {"required": True, "content": content}}
