"""The laptop's endpoint: what the room server asks for over HTTP, as a FastAPI application.

Routes only; who may come in is decided in ``wall``, how requests are taken in ``reception``.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI, Path, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.telemetry import TelemetryConfig
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from babblefish.accelerator.clause_stream import MEDIA_TYPE, ClauseStream, status_of
from babblefish.accelerator.door import Door
from babblefish.accelerator.metrics import CONTENT_TYPE
from babblefish.accelerator.reception import Reception, failed
from babblefish.accelerator.wall import LIVE, Wall
from babblefish.accelerator_protocol import (
    PROTOCOL_VERSION,
    ClauseSpoken,
    Failed,
    Health,
    Identifier,
    PutVoice,
    Synthesize,
    VoiceDeleted,
    VoiceStored,
)
from babblefish.errors import BabbleFishError, SynthesisError

SERVICE = "babblefish-laptop"
_NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "auto_configure": False,
}
_FAILURES: dict[int | str, dict[str, Any]] = {
    status: {"model": Failed, "description": meaning}
    for status, meaning in (
        (401, "Not the secret of the paired server."),
        (422, "bad_request, bad_reference or unknown_language."),
        (500, "synthesis_failed."),
        (503, "busy or not_ready."),
    )
}
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "One ClauseSpoken a line, each as soon as it is ready. Trouble on the way "
        "is one last line, Failed.",
        "content": {MEDIA_TYPE: {"schema": ClauseSpoken.model_json_schema()}},
    },
    404: {"model": Failed, "description": "unknown_voice: send the reference first."},
}
Speaker = Annotated[Identifier, Path(description="As the server names a person.")]


class Live(BaseModel):
    service: str = SERVICE
    protocol: int = PROTOCOL_VERSION


def create_service(reception: Reception, door: Door) -> FastAPI:
    """Closed until ``door`` was opened to a secret; starts and closes nothing."""
    app = FastAPI(
        title="BabbleFish laptop",
        description="Speaks in people's own voices for one room server. Every request but /live "
        "carries `Authorization: Bearer <secret>`, as agreed on when the laptop was paired.",
        version=str(PROTOCOL_VERSION),
        docs_url=None,
        redoc_url=None,
        telemetry=_NO_TELEMETRY,
    )
    _add_voices(app, reception)

    @app.post(
        "/v1/synthesize", tags=["speech"], response_class=Response,
        responses={**_FAILURES, **_STREAM},
    )  # fmt: skip
    async def synthesize(body: Synthesize) -> Response:
        """Say the clauses one after the other. Closing the connection cancels."""
        return ClauseStream(reception.speak(body, "http"), body.request_id)

    @app.get("/health", tags=["laptop"], responses={401: _FAILURES[401]})
    async def health() -> Health:
        """What it can do, and how busy it is."""
        return reception.health()

    @app.get("/metrics", tags=["laptop"], response_class=Response, responses={401: _FAILURES[401]})
    async def metrics() -> Response:
        """For Prometheus."""
        return Response(reception.metrics.render(), media_type=CONTENT_TYPE)

    @app.get(LIVE, tags=["laptop"])
    async def live() -> Live:
        """Open to everybody: that a laptop is here."""
        return Live()

    _install_errors(app)
    app.add_middleware(Wall, door=door)
    return app


def _add_voices(app: FastAPI, reception: Reception) -> None:
    @app.post("/v1/voices", tags=["voices"], responses=_FAILURES)
    async def put(body: PutVoice) -> VoiceStored:
        """Store a reference. It stays in memory, and only for a while."""
        return await reception.put_voice(body)

    @app.post("/v1/voices/{speaker}", tags=["voices"], responses=_FAILURES)
    async def put_of(speaker: Speaker, body: PutVoice) -> VoiceStored:
        """As above; the address and the message name the same person."""
        if speaker != body.speaker_id:
            raise SynthesisError("bad_request", "The address names another person than the body.")
        return await reception.put_voice(body)

    @app.delete("/v1/voices/{speaker}", tags=["voices"], responses=_FAILURES)
    async def delete(speaker: Speaker) -> VoiceDeleted:
        """Forget all about a voice, at once."""
        return await reception.delete_voice(speaker)


def _install_errors(app: FastAPI) -> None:
    """Every refusal is a ``Failed``, and none repeats what was sent."""

    @app.exception_handler(BabbleFishError)
    async def expected(_: Request, error: BabbleFishError) -> Response:
        return _answer(failed(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        place = ".".join(str(part) for part in error.errors()[0]["loc"][1:]) or "its JSON"
        message = f"This is no message between server and laptop (see {place[:80]})."
        return _answer(Failed(code="bad_request", message=message))

    @app.exception_handler(HTTPException)
    async def no_route(_: Request, error: HTTPException) -> Response:
        failure = Failed(code="bad_request", message=f"{error.detail}.")
        return _answer(failure, error.status_code)

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> Response:
        return _answer(Failed(code="synthesis_failed", message="That did not work."))


def _answer(failure: Failed, status: int | None = None) -> Response:
    return JSONResponse(failure.model_dump(), status or status_of(failure))
