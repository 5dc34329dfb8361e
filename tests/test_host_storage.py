"""The admin is told what is wrong with the storage, and what was done with people's data."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from babblefish.storage.records import AuditEntry, StorageHealth
from babblefish.ui.host import audit_words
from babblefish.ui.host.banner import banner
from babblefish.ui.host.server import audit_card, storage_card
from tests.host_browser import DESKTOP, PHONE, Visitor, join, newest, shoot
from tests.host_server import HostServer, host_server
from tests.stored import python, room, said
from tests.test_storage_faults import LOCKER, checkpointed, overwrite
from tests.web_browser import SHOTS, check_accessible

# --- in words ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("actor", "act", "words"),
    [
        ("admin", "speaker_deleted", "The admin deleted a person"),
        ("self", "consent_withdrawn_cloning",
         "A participant withdrew the consent to a copy of their voice"),
        ("server", "transcripts_expired", "BabbleFish deleted a transcript whose time was over"),
        ("admin", "something_new", "The admin something new"),
    ],
)  # fmt: skip
def test_acts_in_words(actor: str, act: str, words: str) -> None:
    assert audit_words.in_words(actor, act) == words


def test_the_same_in_a_row_is_one_line() -> None:
    now = time.mktime((2026, 11, 22, 12, 3, 0, 0, 0, -1))
    entries = [AuditEntry(now - 60 * n, "server", "clip_added", "ana") for n in range(3)]
    entries += [AuditEntry(now - 300, "admin", "signed_out", "")]
    entries += [AuditEntry(now - 86400, "server", "clip_added", "<b>ana")]
    html = audit_words.table(entries)
    assert html.count("<li>") == 3 and "12:01–12:03" in html and "3 times" in html
    assert html.index("22 November") < html.index("21 November") and "<b>" not in html
    assert "leaves a line here" in audit_words.table([])


def test_nothing_is_said_while_all_is_well() -> None:
    assert banner(None) == banner(StorageHealth("ok")) == ""
    assert banner(StorageHealth("degraded", "starting", "The storage is starting.")) == ""
    assert "runs without" in storage_card(None) and "on the disk" in storage_card(
        StorageHealth("ok")
    )


def test_what_waits_and_what_was_lost_is_said() -> None:
    card = storage_card(StorageHealth("degraded", "full", "No <space>.", 1, 7))
    assert "1 transcript line waits" in card and "7 transcript lines could not" in card
    assert "No &lt;space&gt;." in card and "discard" not in card
    assert "cannot be read" in audit_card([], 0, "The disk is full.")


# --- in a browser -----------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[HostServer]:
    with host_server(keeps=True) as running:
        yield running


@pytest.fixture
def host(browser: Browser, server: HostServer) -> Iterator[Visitor]:
    one = Visitor(browser, server)
    one.sign_in()
    yield one
    one.context.close()
    assert (one.outside, one.problems) == ([], [])


def meeting_goes_on(page: Page, server: HostServer, name: str) -> None:
    page.get_by_role("tab", name="Rooms").click()
    join(server, name)
    expect(page.get_by_role("listitem").filter(has_text=name)).to_be_visible()


def fill(server: HostServer, lines: int) -> None:
    storage = server.hub.storage
    server.call(storage.record, room())
    for number in range(lines):
        server.call(storage.record, said(number, f"aubergine {number} " * 20))
    server.call(storage.flush)
    checkpointed(server.settings.data_dir)


@pytest.mark.e2e
def test_promise_10_a_locked_database_is_told_on_every_tab_and_passes(
    host: Visitor, server: HostServer
) -> None:
    page = host.page
    server.call(server.hub.create, "Board meeting")
    told = page.get_by_role("alert").filter(has_text="Another program holds the database")
    expect(told).to_have_count(0)
    with python(LOCKER, server.settings.data_dir / "babblefish.db") as locker:
        assert locker.stdout.readline() == "locked\n"
        expect(told).to_be_visible()  # although nobody uses the storage
        expect(told).to_contain_text("meetings go on")
        meeting_goes_on(page, server, "Pierre")
        for tab in ("Live trace", "Server"):
            page.get_by_role("tab", name=tab).click()
            expect(told).to_be_visible()
        expect(page.locator(".bf-storage")).to_contain_text("in trouble")
        server.call(server.hub.storage.record, room())
        server.call(server.hub.storage.record, said(1))
        expect(page.locator(".bf-storage")).to_contain_text("1 transcript line waits")
        locker.communicate("\n\n")
    expect(told).to_have_count(0)
    expect(page.locator(".bf-storage")).to_contain_text("works")


@pytest.mark.e2e
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_promise_10_a_damaged_database_is_told_and_can_be_discarded(
    browser: Browser, server: HostServer, scheme: str
) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    host = Visitor(browser, server, color_scheme=scheme)
    page = host.sign_in()
    server.call(server.hub.create, "Board meeting")
    fill(server, 400)
    overwrite(server.settings.data_dir / "babblefish.db")
    told = page.get_by_role("alert").filter(has_text="The database was damaged")
    expect(told).to_be_visible()  # although nobody uses the storage
    meeting_goes_on(page, server, "Marek")
    assert newest(server).members and server.hub.storage.health.state == "ok"
    page.get_by_role("tab", name="Server").click()
    expect(page.locator(".bf-files li").first).to_contain_text("babblefish.db.corrupt-")
    check_accessible(page)
    shoot(page, f"host_server_{scheme}")
    page.set_viewport_size(DESKTOP)
    page.get_by_role("button", name="Discard the damaged files").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Cancel").click()
    assert server.hub.storage.health.set_aside
    page.get_by_role("button", name="Discard the damaged files").click()
    dialog.get_by_role("button", name="Discard").click()
    expect(told).to_have_count(0)
    assert not [name for name in os.listdir(server.settings.data_dir) if "corrupt" in name]
    lines = page.locator(".bf-audit li")
    expect(lines.first).to_contain_text("The admin discarded a damaged database")
    expect(lines.last).to_contain_text("BabbleFish set a damaged database aside")
    host.context.close()
    assert (host.outside, host.problems) == ([], [])


@pytest.mark.e2e
def test_the_audit_is_shown_in_words_newest_first_and_by_pages(
    host: Visitor, server: HostServer
) -> None:
    page, storage = host.page, server.hub.storage
    page.get_by_role("tab", name="Server").click()
    lines = page.locator(".bf-audit li")
    expect(lines).to_have_count(1)
    expect(lines.first).to_contain_text("The admin signed in with a code from the terminal")
    ana = server.call(storage.add_speaker, "Ana Secret")
    server.call(storage.delete_speaker, ana.id)
    expect(lines.first).to_contain_text("The admin deleted a person")
    expect(lines.nth(1)).to_contain_text("The admin added a person")
    expect(page.locator(".bf-audit")).not_to_contain_text("Ana")
    for number in range(120):
        server.call(storage.note, "self", "transcript_downloaded", f"room{number}")
    expect(lines).to_have_count(50)
    expect(lines.first).to_contain_text("A participant downloaded a transcript")
    expect(page.get_by_role("button", name="Newer")).to_have_count(0)
    page.get_by_role("button", name="Older").click()
    expect(lines.first).to_contain_text("room69")
    page.get_by_role("button", name="Older").click()
    expect(lines).to_have_count(23)
    expect(lines.last).to_contain_text("signed in with a code")
    expect(page.get_by_role("button", name="Older")).to_have_count(0)
    page.get_by_role("button", name="Newer").click()
    expect(lines.first).to_contain_text("room69")
    shoot(page, "host_audit", (PHONE,))
    check_accessible(page)
