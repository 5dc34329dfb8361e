"""The host page in a real browser: sign in, run a room, read the trace, show the projector."""

from __future__ import annotations

import csv
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from rooms.voices_heard import HeardVoice
from tests.fakes_hub import trace
from tests.host_browser import (
    DESKTOP,
    PHONE,
    Visitor,
    close_rooms,
    decode,
    join,
    newest,
    shoot,
    until,
)
from tests.host_server import HostServer, host_server
from tests.web_browser import SHOTS, check_accessible, opacities_while_it_waits, settled

HOSTILE = "<script>window.hacked=1</script>"
IMAGE = '<img src=x onerror="window.hacked=1">'

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def server() -> Iterator[HostServer]:
    with host_server() as running:
        yield running


@pytest.fixture
def visitor(host: Visitor, server: HostServer) -> Iterator[Visitor]:
    """The host, on the rooms tab, with no room; nothing may go wrong or leave the server."""
    host.page.get_by_role("tab", name="Rooms").click()
    yield host
    for page in host.context.pages[1:]:
        page.close()
    close_rooms(server)
    assert host.outside == []
    problems, host.problems = host.problems, []
    assert [p for p in problems if "404" not in p] == []  # the projector of a closed room


def test_it_stays_readable_while_it_looks_again(visitor: Visitor) -> None:
    assert opacities_while_it_waits(visitor.page) == {"1"}


def test_a_room_from_creation_to_close(visitor: Visitor, server: HostServer) -> None:
    page = visitor.page
    expect(page.get_by_text("Open a room")).to_be_visible()
    page.get_by_label("New room").fill("Board meeting")
    page.get_by_role("button", name="Create room").click()
    expect(page.get_by_role("heading", name="Board meeting")).to_be_visible()
    expect(page.get_by_label("New room")).to_have_value("")
    room = newest(server)
    link = f"{server.base}/r/{room.code}#t={room.token}"
    assert decode(page, ".bf-qr") == link

    member = join(server, "Pierre")
    join(server, "Dan", "en", microphone=False, connect=False)
    pierre = page.get_by_role("listitem").filter(has_text="Pierre")
    expect(pierre).to_contain_text("speaks French · hears English")
    expect(pierre).to_contain_text("microphone on")
    dan = page.get_by_role("listitem").filter(has_text="Dan")
    expect(dan).to_contain_text("listening only")
    expect(dan).to_contain_text("away")

    page.get_by_role("button", name="Lock", exact=True).click()
    expect(page.get_by_text("Locked: nobody new can join")).to_be_visible()
    assert room.locked
    page.get_by_role("button", name="Unlock").click()
    expect(page.get_by_text("anybody with the link can join")).to_be_visible()
    assert not room.locked

    page.get_by_role("button", name="Remove Dan").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(dan).to_have_count(0)
    assert list(room.members) == [member.id]

    page.get_by_role("button", name="New link").click()
    page.get_by_role("dialog").get_by_role("button", name="New link").click()
    expect(page.locator(".bf-link")).not_to_have_text(link)
    assert decode(page, ".bf-qr") == f"{server.base}/r/{room.code}#t={room.token}" != link

    page.get_by_role("button", name="Close room").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert room.code in server.hub.rooms
    page.get_by_role("button", name="Close room").click()
    page.get_by_role("dialog").get_by_role("button", name="Close room").click()
    expect(page.get_by_text("Open a room")).to_be_visible()
    assert room.closed


STEADINESS = """() => new Promise((done) => {
  const card = document.querySelector('.bf-people');
  let changes = 0, faintest = 1;
  new MutationObserver((list) => (changes += list.length)).observe(
    card, { childList: true, subtree: true, characterData: true, attributes: true });
  const end = performance.now() + 2500;
  (function look() {
    for (let e = card; e; e = e.parentElement)
      faintest = Math.min(faintest, Number(getComputedStyle(e).opacity));
    performance.now() < end ? requestAnimationFrame(look)
      : done({ kept: card.isConnected, changes, faintest });
  })();
})"""


def test_the_live_page_does_not_flicker(visitor: Visitor, server: HostServer) -> None:
    server.call(server.hub.create, "Steady")
    join(server, "Pierre")
    expect(visitor.page.locator(".bf-people li")).to_have_count(1)
    assert visitor.page.evaluate(STEADINESS) == {
        "kept": True, "changes": 0, "faintest": 1,
    }  # fmt: skip


def test_settings_act_on_the_room_and_follow_it(visitor: Visitor, server: HostServer) -> None:
    room = server.call(server.hub.create, "Settings")
    page = visitor.page
    expect(page.get_by_role("heading", name="Settings", exact=True)).to_be_visible()
    page.get_by_text("Settings of this room").click()
    page.get_by_label("Captions while people speak").uncheck()
    slider = page.locator("input[type=range]").first
    slider.focus()
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    expect(page.get_by_label("number input for Original voice").first).to_have_value("30")
    until(page, lambda: room.settings.original_level == pytest.approx(0.3))
    assert room.settings.partial_captions is False
    server.call(room.set, lag_budget=20.0)
    expect(page.get_by_label("number input for Longest delay").first).to_have_value("20")


