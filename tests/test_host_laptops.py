"""The laptops tab in a real browser: the command, laptops that ask, how they do, rename, remove."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterator
from concurrent.futures import Future

import httpx
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect
from websockets.exceptions import ConnectionClosed

from babblefish.accelerator_protocol import Health
from babblefish.engine.cloning import LaptopState
from babblefish.engine.cloning_messages import CloneReference, CloneRequest, LaptopFigures
from babblefish.ui.host import audit_words, laptop_views
from tests.host_browser import Visitor, shoot
from tests.host_server import HostServer, host_server
from tests.patience import PATIENCE
from tests.scripted_laptop import ScriptedLaptop
from tests.web_browser import SHOTS, check_accessible, settled

pytestmark = pytest.mark.e2e
HOSTILE = '<img src=x onerror="window.hacked=1">'
COMMAND = re.compile(
    r"python accelerator_app\.py --server (http\S+) --pair ([A-Z2-9]{4}-[A-Z2-9]{4})"
)


# --- in words ---------------------------------------------------------------------------------


def state(**fields) -> LaptopState:
    values = {
        "id": "a", "name": "Dan's", "condition": "away", "message": "Not reachable.",
        "asked_now": False, "transport": "", "health": None, "health_age_s": None,
        "figures": LaptopFigures(), "owed_deletions": 0,
    }  # fmt: skip
    return LaptopState(**(values | fields))


def test_what_is_known_of_a_laptop_in_words() -> None:
    assert laptop_views.facts(state()) == [("Connection", "none")]
    health = Health(
        ready=True, device="RTX 3050", languages=["zh", "en"], memory_used_mb=1945,
        memory_total_mb=4096, waiting=2, expected_wait_s=0.31, real_time_factor=0.41,
    )  # fmt: skip
    figures = LaptopFigures(asked=43, spoken=41, first_clause_s=1.24)
    known = dict(laptop_views.facts(state(health=health, figures=figures, transport="websocket")))
    assert known == {
        "Device": "RTX 3050", "Video memory": "1.9 of 4.0 GB", "Languages": "Chinese, English",
        "Queue": "2", "Wait": "310 ms", "For a second of speech": "410 ms",
        "First sound after": "1.2 s", "In time": "41 of 43", "Connection": "dialled in",
    }  # fmt: skip
    many = ["en", "zh", "fr", "de", "es", "it", "pl", "ru"]
    assert laptop_views.languages(many).endswith("and 3 more")
    assert laptop_views.languages([]) == "none yet"


def test_markup_of_laptops_is_inert_and_debts_are_told() -> None:
    html = laptop_views.laptop_list([state(name=HOSTILE, message=HOSTILE, owed_deletions=1)])
    assert "<img" not in html and "has to forget 1 voice " in html
    assert "<b" not in laptop_views.trouble("<b>", True).replace("<strong", "")
    assert laptop_views.trouble("", True) == "" and "server stops" in laptop_views.trouble(
        "x", True
    )
    card = laptop_views.pair_card(["https://10.0.0.5:9000", "https://<b>"], "ABCD-EFGH", "3F2A")
    assert 'data-copy="python accelerator_app.py --server https://10.0.0.5:9000 --pair' in card
    assert "--trust 3F2A" in card and "<b>" not in card and "without https" not in card
    assert "without https" in laptop_views.pair_card(["http://10.0.0.5:9000"], "ABCD-EFGH", "")
    assert audit_words.in_words("admin", "laptop_removed") == "The admin removed a laptop"


# --- in a browser -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[HostServer]:
    with host_server(keeps=True) as running:
        yield running


@pytest.fixture
def page(host: Visitor, server: HostServer, monkeypatch) -> Iterator[Page]:
    """The laptops tab, without any; nothing may go wrong or leave the server."""
    lookout = server.app.state.pairing.lookout
    monkeypatch.setattr(type(lookout), "_tell", lambda self: asyncio.sleep(0))
    if host.page.get_by_role("dialog").count():  # of a test that failed
        host.page.reload()
    host.page.get_by_role("tab", name="Laptops").click()
    yield host.page
    for laptop in list(server.hub.laptops.all):
        server.call(server.hub.laptops.remove, laptop.id)
    server.call(lookout.stop)
    assert host.outside == []
    problems, host.problems = host.problems, []
    assert problems == []


def pair(server: HostServer, laptop: ScriptedLaptop, code: str, **fields) -> str:
    """What opens the WebSocket."""
    answer = httpx.post(
        f"{server.base}/api/accelerators/pair", json=laptop.introduction(code, **fields)
    )
    assert answer.status_code == 200, answer.text
    return f"{answer.json()['accelerator_id']}.{answer.json()['secret']}"


def code_of(server: HostServer) -> str:
    return server.call(server.app.state.pairing.code)


@contextlib.contextmanager
def dialled_in(server: HostServer, laptop: ScriptedLaptop, credential: str) -> Iterator[Future]:
    async def talk() -> int:
        async with laptop.dial(server.base, credential) as socket:
            with contextlib.suppress(ConnectionClosed):
                await laptop.converse(socket)
            return socket.close_code

    talking = asyncio.run_coroutine_threadsafe(talk(), server._loop)
    yield talking
    talking.cancel()


def speak(server: HostServer) -> None:
    """One utterance through the laptop."""
    clip = np.zeros(24_000, np.float32)
    reference = CloneReference.of("ana", "one two three", "en", clip, 24_000)
    request = CloneRequest("u1", "ana", "Ana", "en", ("Hello,", "how are you?"), reference)

    async def whole() -> int:
        return len([clause async for clause in server.hub.cloning.speak(request, 20.0)])

    assert server.call(whole) == 2


def test_pair_with_the_command_see_it_work_rename_and_remove(
    page: Page, server: HostServer
) -> None:
    expect(page.get_by_role("heading", name="No laptop yet")).to_be_visible()
    line = page.locator(".bf-command")
    base, code = COMMAND.fullmatch(line.inner_text()).groups()
    assert base == server.base
    page.get_by_role("button", name="Copy command").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()

    laptop = ScriptedLaptop()
    credential = pair(server, laptop, code)
    card = page.get_by_role("region", name="Dan's laptop")
    expect(card).to_contain_text("Not reachable")
    assert COMMAND.fullmatch(line.inner_text())[2] != code, "each code is for one laptop"
    with dialled_in(server, laptop, credential) as talking:
        expect(card).to_contain_text("Ready to speak")
        expect(card).to_contain_text("NVIDIA GeForce RTX 3050")
        for fact in ("1.9 of 4.0 GB", "Chinese, English", "410 ms", "dialled in"):
            expect(card).to_contain_text(fact)
        speak(server)
        expect(card).to_contain_text("1 of 1")
        card.get_by_role("button", name="Rename").click()
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_label("Name of the laptop")).to_have_value("Dan's laptop")
        dialog.get_by_label("Name of the laptop").fill(HOSTILE)
        dialog.get_by_role("button", name="Rename").click()
        card = page.get_by_role("region", name=HOSTILE)
        expect(card.get_by_role("heading")).to_have_text(HOSTILE)
        card.get_by_role("button", name="Remove").click()
        expect(page.get_by_role("dialog")).to_contain_text("forget all voices")
        page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        assert len(server.hub.laptops.all) == 1
        card.get_by_role("button", name="Remove").click()
        page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        expect(page.get_by_text("Removed. It has forgotten all voices.")).to_be_visible()
        assert talking.result(PATIENCE) == 4401
    expect(page.get_by_role("heading", name="No laptop yet")).to_be_visible()
    assert "ana" in laptop.deleted and page.evaluate("() => window.hacked") is None
    acts = [entry.act for entry in server.call(server.hub.storage.audit_log)]
    assert acts[:3] == ["laptop_removed", "laptop_renamed", "laptop_paired"]


def test_the_code_stays_while_the_page_is_open_and_nothing_flickers(
    page: Page, server: HostServer
) -> None:
    pair(server, ScriptedLaptop(), code_of(server))
    expect(page.get_by_role("region", name="Dan's laptop")).to_be_visible()
    page.evaluate("""() => { window.changes = 0;
      new MutationObserver((found) => (window.changes += found.length))
        .observe(document.querySelector('.bf-laptop').parentElement,
                 { childList: true, subtree: true }); }""")
    before = page.locator(".bf-command").inner_text()
    page.wait_for_timeout(2500)
    assert page.evaluate("() => window.changes") == 0
    assert page.locator(".bf-command").inner_text() == before


def test_laptops_ask_and_the_host_decides(page: Page, server: HostServer) -> None:
    ask = f"{server.base}/api/accelerators/ask"
    body = ScriptedLaptop().introduction(name=HOSTILE)
    assert httpx.post(ask, json=body).status_code == 403
    page.get_by_role("button", name="Look for laptops").click()
    expect(page.get_by_text("on, 10 minutes more")).to_be_visible()
    tickets = []
    for name, pem in ((HOSTILE, ""), ("Studio", "")):
        asked = httpx.post(ask, json=ScriptedLaptop(pem=pem).introduction(name=name)).json()
        tickets.append({"Authorization": f"Bearer {asked['ticket']}"})
        number = f"{asked['number'][:3]} {asked['number'][3:]}"
        item = page.get_by_role("listitem").filter(has_text=name)
        expect(item).to_contain_text(number)
        if name == HOSTILE:
            item.get_by_role("button", name="Refuse").click()
        else:
            item.get_by_role("button", name="Confirm").click()
        expect(item).to_have_count(0)
    assert httpx.get(ask, headers=tickets[1]).json()["accelerator_id"]
    expect(page.get_by_role("region", name="Studio")).to_be_visible()
    assert page.evaluate("() => window.hacked") is None
    page.get_by_role("button", name="Stop looking").click()
    expect(page.get_by_role("button", name="Look for laptops")).to_be_visible()
    assert not server.app.state.pairing.lookout.on


def test_trouble_is_said(page: Page, server: HostServer, monkeypatch) -> None:
    laptops, lookout = server.hub.laptops, server.app.state.pairing.lookout
    monkeypatch.setattr(laptops, "problem", "The disk is full. Make space.")
    monkeypatch.setattr(lookout, "problem", "The network does not let it.")
    expect(page.get_by_text("The disk is full")).to_be_visible()
    expect(page.get_by_text("The network does not let it.")).to_be_visible()
    monkeypatch.undo()
    expect(page.get_by_text("The disk is full")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_looks(browser: Browser, server: HostServer, scheme: str, monkeypatch) -> None:
    """Pictures for people to look at; and nothing is wider than a phone's screen."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    pairing = server.app.state.pairing
    monkeypatch.setattr(type(pairing.lookout), "_tell", lambda self: asyncio.sleep(0))
    mark = "3F2A-9C41-77B0-E1D5-08AC-6B92-4410-FE3D"
    monkeypatch.setattr(pairing, "mark", lambda: mark)
    visitor = Visitor(browser, server, color_scheme=scheme)
    page = visitor.sign_in()
    page.get_by_role("tab", name="Laptops").click()
    expect(page.locator(".bf-command")).to_contain_text(f"--trust {mark}")
    check_accessible(page)
    shoot(page, f"laptops_none_{scheme}")
    laptop = ScriptedLaptop()
    credential = pair(server, laptop, code_of(server), name="Marek's ThinkPad")
    pair(server, laptop, code_of(server), name="حاسوب ليلى")
    server.call(server.hub.laptops.forget, "ana")
    page.get_by_role("button", name="Look for laptops").click()
    expect(page.get_by_role("button", name="Stop looking")).to_be_visible()
    body = ScriptedLaptop().introduction(name="Studio tower with a rather long name")
    httpx.post(f"{server.base}/api/accelerators/ask", json=body).raise_for_status()
    with dialled_in(server, laptop, credential):
        expect(page.get_by_text("Ready to speak")).to_be_visible()
        speak(server)
        expect(page.get_by_text("1 of 1")).to_be_visible()
        expect(page.get_by_text("laptop asks")).to_be_visible()
        check_accessible(page)
        shoot(page, f"laptops_{scheme}")
        page.get_by_role("button", name="Rename").first.click()
        settled(page)
        check_accessible(page)
        shoot(page, f"laptops_rename_{scheme}")
        page.keyboard.press("Escape")
    visitor.context.close()
    for one in list(server.hub.laptops.all):
        server.call(server.hub.laptops.remove, one.id)
    server.call(pairing.lookout.stop)
    assert visitor.outside == [] and visitor.problems == []
