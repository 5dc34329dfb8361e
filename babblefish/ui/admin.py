"""Who may run the meeting: the one-time admin code, sign-in sessions and the sign-in page.

``mount_admin`` puts the host page (Gradio) at ``/admin`` behind them. This module does not know
what the host page shows, nor anything about the codes and tokens of rooms. Codes and session ids
are never logged; sessions are kept in memory as hashes and end with the process.
"""

from __future__ import annotations

import contextlib
import hashlib
import html
import io
import ipaddress
import secrets
import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from babblefish.settings import Settings, go_offline
from babblefish.ui.host.guard import ADMIN_CSP, PLAIN_HEADERS, AdminGuard, own_request

if TYPE_CHECKING:
    from babblefish.engine.engine import Engine
    from rooms.hub import Hub

__all__ = ["ADMIN_CSP", "AdminDoor", "mount_admin"]

ALPHABET = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
"""No 0/O, 1/I/L: the code is read off a terminal and typed on a phone."""
CODE_LENGTH = 8
SESSION_SECONDS = 12 * 3600
COOKIE = "babblefish_admin"
TRIES_PER_ADDRESS = RateLimitItemPerMinute(5)
TRIES_IN_ALL = RateLimitItemPerMinute(60)
_MAX_SESSIONS = 50
_MAX_BODY = 2000
"""bytes of a sign-in form"""


