"""A laptop is added while people talk: real server, real laptop program, real browsers, real
speech. Its F5-TTS is a tiny network that has learnt nothing, so what it says are no words; when it
is heard, by whom, and what happens when it is gone is what counts.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from babblefish.audio import rms
from tests import tiny_f5
from tests.e2e.browsers import DESKTOP, EAR_RATE, Participant, browser, microphone
from tests.e2e.program import Program
from tests.e2e.real_server import RealServer
from tests.e2e.voice_sheet import Sheet, one_person
from tests.speech import Clip

_KINDS = """() => [...document.querySelectorAll('#caption-list li:not(.partial)')]
  .map((line) => line.querySelector('.mark'))
  .map((mark) => mark.hidden ? '' : mark.textContent)"""
OWN, NEUTRAL = "own voice, synthetic", "synthetic voice"


def real_laptop(folder: Path, *options: str) -> Program:
    tiny_f5.install(folder / "weights", "base", "fr")
    return Program(
        [sys.executable, "accelerator_app.py", "--host", "127.0.0.1", "--port", "0", "--no-page",
         "--device", "cpu", *options],
        "Cloning ready", BABBLEFISH_LAPTOP_DATA_DIR=str(folder / "data"),
        BABBLEFISH_LAPTOP_WEIGHTS_DIR=str(folder / "weights"),
    )  # fmt: skip


def enrol(person: Participant) -> None:
    sheet = Sheet(person)
    sheet.agree("voiceprint", "cloning")
    sheet.press("Read three sentences", exact=False)
    for number in range(1, 4):
        sheet.heading(f"Sentence {number} of 3")
        sheet.record()
        sheet.says("That sounds good.")
        sheet.press("Next")
    sheet.press("Save")
    sheet.heading("Your voice is known here")
    person.page.keyboard.press("Escape")


def sign_in(page: Page, server: RealServer) -> None:
    page.goto(f"{server.base}/admin")
    page.get_by_label("Admin code").fill(server.admin_code)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="Not now").click()


def kinds(person: Participant) -> list[str]:
    """In which kind of voice each final caption was heard; empty where it was not."""
    return person.page.evaluate(_KINDS)


def until_heard_in(person: Participant, kind: str, after: int) -> int:
    """Number of the first final caption from ``after`` on that was heard in this kind of voice."""
    person.page.wait_for_function(
        f"([kind, after]) => ({_KINDS})().slice(after).includes(kind)", arg=[kind, after],
        timeout=180_000,
    )  # fmt: skip
    return kinds(person).index(kind, after)


def test_own_voices_come_with_a_laptop_and_go_with_it(
    speech: list[Clip], weights_dir: Path, tmp_path: Path
) -> None:
    mic = microphone(tmp_path / "me.wav", [one_person(speech)], lead=0.0, gap=0.8)
    with (
        RealServer(tmp_path / "data") as server,
        sync_playwright() as playwright,
        browser(playwright, server.base, mic) as dan,
        browser(playwright, server.base) as marie,
        browser(playwright, server.base, size=DESKTOP) as host,
    ):
        marie.join(server.room_path, "Marie", "fr", listen_only=True)
        dan.join(server.room_path, "Dan", "en")
        enrol(dan)
        first = until_heard_in(marie, NEUTRAL, marie.finals.count())
        assert OWN not in kinds(marie), "there is no laptop yet"

        sign_in(host.page, server)
        host.page.get_by_role("tab", name="Laptops").click()
        command = host.page.locator(".bf-command").inner_text()
        host.shot("laptops_before")
        options = shlex.split(command)[2:]
        with real_laptop(tmp_path / "laptop", *options) as laptop:
            host.page.get_by_text("Ready", exact=True).wait_for(timeout=180_000)
            host.shot("laptops_ready")
            there = marie.finals.count()
            own = until_heard_in(marie, OWN, there)
            assert NEUTRAL in kinds(marie)[first:own], "at first everybody is heard neutrally"
            marie.shot("own_voice_phone")
            laptop.kill()
            gone, spoken = marie.finals.count(), marie.spoken
            marie.listen()
            until_heard_in(marie, NEUTRAL, gone)
            marie.until_spoken(spoken + 1)
            assert rms(marie.heard()[-20 * EAR_RATE :]) > 0.003
            host.page.locator(".bf-tag", has_text="Away").wait_for()
        assert all(marie.finals.locator(".text").all_inner_texts())
        assert not dan.outside and not marie.outside and not host.outside
