"""The host signs in by code, chooses a password, signs in by it, forgets it and changes it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from babblefish.ui.admin import COOKIE
from tests.host_browser import Visitor, shoot
from tests.host_server import HostServer, host_server
from tests.web_browser import SHOTS, check_accessible

GOOD, BETTER = "correct horse battery", "staple gun <on> a Sunday"
NEW = {"new": GOOD, "again": GOOD}


@pytest.fixture
def server() -> Iterator[HostServer]:
    with host_server(keeps=True) as running:
        yield running


@pytest.fixture
def client(server: HostServer) -> Iterator[httpx.Client]:
    with client_of(server) as one:
        yield one


def client_of(server: HostServer) -> httpx.Client:
    return httpx.Client(base_url=server.base, headers={"Origin": server.base}, timeout=30)


def enter(server: HostServer, client: httpx.Client, **fields: str) -> httpx.Response:
    return client.post("/admin-login", data=fields or {"code": server.codes[-1]})


# --- over HTTP --------------------------------------------------------------------------------


def test_promise_19_a_password_is_set_on_first_use_and_signs_in(
    server: HostServer, client: httpx.Client
) -> None:
    assert "Admin code" in client.get("/admin-login").text
    refused = enter(server, client, password=GOOD)
    assert refused.status_code == 422 and "No password is set" in refused.text
    entered = enter(server, client)
    assert entered.headers["location"] == "/admin-password"
    page = client.get("/admin-password")
    assert "Choose a password" in page.text and "Current password" not in page.text
    assert "unsafe" not in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"

    easy = client.post("/admin-password", data={"new": "babblefish1", "again": "babblefish1"})
    assert easy.status_code == 422 and "easy to guess" in easy.text
    differs = client.post("/admin-password", data={"new": GOOD, "again": BETTER})
    assert differs.status_code == 422 and "differ" in differs.text and BETTER not in differs.text
    before = client.cookies[COOKIE]
    saved = client.post("/admin-password", data=NEW)
    assert saved.status_code == 303 and saved.headers["location"] == "/admin/"
    for part in ("HttpOnly", "SameSite=strict", "Path=/"):
        assert part in saved.headers["set-cookie"]
    assert client.cookies[COOKIE] != before and client.get("/admin/").status_code == 200

    with client_of(server) as other:
        assert 'type="password"' in other.get("/admin-login").text
        assert enter(server, other, password=BETTER).status_code == 401
        entered = enter(server, other, password=GOOD)
        assert entered.headers["location"] == "/admin/"
        assert other.get("/admin/").status_code == 200
    acts = [entry.act for entry in server.call(server.hub.storage.audit_log)]
    assert acts == ["signed_in_by_password", "password_set", "signed_in_by_code"]


def test_a_change_signs_everybody_else_out(server: HostServer, client: httpx.Client) -> None:
    enter(server, client)
    client.post("/admin-password", data=NEW)
    with client_of(server) as other:
        enter(server, other, password=GOOD)
        page = other.get("/admin-password")
        assert "Change the password" in page.text and "Current password" in page.text
        changed = {"new": BETTER, "again": BETTER}
        wrong = other.post("/admin-password", data={"current": BETTER, **changed})
        assert wrong.status_code == 401 and "not the current password" in wrong.text
        done = other.post("/admin-password", data={"current": GOOD, **changed})
        assert done.status_code == 303 and other.get("/admin/").status_code == 200
    assert client.get("/admin/").status_code == 401
    assert client.get("/admin-password").headers["location"] == "/admin-login"
    assert enter(server, client, password=GOOD).status_code == 401
    assert enter(server, client, password=BETTER).status_code == 303


def test_the_password_page_needs_a_session_and_this_site(
    server: HostServer, client: httpx.Client
) -> None:
    assert client.post("/admin-password", data=NEW).headers["location"] == "/admin-login"
    enter(server, client)
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = client.post("/admin-password", data=NEW, headers=headers)
        assert answer.status_code == 403
    assert "Choose a password" in client.get("/admin-password").text


@pytest.mark.parametrize("body", [b"", b"new=", b"new=\xff", b"new=" + b"x" * 9000, b"&" * 700])
def test_malformed_passwords_are_refused_in_words(
    server: HostServer, client: httpx.Client, body: bytes
) -> None:
    enter(server, client)
    answer = client.post("/admin-password", content=body)
    assert answer.status_code == 422 and "at least 10 characters" in answer.text


def test_promise_19_guessing_the_current_password_is_limited_too(
    server: HostServer, client: httpx.Client
) -> None:
    enter(server, client)
    client.post("/admin-password", data=NEW)
    guess = {"current": "a guess or two", "new": BETTER, "again": BETTER}
    answers = [client.post("/admin-password", data=guess) for _ in range(6)]
    assert [a.status_code for a in answers] == [401] * 5 + [429]
    assert int(answers[-1].headers["retry-after"]) > 0 and "Too many tries" in answers[-1].text
    assert enter(server, client, password=GOOD).status_code == 429
    client.cookies.clear()
    assert enter(server, client).status_code == 303, "the terminal's code still lets in"
    acts = [entry.act for entry in server.call(server.hub.storage.audit_log)]
    assert acts.count("sign_in_blocked") == 1


def test_promise_19_sessions_and_limits_hold_across_a_restart(tmp_path) -> None:
    with host_server(keeps=True, data_dir=tmp_path) as first:
        with client_of(first) as client:
            enter(first, client)
            client.post("/admin-password", data=NEW)
            session = client.cookies[COOKIE]
            answers = [enter(first, client, password="a guess or two") for _ in range(6)]
            assert answers[-1].status_code == 429
    with host_server(keeps=True, data_dir=tmp_path) as second:
        with client_of(second) as client:
            assert enter(second, client, password=GOOD).status_code == 429
            client.cookies.set(COOKIE, session)
            assert client.get("/admin/").status_code == 200
            client.post("/admin-logout")
            client.cookies.set(COOKIE, session)
            assert client.get("/admin/").status_code == 401


def test_a_damaged_password_is_said_and_the_code_works(
    server: HostServer, client: httpx.Client
) -> None:
    enter(server, client)
    client.post("/admin-password", data=NEW)
    (server.settings.data_dir / "admin-password.json").write_text("{")
    client.cookies.clear()
    page = client.get("/admin-login").text
    assert "cannot be read" in page and "Admin code" in page
    refused = enter(server, client, password=GOOD)
    assert refused.status_code == 503 and "cannot be read" in refused.text
    enter(server, client)
    assert client.post("/admin-password", data=NEW).status_code == 303
    client.cookies.clear()
    assert enter(server, client, password=GOOD).status_code == 303


# --- in a browser -----------------------------------------------------------------------------


def choose(page: Page, password: str, current: str = "") -> None:
    if current:
        page.get_by_label("Current password").fill(current)
    page.get_by_label("New password", exact=True).fill(password)
    page.get_by_label("New password again").fill(password)
    page.get_by_role("button", name="Save password").click()


@pytest.mark.e2e
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_host_chooses_a_password_forgets_it_and_changes_it(
    browser: Browser, server: HostServer, scheme: str
) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    visitor = Visitor(browser, server, color_scheme=scheme)
    page = visitor.page

    def look(name: str) -> None:
        check_accessible(page)
        shoot(page, f"host_{name}_{scheme}")

    page.goto(f"{server.base}/admin")
    page.get_by_label("Admin code").fill(server.codes[-1].lower())
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Choose a password")).to_be_visible()
    expect(page.get_by_label("New password", exact=True)).to_be_focused()
    look("password_new")
    choose(page, "babblefish2026")
    expect(page.get_by_role("alert")).to_contain_text("easy to guess")
    look("password_easy")
    choose(page, GOOD)
    expect(page.get_by_role("button", name="Create room")).to_be_visible()

    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Password")).to_be_focused()
    look("login_password")
    page.get_by_label("Password").fill("a guess or two")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("not the password")
    page.get_by_label("Password").fill(GOOD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Create room")).to_be_visible()

    page.get_by_role("link", name="Password").click()
    expect(page.get_by_role("heading", name="Change the password")).to_be_visible()
    look("password_change")
    choose(page, BETTER, current=GOOD)
    expect(page.get_by_role("button", name="Create room")).to_be_visible()

    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("link", name="Forgot it?").click()
    page.get_by_label("Admin code").fill(server.codes[-1])
    look("login_forgot")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Change the password")).to_be_visible()
    expect(page.get_by_label("Current password")).to_have_count(0)
    choose(page, GOOD)
    expect(page.get_by_role("button", name="Create room")).to_be_visible()

    (server.settings.data_dir / "admin-password.json").write_text("{")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("The stored password cannot be read")).to_be_visible()
    look("login_unreadable")
    visitor.context.close()
    assert visitor.outside == []
    refused = [p for p in visitor.problems if "401" in p or "422" in p]  # as was asked for
    assert visitor.problems == refused
