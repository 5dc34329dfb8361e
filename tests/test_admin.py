"""Who gets past the admin door: code, sessions, limits, and every route behind them."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.routing import Mount, WebSocketRoute
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from babblefish.storage.secret import ServerSecret
from babblefish.ui.admin import COOKIE
from babblefish.ui.admin_door import ALPHABET, SESSION_SECONDS, AdminDoor
from tests.host_server import HostServer, host_server
from tests.patience import PATIENCE

pytestmark = pytest.mark.timeout(60)

OPEN_WITH_A_SESSION = {
    "/", "/config", "/config/", "/theme.css", "/assets/{path:path}", "/static/{path:path}",
    "/svelte/{path:path}", "/gradio_api/heartbeat/{session_hash}", "/gradio_api/startup-events",
    "/gradio_api/app_id",
}  # fmt: skip
"""Everything else that Gradio brings along is not there, even for the host."""


@pytest.fixture(scope="module")
def server() -> Iterator[HostServer]:
    with host_server() as running:
        yield running


@pytest.fixture
def stranger(server: HostServer) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=server.base, headers={"Origin": server.base}, timeout=PATIENCE
    ) as client:
        yield client


@pytest.fixture(scope="module")
def session(server: HostServer) -> str:
    answer = httpx.post(
        f"{server.base}/admin-login", data={"code": server.codes[-1]},
        headers={"Origin": server.base},
    )  # fmt: skip
    assert answer.status_code == 303 and answer.headers["location"] == "/admin-password"
    return answer.cookies[COOKIE]


@pytest.fixture
def host(stranger: httpx.Client, session: str) -> httpx.Client:
    stranger.cookies.set(COOKIE, session)
    return stranger


def gradio_routes(server: HostServer) -> list[tuple[str, str]]:
    """(method or "WEBSOCKET", path below /admin) of every route that Gradio registered."""
    (mount,) = [
        r for r in server.app.routes if isinstance(r, Mount) and r.path == "/admin"
    ]  # fmt: skip
    found = []

    def walk(routes, prefix: str = "") -> None:
        for route in routes:
            included = getattr(route, "original_router", None)
            if included is not None:
                walk(included.routes, prefix)
            elif isinstance(route, WebSocketRoute):
                found.append(("WEBSOCKET", prefix + route.path))
            elif hasattr(route, "methods"):
                found.extend((method, prefix + route.path) for method in route.methods)
            elif type(route).__name__ == "APIWebSocketRoute":
                found.append(("WEBSOCKET", prefix + route.path))

    walk(mount.app.routes)
    return found


def concrete(path: str) -> str:
    return re.sub(r"\{[^}]+\}", "abc", path)


# --- the door, without a server ---------------------------------------------------------------


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def door_in(folder: Path, codes: list[str], clock: Clock | None = None) -> AdminDoor:
    return AdminDoor(codes.append, folder, ServerSecret(bytes(32)), clock=clock or Clock())


async def test_the_code_works_once_and_is_followed_by_another(tmp_path: Path) -> None:
    codes: list[str] = []
    door = door_in(tmp_path, codes)
    assert re.fullmatch(f"[{ALPHABET}]{{4}}-[{ALPHABET}]{{4}}", codes[0])
    session = await door.enter_by_code(f"  {codes[0].lower().replace('-', ' ')} ", "a")
    assert session and len(session) >= 43 and door.knows(session)
    assert await door.enter_by_code(codes[0], "a") is None
    assert len(codes) == 2 and await door.enter_by_code(codes[1], "a") not in (None, session)


@pytest.mark.parametrize("typed", ["", "-", "ABCD-EFGH", "é" * 8, "\x00", "A" * 5000])
async def test_anything_else_opens_nothing(typed: str, tmp_path: Path) -> None:
    codes: list[str] = []
    door = door_in(tmp_path, codes)
    assert await door.enter_by_code(typed, "a") is None and len(codes) == 1


async def test_sessions_end_after_twelve_hours_and_are_bounded(tmp_path: Path) -> None:
    codes: list[str] = []
    clock = Clock()
    door = door_in(tmp_path, codes, clock)
    first = await door.enter_by_code(codes[-1], "a")
    clock.now += SESSION_SECONDS - 1
    assert door.knows(first)
    clock.now += 1
    assert not door.knows(first)
    sessions = [await door.enter_by_code(codes[-1], "a") for _ in range(60)]
    assert not door.knows(sessions[0]) and door.knows(sessions[-1])
    await door.leave(sessions[-1])
    assert not door.knows(sessions[-1]) and not door.knows(None) and not door.knows("")


# --- over HTTP --------------------------------------------------------------------------------


def test_the_cookie_is_kept_from_scripts_and_other_sites(
    server: HostServer, stranger: httpx.Client
) -> None:
    cookie = stranger.post("/admin-login", data={"code": server.codes[-1]}).headers["set-cookie"]
    for part in ("HttpOnly", "SameSite=strict", "Path=/", f"Max-Age={SESSION_SECONDS}"):
        assert part in cookie
    assert "Secure" not in cookie  # plain http for this test; see below
    with host_server(public_url="https://fish.example.org") as behind_proxy:
        origin = {"Origin": "https://fish.example.org"}
        answer = httpx.post(
            f"{behind_proxy.base}/admin-login", data={"code": behind_proxy.codes[-1]},
            headers=origin,
        )  # fmt: skip
        assert answer.status_code == 303 and "Secure" in answer.headers["set-cookie"]


def test_wrong_codes_are_refused_in_words_then_limited(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with host_server() as server:
        with httpx.Client(
            base_url=server.base, headers={"Origin": server.base}, timeout=PATIENCE
        ) as client:
            for _ in range(5):
                answer = client.post("/admin-login", data={"code": "AAAA-AAAA"})
                assert answer.status_code == 401 and "not the code" in answer.text
            right = client.post("/admin-login", data={"code": server.codes[-1]})
            assert right.status_code == 429 and int(right.headers["retry-after"]) > 0
            assert "Too many tries" in right.text and COOKIE not in right.cookies
        plain = server.codes[0].replace("-", "")
    assert server.codes[0] not in caplog.text and plain not in caplog.text


@pytest.mark.parametrize(
    "body", [b"", b"code=", b"code=\xff", b"x" * 5000, b"a=1&b=2&c=3&d=4&e=5&f=6&code=1", b"{}"]
)
def test_malformed_forms_are_refused_in_words(body: bytes) -> None:
    with host_server() as server:
        answer = httpx.post(
            f"{server.base}/admin-login", content=body, headers={"Origin": server.base}
        )
    assert answer.status_code == 422 and "Type the code" in answer.text


def test_sign_in_and_out_only_from_this_site(server: HostServer, host: httpx.Client) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert host.post("/admin-logout", headers=headers).status_code == 403
        login = host.post("/admin-login", data={"code": server.codes[-1]}, headers=headers)
        assert login.status_code == 403
        event = host.post("/admin/gradio_api/run/predict", headers=headers)
        assert event.status_code == 403
    del host.headers["Origin"]
    assert host.post("/admin/gradio_api/run/predict").status_code == 403
    assert host.get("/admin/").status_code == 200


def test_pages_carry_a_policy_without_inline_scripts(stranger: httpx.Client, session: str) -> None:
    login = stranger.get("/admin-login").headers
    assert "unsafe" not in login["content-security-policy"]
    assert login["referrer-policy"] == "same-origin" and login["cache-control"] == "no-store"
    stranger.cookies.set(COOKIE, session)
    page = stranger.get("/admin/")
    policy = page.headers["content-security-policy"]
    scripts = policy.partition("script-src")[2].partition(";")[0]
    nonce = re.search(r"'nonce-([\w-]+)'", scripts)
    assert nonce and "unsafe" not in scripts
    tags = re.findall(r"<script[^>]*>", page.text)
    assert tags and all(f'nonce="{nonce[1]}"' in tag for tag in tags)
    assert not re.findall(r"(?:src|href)=\"(?:https?:)?//", page.text.partition("</head>")[0])
    assert nonce[1] not in stranger.get("/admin/").text


def test_every_gradio_route_needs_a_session(server: HostServer, stranger: httpx.Client) -> None:
    routes = gradio_routes(server)
    assert {path for _, path in routes} >= {
        "/gradio_api/queue/join", "/gradio_api/upload", "/gradio_api/file={path_or_url:path}"
    }  # fmt: skip
    for method, path in routes:
        if method != "WEBSOCKET":
            answer = stranger.request(method, "/admin" + concrete(path))
            assert answer.status_code == 401, (method, path)
    for path in ("", "/", "/nothing", "/trace.json", "/trace.csv", "/projector/abc/state"):
        assert stranger.get("/admin" + path).status_code == 401
        page = stranger.get("/admin" + path, headers={"Accept": "text/html"})
        assert page.status_code == 303 and page.headers["location"] == "/admin-login"


def test_promise_20_with_a_session_only_needed_routes_answer(
    server: HostServer, host: httpx.Client
) -> None:
    for method, path in gradio_routes(server):
        if method == "WEBSOCKET" or path in OPEN_WITH_A_SESSION:
            continue
        answer = host.request(method, "/admin" + concrete(path))
        assert answer.status_code == 404, (method, path)
        if method != "HEAD":
            assert answer.json()["error"]["code"] == "not_found", (method, path)
    assert host.get("/admin/theme.css").status_code == 200
    assert host.get("/admin/../etc/passwd").status_code == 404


def test_websockets_are_closed(server: HostServer, session: str) -> None:
    sockets = [path for method, path in gradio_routes(server) if method == "WEBSOCKET"]
    assert sockets
    for path in [*sockets, "/anything"]:
        url = server.base.replace("http", "ws") + "/admin" + concrete(path)
        for headers in ({}, {"Cookie": f"{COOKIE}={session}"}):
            with pytest.raises(InvalidStatus) as refused, connect(url, additional_headers=headers):
                pass
            assert refused.value.response.status_code == 403


def test_logout_ends_the_session(server: HostServer, stranger: httpx.Client) -> None:
    stranger.post("/admin-login", data={"code": server.codes[-1]})
    cookie = stranger.cookies[COOKIE]
    assert stranger.get("/admin/").status_code == 200
    assert stranger.get("/admin-login").headers["location"] == "/admin/"
    assert stranger.post("/admin-logout").headers["location"] == "/admin-login"
    assert COOKIE not in stranger.cookies
    stranger.cookies.set(COOKIE, cookie)
    assert stranger.get("/admin/").status_code == 401
