"""The HTTP routes of a room: look, join, connect, leave. JSON in, JSON out.

Typed bodies, one error shape ``{"error": {"code", "message"}}``. Knows rooms only through
``Hub``; serves no pages and carries no sound.
"""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException

from babblefish import metrics
from babblefish.errors import BabbleFishError, RoomError, TransportError
from babblefish.ui.access import TOKEN, Access, CutOff, TryLater
from babblefish.ui.statuses import status_of
from rooms.admission import Place, find_place

if TYPE_CHECKING:
    from babblefish.engine.engine import Engine
    from babblefish.ui.rtc import Offers
    from rooms.admission import Admission
    from rooms.hub import Hub
    from rooms.member import Member
    from rooms.room import Room

log = logging.getLogger(__name__)

PLACE_SECONDS = 8.0
"""for which a request from the door is held while nothing is decided"""

Code = Annotated[str, Field(max_length=32)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class JoinBody(Body):
    name: str = Field(min_length=1, max_length=200)
    speaks: str = Field("auto", max_length=35)
    hears: str = Field(max_length=35)
    microphone: bool = True
    also: str = Field("", max_length=35)
    """language of a second person at the same phone, where ``RoomAnswer.two_on_a_phone``"""
    profile: str = Field("", max_length=200)
    """what a phone got when its owner enrolled; any other is ignored"""


class OfferBody(Body):
    sdp: str
    type: Literal["offer"]


class LeaveBody(Body):
    key: str = Field(pattern=rf"^{TOKEN.pattern}$")


class LanguageAnswer(BaseModel):
    code: str
    name: str
    english_name: str
    direction: Literal["ltr", "rtl"]
    speak: bool
    hear: Literal["voice", "basic_voice", "captions"] | None


class RoomAnswer(BaseModel):
    code: str
    name: str
    locked: bool
    languages: list[LanguageAnswer]
    unserved: list[tuple[str, str]]
    """pairs [spoken, heard] that cannot be translated"""
    basic: list[tuple[str, str]]
    """pairs whose translation is readable but often rough"""
    original_level: float
    kept: Literal["off", "until_close", "days"]
    """how long what is said is kept"""
    kept_days: int
    listen_only: bool
    """only presenters are heard here: nobody needs a microphone to begin with"""
    detect_language: bool
    """the language of each sentence is detected, whatever people choose"""
    two_on_a_phone: bool
    """two people at one phone may hear each other here, each in their own language"""


class JoinAnswer(BaseModel):
    member: str
    key: str
    color: int
    name: str
    waiting: bool = False
    """True: there is no participant yet, ``key`` is that of a place at the door"""


class PlaceAnswer(BaseModel):
    state: Literal["waiting", "admitted", "refused", "closed"]
    seat: JoinAnswer | None = None
    """once admitted"""


class OfferAnswer(BaseModel):
    sdp: str
    type: Literal["answer"] = "answer"


class ErrorDetail(BaseModel):
    code: str
    message: str


class ErrorAnswer(BaseModel):
    error: ErrorDetail


class Desk:
    """Checks limits and credentials before a room hears of a request."""

    def __init__(self, hub: Hub, access: Access) -> None:
        self._hub, self._access = hub, access

    def room(self, request: Request, code: str, action: str) -> Room:
        address = self._admit(request, code, action)
        return self._guarded(
            address, lambda: self._hub.enter(code, Access.bearer(request, "room_token"))
        )

    def member(self, request: Request, code: str, action: str, key: str) -> Member:
        address = self._admit(request, code, action)
        return self._guarded(address, lambda: self._hub.member(code, key))

    def back(self, request: Request, code: str, key: str, who: dict[str, Any]) -> Member:
        address = self._admit(request, code, "join")
        member = self._guarded(address, lambda: self._hub.readmit(code, key, **who))
        member.room.admission.came(member, address)
        return member

    def place(self, request: Request, code: str) -> tuple[Admission, Place]:
        """Somebody's place at the door of a room."""
        address = self._admit(request, code, "place")
        key = Access.bearer(request, "member_key")
        return self._guarded(address, lambda: find_place(self._hub.rooms, code, key))

    def _admit(self, request: Request, code: str, action: str) -> str:
        address = Access.address(request)
        self._access.check("guess", address)
        self._access.hit(action, address, code[:32])
        return address

    def _guarded(self, address: str, look):
        try:
            return look()
        except RoomError as error:
            if status_of(error) == 401:
                self._access.hit("guess", address)
            raise


class Phrasebook:
    """What the engine offers people, worked out once when it is ready."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lists: dict[str, list] | None = None

    def lists(self) -> dict[str, list]:
        """``languages``, ``unserved`` and ``basic`` of RoomAnswer; TransportError("starting")."""
        if not self._engine.ready:
            raise TransportError("starting", "The server is still starting. One moment, please.")
        if self._lists is None:
            self._lists = self._work_out()
        return self._lists

    def _work_out(self) -> dict[str, list]:
        offers = self._engine.languages()
        unserved, basic = [], []
        for source in (offer.code for offer in offers if offer.speak):
            for target in (offer.code for offer in offers if offer.hear):
                quality = self._engine.pair(source, target)
                if quality is None:
                    unserved.append((source, target))
                elif quality == "basic":
                    basic.append((source, target))
        languages = [LanguageAnswer(**dataclasses.asdict(offer)) for offer in offers]
        return {"languages": languages, "unserved": unserved, "basic": basic}


def create_router(hub: Hub, engine: Engine, access: Access) -> APIRouter:
    """The routes under ``/api``. ``request.app.state.offers`` must be an Offers."""
    errors: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorAnswer} for status in (401, 403, 409, 413, 422, 429)
    }
    router = APIRouter(prefix="/api", tags=["rooms"], responses=errors)
    desk = Desk(hub, access)
    phrasebook = Phrasebook(engine)

    def recognised(member: Member, profile: str) -> None:
        if profile:
            hub.profiles.seat(member, hub.profiles.recognise(profile))

    @router.get("/rooms/{code}")
    async def room(code: Code, request: Request) -> RoomAnswer:
        """The room and its languages. Bearer: the room's token."""
        found = desk.room(request, code, "room")
        return RoomAnswer(
            code=found.code,
            name=found.name,
            locked=found.locked,
            original_level=found.settings.original_level,
            kept=found.kept.archive.policy.kept,
            kept_days=found.kept.archive.policy.days,
            listen_only=found.settings.listen_only,
            detect_language=found.settings.detect_language,
            two_on_a_phone=found.settings.two_on_a_phone,
            **phrasebook.lists(),
        )

    @router.post("/rooms/{code}/join")
    async def join(code: Code, body: JoinBody, request: Request) -> JoinAnswer:
        """Take a seat. Bearer: the room's token. The answer's key is this participant's own."""
        found = desk.room(request, code, "join")
        phrasebook.lists()
        came = found.admission.enter(
            Access.address(request), **body.model_dump(exclude={"profile"}),
            seated=lambda member: recognised(member, body.profile),
        )  # fmt: skip
        if isinstance(came, Place):
            return JoinAnswer(member="", key=came.key, color=0, name=came.name, waiting=True)
        return _seat(came)

    @router.post("/rooms/{code}/return")
    async def back(code: Code, body: JoinBody, request: Request) -> JoinAnswer:
        """Take one's seat again after the server forgot it: the same person, whatever link or
        lock the room has by now. Bearer: the participant's key; the answer has a new one."""
        key = Access.bearer(request, "member_key")
        phrasebook.lists()
        member = desk.back(request, code, key, body.model_dump(exclude={"profile"}))
        recognised(member, body.profile)
        return _seat(member)

    @router.get("/rooms/{code}/place")
    async def place(code: Code, request: Request) -> PlaceAnswer:
        """Whether the host has let somebody in who waits at the door; answers when they have, or
        after some seconds. Bearer: the key of the place."""
        admission, mine = desk.place(request, code)
        await admission.wait(mine, PLACE_SECONDS)
        seat = _seat(mine.member) if mine.member else None
        return PlaceAnswer(state=mine.state, seat=seat)

    @router.delete("/rooms/{code}/place", status_code=204, response_class=Response)
    async def give_up(code: Code, request: Request) -> Response:
        """Wait no longer. Bearer: the key of the place."""
        admission, mine = desk.place(request, code)
        admission.give_up(mine)
        return Response(status_code=204)

    @router.post("/rooms/{code}/offer")
    async def offer(code: Code, body: OfferBody, request: Request) -> OfferAnswer:
        """Connect, or connect again: a WebRTC offer with one audio track and one data
        channel. Bearer: the participant's key."""
        key = Access.bearer(request, "member_key")
        desk.member(request, code, "offer", key)
        offers: Offers = request.app.state.offers
        return OfferAnswer(sdp=await offers.answer(lambda: hub.member(code, key), body.sdp))

    @router.post("/rooms/{code}/leave", status_code=204, response_class=Response)
    async def leave(code: Code, request: Request) -> Response:
        """Give up the seat. The participant's key as bearer or, for beacons, as {"key": …}."""
        if "authorization" in request.headers:
            key = Access.bearer(request, "member_key")
        else:
            try:
                key = LeaveBody.model_validate_json(await request.body()).key
            except ValidationError as error:
                raise RoomError("member_key", "The participant's key is missing.") from error
        member = desk.member(request, code, "leave", key)
        await hub.rooms[code].remove(member.id, "left")
        return Response(status_code=204)

    return router


def _seat(member: Member) -> JoinAnswer:
    return JoinAnswer(member=member.id, key=member.key, color=member.color, name=member.name)


def error_answer(error: BabbleFishError) -> JSONResponse:
    metrics.error(error.stage, error.code)
    headers = {"Cache-Control": "no-store"}
    if isinstance(error, TryLater):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, CutOff):
        headers["Connection"] = "close"
    if (status := status_of(error)) == 401:
        headers["WWW-Authenticate"] = "Bearer"
    body = {"error": {"code": error.code, "message": error.message}}
    return JSONResponse(body, status_code=status, headers=headers)


def install_errors(app: FastAPI) -> None:
    """Every error of the application's own routes in one shape."""

    @app.exception_handler(BabbleFishError)
    async def expected(_: Request, error: BabbleFishError) -> JSONResponse:
        return error_answer(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:]) or "body"
        return error_answer(TransportError("bad_input", f"{place}: {first['msg']}."))

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == 400:  # such as a body that is no UTF-8
            return error_answer(TransportError("bad_input", f"{error.detail}."))
        code = {404: "not_found", 405: "method"}.get(error.status_code, "http")
        metrics.error(TransportError.stage, code)
        body = {"error": {"code": code, "message": f"{error.detail}."}}
        return JSONResponse(body, status_code=error.status_code, headers=error.headers)

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> JSONResponse:
        metrics.error(BabbleFishError.stage, "internal")
        body = {"error": {"code": "internal", "message": "That did not work. Please try again."}}
        return JSONResponse(body, status_code=500)
