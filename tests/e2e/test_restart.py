"""The server is killed in the middle of a meeting, and the meeting goes on: real browsers."""

from __future__ import annotations

import signal

import httpx
import numpy as np
from playwright.sync_api import expect, sync_playwright

from tests.e2e.browsers import DESKTOP, browser, microphone
from tests.e2e.lasting_server import LastingServer
from tests.patience import PATIENCE, awake

SEAT = """() => {
  const key = Object.keys(sessionStorage).find((name) => name.startsWith("babblefish.seat"));
  return JSON.parse(sessionStorage.getItem(key)).member;
}"""


def tone(hertz: float, seconds: float) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * 16000)) / 16000)).astype("f4")


def transcript(base: str, page) -> dict:
    """The room's transcript as this participant gets it."""
    code, key = page.evaluate(
        """() => {
          const name = Object.keys(sessionStorage).find((n) => n.startsWith("babblefish.seat"));
          return [name.split(".").at(-1), JSON.parse(sessionStorage.getItem(name)).key];
        }"""
    )
    answer = httpx.get(
        f"{base}/api/rooms/{code}/transcript?format=json",
        headers={"Authorization": f"Bearer {key}"}, timeout=PATIENCE,
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_promise_5_after_kill_9_rooms_transcripts_and_people_are_back(tmp_path):
    mic = microphone(tmp_path / "tone.wav", [tone(400, 1.5)], lead=2.0, gap=2.5)
    data = tmp_path / "data"
    with sync_playwright() as playwright:
        with LastingServer(data) as server:
            link, base, port = server.room_path, server.base, server.port
            with (
                browser(playwright, base, size=DESKTOP) as dan,
                browser(playwright, base, mic) as pierre,
            ):
                dan.join(link, "Dan", "en", listen_only=True)
                pierre.join(link, "Pierre", "fr")
                assert dan.caption(0).startswith("[en] said 400")
                dan.until_spoken(1)
                members = dan.page.evaluate(SEAT), pierre.page.evaluate(SEAT)
                before = [entry["text"] for entry in transcript(base, dan.page)["entries"]]
                assert before
                server.kill()
                for phone in (dan, pierre):
                    phone.page.locator("#banner").wait_for(state="visible")
                read = dan.finals.count()

                with LastingServer(data, port) as again:
                    began = awake()
                    assert again.room_path == link, "the same room, and the same link"
                    for phone in (dan, pierre):
                        phone.page.locator("#banner").wait_for(state="hidden")
                    assert awake() - began < 15
                    assert (dan.page.evaluate(SEAT), pierre.page.evaluate(SEAT)) == members
                    expect(dan.page.locator("#people li:not(.away)")).to_have_count(2)
                    assert dan.finals.count() >= read > 0, "what was read stays"
                    dan.caption(read)
                    pierre.caption(read)
                    dan.shot("restart_desktop")
                    _reads_the_transcript(dan, pierre)
                    body = transcript(base, dan.page)
                    texts = [entry["text"] for entry in body["entries"]]
                    assert texts[: len(before)] == before and len(texts) > len(before)
                    first = body["entries"][0]
                    assert (first["speaker"], first["language"]) == ("Pierre", "fr")
                    assert first["translations"]["en"]["synthetic_voice"]
                    with browser(playwright, base) as zoe:
                        zoe.join(link, "Zoé", "es", listen_only=True)
                    assert not dan.outside and not pierre.outside


def _reads_the_transcript(dan, pierre) -> None:
    """The sheet on a phone and on a desktop, and a file of it."""
    for phone, name in ((dan, "desktop"), (pierre, "phone")):
        phone.page.click("#open-transcript")
        phone.page.locator("#transcript-lines li").first.wait_for()
        phone.settled()
        phone.shot(f"transcript_{name}")
    page = dan.page
    expect(page.locator("#transcript-kept")).to_have_text(
        "A transcript is kept until the room closes."
    )
    expect(page.locator("#transcript-lines li").first).to_contain_text("[en] said 400")
    expect(page.locator("#transcript-lines li").first).to_contain_text("synthetic voice")
    page.fill("#transcript-search", "nobody said this")
    expect(page.locator("#transcript-status")).to_have_text("Nothing was found.")
    page.fill("#transcript-search", "PIERRE")
    page.locator("#transcript-lines li").first.wait_for()
    page.keyboard.press("Enter")
    page.select_option("#transcript-language", "en")
    with page.expect_download() as download:
        page.click('[data-format="srt"]')
    assert download.value.suggested_filename.endswith(".srt")
    text = download.value.path().read_text()
    assert "Pierre: [en] said 400" in text and "(synthetic voice, basic translation)" in text
    page.keyboard.press("Escape")
    pierre.page.click("#close-transcript")
    expect(page.locator("#transcript")).not_to_be_visible()
    expect(pierre.page.locator("#transcript")).not_to_be_visible()


def test_a_stop_in_peace_keeps_the_room_open_and_people_come_back_too(tmp_path):
    with sync_playwright() as playwright:
        with LastingServer(tmp_path) as server:
            link, base, port = server.room_path, server.base, server.port
            with browser(playwright, base) as dan:
                dan.join(link, "Dan", "en", listen_only=True)
                member = dan.page.evaluate(SEAT)
                server._process.send_signal(signal.SIGINT)
                server._process.wait(PATIENCE)
                banner = dan.page.locator("#banner")
                banner.wait_for(state="visible")
                with LastingServer(tmp_path, port) as again:
                    assert again.room_path == link
                    banner.wait_for(state="hidden")
                    assert dan.page.evaluate(SEAT) == member
                    expect(dan.page.locator("#people li:not(.away)")).to_have_count(1)