def test_the_page_stays_live_however_often_the_host_acts(
    visitor: Visitor, server: HostServer
) -> None:
    """Gradio's queue lost an answer, and with it the page, about once in a hundred actions."""
    room = server.call(server.hub.create, "Often")
    page = visitor.page
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    expect(page.get_by_role("heading", name="Often", exact=True)).to_be_visible()
    page.get_by_text("Settings of this room").click()
    page.locator("input[type=range]").first.focus()
    for number in range(30):
        page.keyboard.press("ArrowLeft" if number % 2 else "ArrowRight")
        page.wait_for_timeout(37 * number % 400)
        server.call(room.set, lag_budget=float(20 + number))
        delay = page.get_by_label("number input for Longest delay").first
        expect(delay).to_have_value(str(20 + number))
    assert not [url for url in requests if "/queue/" in url]


def test_errors_are_said_and_nothing_hangs(visitor: Visitor, server: HostServer) -> None:
    page = visitor.page
    page.get_by_role("button", name="Create room").click()
    expect(page.get_by_text("Please enter a room name.")).to_be_visible()
    page.get_by_label("New room").fill("After the error")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="After the error")).to_be_visible()
    page.evaluate(
        "() => { const f = document.querySelector('#bf-action textarea, #bf-action input');"
        " f.value = '{'; f.dispatchEvent(new Event('input', {bubbles: true})) }"
    )
    notice = page.get_by_text("Reload this page: it is older than the server.")
    expect(notice).to_be_visible()
    expect(notice).to_have_count(0)


def test_promise_22_hostile_names_are_inert(visitor: Visitor, server: HostServer) -> None:
    page = visitor.page
    room = server.call(server.hub.create, IMAGE)
    join(server, HOSTILE)
    trace(room, speaker=HOSTILE, outcome=IMAGE)
    expect(page.get_by_role("heading", name=IMAGE)).to_be_visible()
    expect(page.locator(".bf-people .bf-name")).to_have_text(HOSTILE)
    page.get_by_role("button", name="Close room").click()
    expect(page.get_by_role("dialog")).to_contain_text(IMAGE)
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="Live trace").click()
    expect(page.locator(".bf-trace .bf-name")).to_have_text(HOSTILE)
    wall = visitor.open()
    wall.goto(f"{server.base}/admin/projector/{room.code}")
    expect(wall.get_by_role("heading", name=IMAGE)).to_be_visible()
    for each in (page, wall):
        assert each.evaluate("() => window.hacked") is None


