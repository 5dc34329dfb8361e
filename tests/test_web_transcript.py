"""The transcript sheet of the phone page in a real browser: told, read, searched, saved."""
# ruff: noqa: F401, F811  (fixtures are imported by name)

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Route, expect

from babblefish.protocol import TranscriptPolicy
from tests.web_browser import PHONE, OpenPhone, PhonePage, chromium, phone, playwright, web

pytestmark = pytest.mark.e2e

EVIL = "<img src=x onerror=alert(1)>\u202e --> <b>"


def line(number: int, text: str, **fields) -> dict:
    return {"number": number, "at": 1.8e9 + number, "speaker": "Pierre", "language": "fr",
            "direction": "ltr", "text": text, "translations": []} | fields  # fmt: skip


def into(language: str, text: str, direction: str = "ltr", synthetic: bool = True) -> dict:
    return {"language": language, "direction": direction, "text": text, "quality": "good",
            "synthetic": synthetic}  # fmt: skip


class Shelf:
    """Answers for the transcript's routes, and what was asked."""

    def __init__(self, page: PhonePage, lines: list[dict]) -> None:
        self.lines, self.asked, self.keys = lines, [], []
        self.page_size = 100
        page.page.route("**/transcript/lines?**", self.answer)
        page.page.route("**/transcript?**", self.file)

    def query(self, route: Route) -> dict[str, str]:
        self.keys.append(route.request.headers["authorization"])
        asked = {k: v[0] for k, v in parse_qs(urlsplit(route.request.url).query).items()}
        self.asked.append(asked)
        return asked

    def answer(self, route: Route) -> None:
        asked = self.query(route)
        found = [
            entry for entry in self.lines
            if entry["number"] > int(asked["after"])
            and asked.get("words", "").lower() in json.dumps(entry, ensure_ascii=False).lower()
        ]  # fmt: skip
        page = found[: self.page_size]
        body = {"kept": "until_close", "days": 0, "lines": page, "more": len(found) > len(page)}
        route.fulfill(json=body)

    def file(self, route: Route) -> None:
        self.query(route)
        headers = {"Content-Disposition": 'attachment; filename="babblefish-1.txt"'}
        route.fulfill(body="Pierre: Hello", headers=headers)


def test_people_are_told_how_long_it_is_kept(phone: OpenPhone) -> None:
    dan = phone().form()
    expect(dan.page.locator("#join-kept")).to_have_text("Nothing that is said here is kept.")
    dan.page.click("#join-button")
    dan.connected()
    dan.send(TranscriptPolicy("days", 1))
    kept = "A transcript is kept for one day."
    dan.until("(kept) => window.toasts.some(({ text }) => text.includes(kept))", kept)
    dan.page.click("#open-transcript")
    dan.send(TranscriptPolicy("days", 30))
    kept = dan.page.locator("#transcript-kept")
    expect(kept).to_have_text("A transcript is kept for 30 days.")
    dan.send(TranscriptPolicy("off"))
    expect(kept).to_have_text("Nothing that is said here is kept.")
    expect(dan.page.locator("#transcript-reading")).to_be_hidden()


@pytest.mark.parametrize("dark", [False, True])
def test_the_sheet_reads_searches_and_saves(phone: OpenPhone, dark: bool) -> None:
    dan = phone(dark=dark).join()
    shelf = Shelf(dan, [
        line(1, "Bonjour à tous.", translations=[into("en", "Hello everybody.")]),
        line(4, "صباح الخير", language="ar", direction="rtl", speaker="ليلى"),
        line(9, EVIL, speaker=EVIL),
        *(line(number, f"ligne {number}") for number in range(10, 130)),
    ])  # fmt: skip
    dan.send(TranscriptPolicy("until_close"))
    dan.page.click("#open-transcript")
    rows = dan.page.locator("#transcript-lines li")
    expect(rows).to_have_count(100)
    expect(rows.nth(0).locator(".said")).to_have_text("Hello everybody.")
    expect(rows.nth(0).locator(".as-said")).to_have_text("Bonjour à tous.")
    expect(rows.nth(0)).to_contain_text("synthetic voice")
    assert rows.nth(1).locator(".said").get_attribute("dir") == "rtl"
    expect(rows.nth(2)).to_contain_text("<img src=x")
    assert dan.page.locator("#transcript-lines img").count() == 0
    dan.settled()
    dan.shot(f"transcript-sheet-{'dark' if dark else 'light'}")
    dan.check_accessible()
    dan.check_targets()
    dan.page.click("#transcript-more")
    expect(rows).to_have_count(123)
    expect(dan.page.locator("#transcript-more")).to_be_hidden()

    dan.page.fill("#transcript-search", "BONJOUR")
    expect(rows).to_have_count(1)
    dan.page.keyboard.press("Enter")
    expect(dan.page.locator("#transcript")).to_be_visible()
    dan.page.select_option("#transcript-language", "en")
    with dan.page.expect_download() as download:
        dan.page.click('[data-format="txt"]')
    assert download.value.suggested_filename == "babblefish-1.txt"
    assert download.value.path().read_text() == "Pierre: Hello"
    assert shelf.asked[-1] == {"format": "txt", "language": "en", "words": "BONJOUR"}
    assert set(shelf.keys) == {f"Bearer {dan.member.key}"}, "never in the address"


def test_what_is_said_meanwhile_appears(phone: OpenPhone) -> None:
    dan = phone().join()
    shelf = Shelf(dan, [line(1, "Un."), line(2, "Deux.")])
    dan.send(TranscriptPolicy("until_close"))
    dan.page.click("#open-transcript")
    rows = dan.page.locator("#transcript-lines li")
    expect(rows).to_have_count(2)
    shelf.lines[1]["translations"] = [into("en", "Two.")]
    shelf.lines.append(line(5, "Trois."))
    dan.say("u5", "Three.")
    expect(rows).to_have_count(3)
    expect(rows.nth(1).locator(".said")).to_have_text("Two.")
    expect(rows.nth(2).locator(".said")).to_have_text("Trois.")


def test_a_transcript_that_cannot_be_read_says_so(phone: OpenPhone) -> None:
    dan = phone().join()
    error = {"error": {"code": "storage", "message": "x"}}
    dan.page.route("**/transcript**", lambda route: route.fulfill(status=503, json=error))
    dan.send(TranscriptPolicy("until_close"))
    dan.page.click("#open-transcript")
    status = dan.page.locator("#transcript-status")
    expect(status).to_contain_text("cannot be read at the moment")
    dan.page.click('[data-format="srt"]')
    expect(status).to_contain_text("cannot be read at the moment")
    expect(dan.page.locator('[data-format="srt"]')).to_be_enabled()
