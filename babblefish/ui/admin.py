"""The routes of the host's sign-in, and what puts the host page (Gradio) at ``/admin`` behind them.

Requests in, pages and cookies out; who may come in is decided in ``admin_door``. Knows neither
what the host page shows nor the codes and tokens of rooms.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from babblefish.errors import SignInError, StorageError
from babblefish.settings import Settings, go_offline
from babblefish.storage.records import Actor
from babblefish.ui import admin_pages
from babblefish.ui.access import Access
from babblefish.ui.admin_door import SESSION_SECONDS, AdminDoor, Note, Way
from babblefish.ui.host.guard import PLAIN_HEADERS, AdminGuard, own_request

if TYPE_CHECKING:
    from babblefish.engine.engine import Engine
    from babblefish.storage.storage import Storage
    from rooms.hub import Hub

log = logging.getLogger(__name__)

COOKIE = "babblefish_admin"
_MAX_BODY = 8000
"""bytes of a form: three long passwords"""
_STATUS = {"weak": 422, "differ": 422, "wrong": 401, "no_password": 422, "sign_in": 401}
"""HTTP status of each error code; anything else is 503"""


def mount_admin(
    app: FastAPI,
    settings: Settings,
    hub: Hub,
    engine: Engine,
    on_new_code: Callable[[str], None],
) -> None:
    """Add ``/admin``, ``/admin-login``, ``/admin-logout`` and ``/admin-password`` to ``app``,
    before it starts.

    ``on_new_code`` is called at once with the first code, and with a fresh one after each use.
    The pages take their style sheets and scripts from ``/web/``.
    """
    go_offline()
    door = AdminDoor(on_new_code, settings.data_dir, hub.secret, _notes(hub.storage))
    _add_sign_in(app, settings, door)
    _add_password(app, settings, door)

    # gradio is slow to import
    from babblefish.ui.host import page, people_routes, projector, trace, transcripts
    from babblefish.ui.host.links import Links

    links = Links(settings)
    projector.add_routes(app, hub, links)
    trace.add_routes(app, hub)
    transcripts.add_routes(app, hub)
    people_routes.add_routes(app, hub)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore", DeprecationWarning)
        built = page.build(hub, settings, links, app.state)
        page.mount(app, built, "/admin")
    app.add_middleware(AdminGuard, knows=door.knows, cookie=COOKIE, settings=settings)


def _notes(storage: Storage | None) -> Note:
    """Keeps audit lines beside what goes on; one that cannot be kept is told in the log."""
    writing: set[asyncio.Task] = set()

    async def keep(storage: Storage, actor: Actor, act: str) -> None:
        try:
            await storage.note(actor, act, "")
        except StorageError as error:
            log.warning("The audit lacks a line, %s: %s", act, error.message)

    def note(actor: Actor, act: str) -> None:
        if storage is not None:
            task = asyncio.create_task(keep(storage, actor, act), name="audit line")
            writing.add(task)
            task.add_done_callback(writing.discard)

    return note


def _add_sign_in(app: FastAPI, settings: Settings, door: AdminDoor) -> None:
    @app.get("/admin-login", include_in_schema=False)
    async def login_page(request: Request) -> Response:
        if door.knows(request.cookies.get(COOKIE)):
            return RedirectResponse("/admin/", 303, PLAIN_HEADERS)
        way: Way = "code" if request.query_params.get("with") == "code" else "password"
        return admin_pages.sign_in(way, await door.password.state())

    @app.post("/admin-login", include_in_schema=False)
    async def login(request: Request) -> Response:
        fields = await _form(request)
        way: Way = "password" if "password" in fields else "code"

        async def refused(problem: str, status: int) -> HTMLResponse:
            return admin_pages.sign_in(way, await door.password.state(), problem, status)

        if not own_request(request, settings):
            return await refused("Please sign in from this page itself.", 403)
        typed = fields.get(way, "")
        if not typed.strip():
            missing = "Type the code that the terminal shows."
            return await refused(missing if way == "code" else "Type the password.", 422)
        address = Access.address(request)
        if seconds := await door.wait(way, address):
            return _later(await refused(_too_many(seconds), 429), seconds)
        if way == "code":
            session = await door.enter_by_code(typed, address)
            wrong = "That is not the code. Use the newest one in the terminal."
        else:
            try:
                session = await door.enter_by_password(typed, address)
            except SignInError as error:
                return await refused(error.message, _STATUS.get(error.code, 503))
            wrong = "That is not the password."
        if session is None:
            return await refused(wrong, 401)
        onward = "/admin-password" if way == "code" else "/admin/"
        return _entered(onward, session, request, settings)

    @app.post("/admin-logout", include_in_schema=False)
    async def logout(request: Request) -> Response:
        if not own_request(request, settings):
            problem = "Please sign out from the host page itself."
            return admin_pages.sign_in("password", await door.password.state(), problem, 403)
        await door.leave(request.cookies.get(COOKIE))
        answer = RedirectResponse("/admin-login", 303, PLAIN_HEADERS)
        answer.delete_cookie(
            COOKIE, path="/", httponly=True, samesite="strict", secure=_secure(request, settings)
        )
        return answer


def _add_password(app: FastAPI, settings: Settings, door: AdminDoor) -> None:
    @app.get("/admin-password", include_in_schema=False)
    async def password_page(request: Request) -> Response:
        session = request.cookies.get(COOKIE)
        if not door.knows(session):
            return RedirectResponse("/admin-login", 303, PLAIN_HEADERS)
        state = await door.password.state()
        return admin_pages.set_password(state, door.needs_current(session, state))

    @app.post("/admin-password", include_in_schema=False)
    async def change_password(request: Request) -> Response:
        session, fields = request.cookies.get(COOKIE), await _form(request)
        if not door.knows(session):
            return RedirectResponse("/admin-login", 303, PLAIN_HEADERS)
        state = await door.password.state()
        needs_current = door.needs_current(session, state)

        def refused(problem: str, status: int) -> HTMLResponse:
            return admin_pages.set_password(state, needs_current, problem, status)

        if not own_request(request, settings):
            return refused("Please change the password from this page itself.", 403)
        current, new, again = (fields.get(name, "") for name in ("current", "new", "again"))
        try:
            door.vet(new, again)
            address = Access.address(request)
            if needs_current and (seconds := await door.wait("password", address)):
                return _later(refused(_too_many(seconds), 429), seconds)
            fresh = await door.change_password(session, current, new)
        except SignInError as error:
            return refused(error.message, _STATUS.get(error.code, 503))
        return _entered("/admin/", fresh, request, settings)


def _entered(onward: str, session: str, request: Request, settings: Settings) -> Response:
    answer = RedirectResponse(onward, 303, PLAIN_HEADERS)
    answer.set_cookie(
        COOKIE, session, max_age=SESSION_SECONDS, path="/", httponly=True,
        samesite="strict", secure=_secure(request, settings),
    )  # fmt: skip
    return answer


def _too_many(seconds: int) -> str:
    if seconds < 120:
        return f"Too many tries. Wait {seconds} second{'s' * (seconds != 1)}, then try again."
    return f"Too many tries. Wait {round(seconds / 60)} minutes, then try again."


def _later(answer: HTMLResponse, seconds: int) -> HTMLResponse:
    answer.headers["Retry-After"] = str(seconds)
    return answer


async def _form(request: Request) -> dict[str, str]:
    """The form's fields; empty when it is malformed or far too long."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY:
            return {}
    try:
        fields = parse_qs(body.decode("ascii"), max_num_fields=5, errors="strict")
    except ValueError:
        return {}
    return {name: values[0] for name, values in fields.items()}


def _secure(request: Request, settings: Settings) -> bool:
    return request.url.scheme == "https" or settings.public_url.startswith("https:")