class AdminDoor:
    """The current code, the open sessions and the count of tries.

    ``on_new_code`` gets each fresh code, grouped ("ABCD-EFGH"), for the terminal; the first one
    at once.
    """

    def __init__(
        self, on_new_code: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._on_new_code, self._clock = on_new_code, clock
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._sessions: dict[str, float] = {}
        """sha256 of the session id → clock time of its end, oldest first"""
        self._renew_code()

    def _renew_code(self) -> None:
        self._code = "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))
        self._on_new_code(f"{self._code[:4]}-{self._code[4:]}")

    def wait(self, address: str) -> int:
        """Count one try from ``address``; seconds to wait before the next, 0: go ahead."""
        for item, key in ((TRIES_PER_ADDRESS, address), (TRIES_IN_ALL, "all")):
            if not self._limiter.hit(item, "admin", key):
                reset = self._limiter.get_window_stats(item, "admin", key).reset_time
                return max(1, round(reset - time.time()))
        return 0

    def enter(self, typed: str, address: str) -> str | None:
        """Use up the code: a new session id if ``typed`` is the code, else None.

        Who knows the code starts counting tries afresh.
        """
        cleaned = "".join(c for c in typed if not c.isspace() and c not in "-–—_.").upper()
        if not secrets.compare_digest(cleaned.encode(), self._code.encode()):
            return None
        self._limiter.clear(TRIES_PER_ADDRESS, "admin", address)
        session = secrets.token_urlsafe(32)
        while len(self._sessions) >= _MAX_SESSIONS:
            self._sessions.pop(next(iter(self._sessions)))
        self._sessions[_hash(session)] = self._clock() + SESSION_SECONDS
        self._renew_code()
        return session

    def knows(self, session: str | None) -> bool:
        if not session:
            return False
        until = self._sessions.get(_hash(session))
        if until is None:
            return False
        if self._clock() >= until:
            del self._sessions[_hash(session)]
            return False
        return True

    def leave(self, session: str | None) -> None:
        if session:
            self._sessions.pop(_hash(session), None)


def _hash(session: str) -> str:
    return hashlib.sha256(session.encode()).hexdigest()


def mount_admin(
    app: FastAPI,
    settings: Settings,
    hub: Hub,
    engine: Engine,
    on_new_code: Callable[[str], None],
) -> None:
    """Add ``/admin``, ``/admin-login`` and ``/admin-logout`` to ``app``, before it starts.

    ``on_new_code`` is called at once with the first code, and with a fresh one after each use.
    The pages take their style sheets and scripts from ``/web/``.
    """
    go_offline()
    door = AdminDoor(on_new_code)
    _add_sign_in(app, settings, door)

    from babblefish.ui.host import page, people_routes, projector, trace  # gradio is slow to import
    from babblefish.ui.host.links import Links

    links = Links(settings)
    projector.add_routes(app, hub, links)
    trace.add_routes(app, hub)
    people_routes.add_routes(app, hub)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore", DeprecationWarning)
        page.mount(app, page.build(hub, settings, links), "/admin")
    app.add_middleware(AdminGuard, knows=door.knows, cookie=COOKIE, settings=settings)


def _add_sign_in(app: FastAPI, settings: Settings, door: AdminDoor) -> None:
    @app.get("/admin-login", include_in_schema=False)
    async def login_page(request: Request) -> Response:
        if door.knows(request.cookies.get(COOKIE)):
            return RedirectResponse("/admin/", 303, PLAIN_HEADERS)
        return _page()

    @app.post("/admin-login", include_in_schema=False)
    async def login(request: Request) -> Response:
        if not own_request(request, settings):
            return _page("Please sign in from this page itself.", 403)
        if seconds := door.wait(_address(request)):
            unit = "second" if seconds == 1 else "seconds"
            answer = _page(f"Too many tries. Wait {seconds} {unit}, then try again.", 429)
            answer.headers["Retry-After"] = str(seconds)
            return answer
        typed = await _typed_code(request)
        if typed is None:
            return _page("Type the code that the terminal shows.", 422)
        session = door.enter(typed, _address(request))
        if session is None:
            return _page("That is not the code. Use the newest one in the terminal.", 401)
        answer = RedirectResponse("/admin/", 303, PLAIN_HEADERS)
        answer.set_cookie(
            COOKIE, session, max_age=SESSION_SECONDS, path="/", httponly=True,
            samesite="strict", secure=_secure(request, settings),
        )  # fmt: skip
        return answer

    @app.post("/admin-logout", include_in_schema=False)
    async def logout(request: Request) -> Response:
        if not own_request(request, settings):
            return _page("Please sign out from the host page itself.", 403)
        door.leave(request.cookies.get(COOKIE))
        answer = RedirectResponse("/admin-login", 303, PLAIN_HEADERS)
        answer.delete_cookie(
            COOKIE, path="/", httponly=True, samesite="strict", secure=_secure(request, settings)
        )
        return answer


async def _typed_code(request: Request) -> str | None:
    """The form's code; None when there is none or the form is malformed or far too long."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY:
            return None
    try:
        fields = parse_qs(body.decode("ascii"), max_num_fields=5, errors="strict")
    except ValueError:
        return None
    return fields.get("code", [""])[0].strip() or None


def _secure(request: Request, settings: Settings) -> bool:
    return request.url.scheme == "https" or settings.public_url.startswith("https:")


def _address(request: Request) -> str:
    """What counts as one origin of tries: an IPv4 address or an IPv6 /64 network."""
    host = request.client.host if request.client else "local"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.version == 4 or address.ipv4_mapped:
        return str(address.ipv4_mapped if address.version == 6 else address)
    return str(ipaddress.ip_network((address, 64), strict=False))


def _page(problem: str = "", status: int = 200) -> HTMLResponse:
    alert = f'<p class="problem" id="problem" role="alert">{html.escape(problem)}</p>'
    page = _LOGIN.replace("{alert}", alert if problem else "").replace(
        "{described}", "hint problem" if problem else "hint"
    )
    if problem:
        page = page.replace("<title>", "<title>Error: ")
    return HTMLResponse(page, status, PLAIN_HEADERS)


_LOGIN = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Sign in · BabbleFish host</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/web/admin-login.css">
</head>
<body>
<main>
<p class="brand">BabbleFish</p>
<h1>Host sign-in</h1>
<form method="post" action="/admin-login">
<label for="code">Admin code</label>
<input id="code" name="code" required autofocus maxlength="40" placeholder="ABCD-EFGH"
 autocomplete="one-time-code" autocapitalize="characters" autocorrect="off" spellcheck="false"
 enterkeyhint="go" aria-describedby="{described}">
<p class="hint" id="hint">The terminal in which BabbleFish runs shows it. Each code works once;
the terminal then shows a new one.</p>
{alert}
<button>Sign in</button>
</form>
<p class="aside">Only here to join a meeting? Scan the QR code that the host shows.</p>
</main>
</body>
</html>
"""
