"""The programs tab in a real browser: a key is made, shown once, used, revoked."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from babblefish.storage.records import StoredKey
from babblefish.ui.host import audit_words, program_views
from babblefish.ui.programs.caller import Caller
from tests.host_browser import Visitor, shoot
from tests.host_server import HostServer, host_server
from tests.patience import PATIENCE
from tests.program_routes import add_program_routes, patient, without_database
from tests.stored import NOW
from tests.web_browser import SHOTS, check_accessible

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
HOSTILE = '<img src=x onerror="window.hacked=1">'


# --- in words ---------------------------------------------------------------------------------


def stored(**fields) -> StoredKey:
    values = {
        "id": "3f2a9c41", "name": "Lobby kiosk", "sha256": "0" * 64,
        "scopes": frozenset({"speak", "translate"}), "per_minute": 600, "connections": 30,
        "made": NOW,
    }  # fmt: skip
    return StoredKey(**(values | fields))


def test_markup_is_inert_and_the_hash_stays_inside() -> None:
    state = program_views.ProgramState(stored(name=HOSTILE), 2)
    html = program_views.key_list([state], NOW)
    assert "<img" not in html and "0" * 64 not in html
    assert html.index("Translate text") < html.index("Speak text") and "Join rooms" not in html
    assert "2 of 30" in html and "bf_3f2a9c41" in html and "never" in html
    assert "<img" not in program_views.fresh_card(HOSTILE, "bf_x")
    use = program_views.use_card(["https://<b>", "https://10.0.0.5:9000"], True)
    assert "<b>" not in use and "/trust/ca" in use and "10.0.0.5" in use
    assert "/trust/ca" not in program_views.use_card(["https://x"], False)
    assert "No program yet" in program_views.key_list([], NOW)
    assert program_views.trouble("", True) == ""
    assert "work again" in program_views.trouble("<b>", True)
    assert "go on" in program_views.trouble("<b>", False)
    assert "<b>" not in program_views.trouble("<b>", False)
    assert audit_words.in_words("admin", "key_revoked") == "The admin revoked the key of a program"


def test_how_long_ago_in_words() -> None:
    ago = program_views.ago
    assert ago(None, NOW) == "never" and ago(NOW + 5, NOW) == ago(NOW - 59, NOW) == "just now"
    assert ago(NOW - 61, NOW) == "1 minute ago" and ago(NOW - 7300, NOW) == "2 hours ago"
    assert re.fullmatch(r"\d+ [A-Z]\w+ 20\d\d", ago(NOW - 90_000, NOW))


# --- in a browser -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[HostServer]:
    with patient(), host_server(keeps=True) as running:
        add_program_routes(running.app)
        yield running


def drop_all(server: HostServer) -> None:
    keys = server.app.state.keys
    for key in keys.all:
        server.call(keys.revoke, key.id)


@pytest.fixture
def page(host: Visitor, server: HostServer) -> Iterator[Page]:
    """The programs tab, without any; nothing may go wrong or leave the server."""
    drop_all(server)
    host.page.reload()
    host.page.get_by_role("tab", name="Programs").click()
    expect(host.page.get_by_role("heading", name="No program yet")).to_be_visible()
    yield host.page
    assert host.outside == []
    problems, host.problems = host.problems, []
    assert problems == []


def make(page: Page, name: str) -> str:
    page.get_by_label("New key for").fill(name)
    page.get_by_role("button", name="Make key").click()
    card = page.get_by_role("region", name="New key")
    expect(card).to_contain_text(name)
    return card.locator(".bf-key").inner_text()


def ask(server: HostServer, path: str, key: str) -> int:
    return httpx.post(
        server.base + path, headers={"Authorization": f"Bearer {key}"}, timeout=PATIENCE
    ).status_code


def test_a_key_is_made_shown_once_used_and_revoked(page: Page, server: HostServer) -> None:
    page.get_by_label("Speak text").uncheck()
    key = make(page, HOSTILE)
    page.get_by_role("button", name="Copy key").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    expect(page.get_by_label("New key for")).to_have_value("")
    card = page.get_by_role("region", name=HOSTILE)
    expect(card).to_contain_text(key[:11])
    expect(card).to_contain_text("Last used")
    expect(card).to_contain_text("never")
    expect(card.get_by_role("listitem")).to_have_text(["Translate text", "Transcribe recordings"])
    assert (ask(server, "/translate", key), ask(server, "/speak", key)) == (200, 403)
    expect(card).to_contain_text("just now")
    page.get_by_role("button", name="Done").click()
    expect(page.get_by_role("region", name="New key")).to_have_count(0)
    assert key not in page.content()
    page.reload()
    page.get_by_role("tab", name="Programs").click()
    expect(card).to_be_visible()
    assert key not in page.content() and page.evaluate("() => window.hacked") is None
    card.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert ask(server, "/translate", key) == 200
    card.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(card).to_have_count(0)
    assert ask(server, "/translate", key) == 401
    page.get_by_role("tab", name="Server").click()
    expect(page.get_by_text("The admin revoked the key of a program").first).to_be_visible()
    expect(page.get_by_text("The admin made a key for a program").first).to_be_visible()


def test_what_is_wrong_is_said_and_what_was_typed_stays(page: Page, server: HostServer) -> None:
    page.get_by_role("button", name="Make key").click()
    expect(page.get_by_text("Please enter a name.")).to_be_visible()
    page.get_by_label("New key for").fill("Kiosk")
    for scope in ("Translate text", "Transcribe recordings", "Speak text"):
        page.get_by_label(scope).uncheck()
    page.get_by_role("button", name="Make key").click()
    expect(page.get_by_text("Choose what the key is for")).to_be_visible()
    expect(page.get_by_label("New key for")).to_have_value("Kiosk")
    page.get_by_label("Watch the server").check()
    page.get_by_label("Requests a minute").fill("")
    page.get_by_role("button", name="Make key").click()
    expect(page.get_by_text("Type a whole number of requests.")).to_be_visible()
    page.get_by_label("Requests a minute").fill("5")
    page.get_by_label("New key for").press("Enter")
    expect(page.get_by_role("region", name="Kiosk")).to_contain_text("at most 5")
    (key,) = server.app.state.keys.all
    assert (key.scopes, key.per_minute, key.connections) == ({"watch"}, 5, 30)


def test_trouble_is_said(page: Page, server: HostServer) -> None:
    key = make(page, "Kiosk")
    with without_database(server.settings.data_dir):
        expect(page.get_by_text("Keys cannot be made at the moment.")).to_be_visible()
        assert ask(server, "/translate", key) == 200
        page.get_by_label("New key for").fill("Other")
        page.get_by_role("button", name="Make key").click()
        expect(page.locator(".bf-notice")).to_contain_text("newer BabbleFish")
        page.get_by_role("button", name="Revoke").click()
        page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
        expect(page.get_by_text("the disk does not know it yet")).to_be_visible()
    expect(page.get_by_text("the disk does not know it yet")).to_have_count(0)
    assert ask(server, "/translate", key) == 401


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_looks(browser: Browser, server: HostServer, scheme: str) -> None:
    """Pictures for people to look at; and nothing is wider than a phone's screen."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    drop_all(server)
    visitor = Visitor(browser, server, color_scheme=scheme)
    page = visitor.sign_in()
    page.get_by_role("tab", name="Programs").click()
    expect(page.get_by_role("heading", name="No program yet")).to_be_visible()
    check_accessible(page)
    shoot(page, f"programs_none_{scheme}")
    keys, gate = server.app.state.keys, server.app.state.gate
    server.call(keys.make, "Telephone bridge with a rather long name", ["rooms"], 60, 8)
    stored, _ = server.call(keys.make, "كشك الاستقبال", program_views.SCOPES, 6000, 30)
    server.call(keys.note_use, stored.id)
    with gate.hold(Caller(stored.id, "", frozenset(), "")):
        page.set_viewport_size({"width": 1280, "height": 800})
        make(page, "Lobby kiosk")
        expect(page.get_by_text("1 of 30")).to_be_visible()
        check_accessible(page)
        shoot(page, f"programs_{scheme}")
        page.get_by_role("button", name="Done").click()
        page.get_by_role("button", name="Revoke").first.click()
        page.wait_for_timeout(200)
        check_accessible(page)
        shoot(page, f"programs_revoke_{scheme}")
        page.keyboard.press("Escape")
    visitor.context.close()
    drop_all(server)
    assert visitor.outside == [] and visitor.problems == []