def test_trace_rows_appear_and_are_exported(visitor: Visitor, server: HostServer) -> None:
    page = visitor.page
    room = server.call(server.hub.create, "Trace")
    page.get_by_role("tab", name="Live trace").click()
    expect(page.get_by_text("Nothing has been said yet")).to_be_visible()
    heard = HeardVoice("en", False, 0.9), HeardVoice("en", True, 1.6)
    trace(room, "Pierre", 900.0, voices=heard)
    trace(room, "=SUM(1)", 2500.0, outcome="bad_output")
    rows = page.locator(".bf-trace tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.nth(0)).to_contain_text("2.50 s")
    expect(rows.nth(1)).to_contain_text("French → English, Polish")
    expect(rows.nth(1)).to_contain_text("recognise 412")
    told = rows.nth(1).locator('[data-label="Heard in"] .bf-stage')
    expect(told).to_have_text(["English: neutral voice 0.9 s", "English: own voice 1.6 s"])
    expect(page.locator(".bf-tiles")).to_contain_text("0.90 s")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    lines = list(csv.DictReader(download.value.path().open(newline="")))
    assert [line["speaker"] for line in lines] == ["'=SUM(1)", "Pierre"]
    assert lines[1]["translate en ms"] == "31.0"
    assert lines[1]["voices"] == "en:neutral@0.9 en:own@1.6"
    with page.expect_download() as download:
        page.get_by_role("link", name="JSON").click()
    assert '"outcome":"bad_output"' in download.value.path().read_text()


def test_the_projector_follows_the_room(visitor: Visitor, server: HostServer) -> None:
    page = visitor.page
    room = server.call(server.hub.create, "All hands")
    expect(page.get_by_role("heading", name="All hands")).to_be_visible()
    with visitor.context.expect_page() as opened:
        page.get_by_role("link", name="Show on projector").click()
    wall = opened.value
    expect(wall.get_by_role("heading", name="All hands")).to_be_visible()
    assert decode(wall, ".card") == f"{server.base}/r/{room.code}#t={room.token}"
    join(server, "Pierre")
    expect(wall.get_by_text("1 person is here")).to_be_visible()
    server.call(room.rotate_token)
    server.call(room.lock, True)
    expect(wall.get_by_text("The room is locked")).to_be_visible()
    expect(wall.locator("#link")).to_contain_text(room.token)
    server.call(server.hub.close_room, room.code)
    expect(wall.get_by_text("This room is closed.")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_looks(browser: Browser, server: HostServer, scheme: str) -> None:
    """Pictures for people to look at; and nothing is wider than a phone's screen."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    visitor = Visitor(browser, server, color_scheme=scheme)
    page = visitor.page
    page.goto(f"{server.base}/admin-login")
    check_accessible(page)
    shoot(page, f"host_login_{scheme}")
    visitor.sign_in()
    shoot(page, f"host_empty_{scheme}")
    server.call(server.hub.create, "Design review")
    room = server.call(server.hub.create, "Board meeting")
    server.call(server.hub.rooms[next(iter(server.hub.rooms))].lock, True)
    join(server, "Pierre Dupont", "fr")
    join(server, "Dan", "en", hears="fr", connect=False)
    join(server, "Marek Wiśniewski", "pl", hears="pl", microphone=False)
    join(server, "ليلى", "auto", hears="ar")
    page.get_by_role("button", name="Board meeting").click()
    expect(page.locator(".bf-people li")).to_have_count(4)
    assert decode(page, ".bf-qr").endswith(room.token)
    shoot(page, f"host_room_{scheme}")
    page.get_by_text("Settings of this room").click()
    settled(page)
    check_accessible(page)
    shoot(page, f"host_settings_{scheme}", (PHONE,))
    page.get_by_role("button", name="Close room").click()
    shoot(page, f"host_dialog_{scheme}", (PHONE,))
    page.keyboard.press("Escape")
    for total, name in ((820.0, "Pierre Dupont"), (1400.0, "Dan"), (2650.0, "Marek Wiśniewski")):
        trace(room, name, total)
    trace(room, "Dan", None, outcome="worker_died", targets=(), stages_ms={"recognise": 120.0})
    page.set_viewport_size(DESKTOP)  # on a phone, this tab is in the menu of those that do not fit
    page.get_by_role("tab", name="Live trace").click()
    expect(page.locator(".bf-trace tbody tr")).to_have_count(4)
    check_accessible(page)
    shoot(page, f"host_trace_{scheme}")
    page.goto(f"{server.base}/admin/projector/{room.code}")
    expect(page.get_by_role("heading", name="Board meeting")).to_be_visible()
    check_accessible(page)
    shoot(page, f"host_projector_{scheme}")
    visitor.context.close()
    close_rooms(server)
    assert visitor.outside == []


def test_a_server_that_went_away_is_said_and_the_page_recovers(
    visitor: Visitor, server: HostServer
) -> None:
    page = visitor.page
    visitor.context.set_offline(True)
    expect(page.get_by_text("The server does not answer")).to_be_visible()
    server.call(server.hub.create, "Meanwhile")
    visitor.context.set_offline(False)
    expect(page.get_by_text("The server does not answer")).to_have_count(0)  # loaded anew
    expect(page.get_by_role("heading", name="Meanwhile")).to_be_visible()
    visitor.problems.clear()  # the browser's own words for it


AWAY_MS = 12_000
"""see host.js"""


def without_an_answer(page: Page) -> tuple[float, bool]:
    """Hold the server's answer back for some seconds: how long it was, in milliseconds, by the
    page's clock, and whether the page then takes the server for away."""
    held: list[Route] = []
    page.evaluate("() => { window.begun = performance.now() }")
    page.route("**/health", lambda route: held.append(route))
    until(page, lambda: held)
    page.wait_for_timeout(4_000)
    waited, away = page.evaluate(
        "() => [performance.now() - window.begun, !!document.querySelector('.bf-lost')]"
    )
    for route in held:
        route.continue_()
    page.unroute("**/health")
    return waited, away


def test_a_server_that_takes_its_time_is_not_away(visitor: Visitor, server: HostServer) -> None:
    """Loading the page anew would cost the host what they are filling in."""
    page = visitor.page
    for _ in range(10):
        page.evaluate("() => { window.kept = true }")
        waited, away = without_an_answer(page)
        if waited < AWAY_MS:
            break
        # this machine stood still for so long that the server was away: once more
        expect(page.locator(".bf-lost")).to_have_count(0)
    assert waited < AWAY_MS and not away
    server.call(server.hub.create, "Patient")
    expect(page.get_by_role("heading", name="Patient")).to_be_visible()
    assert page.evaluate("() => window.kept")


def test_signing_out_ends_it(visitor: Visitor, server: HostServer) -> None:
    other = visitor.open()
    other.goto(f"{server.base}/admin")
    expect(other.get_by_role("button", name="Create room")).to_be_visible()
    visitor.page.get_by_role("button", name="Sign out").click()
    expect(visitor.page.get_by_role("heading", name="Host sign-in")).to_be_visible()
    expect(other.get_by_role("heading", name="Host sign-in")).to_be_visible()
    visitor.problems.clear()  # Gradio reports the refusal that sent the other page away


def test_stopping_with_an_open_page_is_quiet(
    browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    with host_server() as brief:
        visitor = Visitor(browser, brief)
        visitor.sign_in()
    visitor.context.close()
    assert "Traceback" not in caplog.text
