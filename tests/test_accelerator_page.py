"""The owner's page on the laptop in a real browser, in each generation of Gradio that is here."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from babblefish.accelerator.page import read_clip
from babblefish.accelerator.page_views import Connection, last_card, state_card, work_card
from babblefish.accelerator.reception import Spoken
from babblefish.accelerator_protocol import Health
from babblefish.errors import AudioError
from tests.host_browser import until
from tests.patience import PATIENCE, PATIENCE_MS
from tests.web_browser import SHOTS, opacities_while_it_waits, settled

ROOT = Path(__file__).resolve().parents[1]
LAPTOP = ROOT / ".venv-accelerator" / "bin" / "python"
OTHER = os.environ.get("BABBLEFISH_TEST_LAPTOP_PYTHON")
"""another interpreter with the laptop's packages"""
PYTHONS = [sys.executable, *([str(LAPTOP)] if LAPTOP.exists() else []), *([OTHER] if OTHER else [])]
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 800}

_TOO_EARLY = "/upload_progress?upload_id=undefined"
"""Gradio asks for it where an upload takes long, and says so in the browser's console"""
_NOT_FOUND = "Failed to load resource: the server responded with a status of 404 (Not Found)"


@dataclass
class Served:
    link: str
    gradio: str
    folder: Path

    @property
    def base(self) -> str:
        return self.link.partition("/?")[0]

    @property
    def files(self) -> list[Path]:
        return [path for path in self.folder.rglob("*.wav") if path.is_file()]


@pytest.fixture(scope="module", params=PYTHONS, ids=lambda path: Path(path).parts[-3])
def served(request, tmp_path_factory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("page")
    process = subprocess.Popen(
        [request.param, "-m", "tests.laptop_page", str(folder)], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        link, version = process.stdout.readline().split()
        yield Served(link, version, folder)
    finally:
        process.communicate(timeout=PATIENCE)


@pytest.fixture
def page(browser, served) -> Iterator[Page]:
    context = browser.new_context(viewport=DESKTOP)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    outside, problems = [], []
    page.on("request", lambda r: r.url.startswith((served.base, "data:", "blob:"))
            or outside.append(r.url))  # fmt: skip
    page.on("response", lambda r: r.status >= 400 and problems.append(f"{r.status} {r.url}"))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    page.goto(served.link)
    expect(page.get_by_text("Connected. Cloning ready")).to_be_visible()
    yield page
    if any(_TOO_EARLY in problem for problem in problems):
        problems = [
            p for p in problems if _TOO_EARLY not in p and p not in ("Response", _NOT_FOUND)
        ]
    assert outside == [] and problems == []
    context.close()


def wav(seconds: float = 3.0, rate: int = 44_100, level: float = 0.3) -> bytes:
    tone = np.sin(np.arange(int(seconds * rate)) / 30).astype(np.float32) * level
    file = io.BytesIO()
    soundfile.write(file, tone, rate, format="WAV")
    return file.getvalue()


def test_it_tells_how_the_laptop_does(page, served):
    for text in ("BabbleFish on den", "Scripted GPU", "1.2 of 4.0 GB", "Chinese",
                 "not needed any more", "The room server calls this laptop."):  # fmt: skip
        expect(page.get_by_text(text, exact=False).first).to_be_visible()
    mark = page.locator(".bl-facts dd").nth(2).inner_text()
    assert len(mark) == 39 and set(mark) <= set("0123456789ABCDEF-")
    for size, name in ((PHONE, "phone"), (DESKTOP, "desktop")):
        page.set_viewport_size(size)
        settled(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        page.screenshot(path=SHOTS / f"laptop_{served.gradio}_{name}.png", full_page=True)
    page.emulate_media(color_scheme="dark")
    page.reload()
    expect(page.get_by_text("Connected. Cloning ready")).to_be_visible()
    page.screenshot(path=SHOTS / f"laptop_{served.gradio}_dark.png", full_page=True)


def choose(page: Page, label: str, name: str) -> None:
    page.get_by_label(label).first.click()
    # a list that was closed before may still be fading out
    page.get_by_role("option", name=name).last.click()


def test_a_voice_is_tried_and_nothing_of_it_stays(page, served):
    speak = page.get_by_role("button", name="Speak", exact=True)
    speak.click()
    expect(page.get_by_role("alert")).to_contain_text("Choose or record a clip")
    clip = {"name": "me.wav", "mimeType": "audio/wav", "buffer": wav()}
    page.locator("input[type=file]").first.set_input_files(clip)
    expect(page.locator("input[type=file]")).to_have_count(0)
    page.get_by_label("What is said in the clip").fill("One two three")
    choose(page, "Language of the clip", "English")
    page.get_by_label("What it should say").fill("Hello there")
    speak.click()
    expect(page.get_by_role("alert")).to_contain_text("language of the sentence")
    choose(page, "In which language", "English")
    speak.click()
    player = page.locator(".bl-heard audio")
    expect(player).to_be_visible()
    assert player.evaluate("(a) => new Promise((r) => a.readyState ? r(a.duration) "
                           ": a.onloadedmetadata = () => r(a.duration))") > 0.3  # fmt: skip
    expect(page.get_by_text("Voices in memory")).to_be_visible()
    assert page.locator(".bl-facts dd").last.inner_text() == "0"
    expect(page.get_by_role("cell", name="here").first).to_be_visible()
    page.screenshot(path=SHOTS / f"laptop_{served.gradio}_tried.png", full_page=True)
    assert served.files
    page.get_by_role("button", name="Delete the clip").click()
    expect(page.locator("input[type=file]")).to_have_count(1)
    until(page, lambda: served.files == [])


def test_it_stays_readable_while_it_looks_again(page):
    assert opacities_while_it_waits(page) == {"1"}


def test_it_can_be_used_by_everybody(page):
    settled(page)
    found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa"]})
    mine = [
        node["html"][:200]
        for violation in found.response["violations"]
        for node in violation["nodes"]
        if "bl-" in node["html"]
    ]
    assert mine == []


def test_only_the_link_on_this_machine_opens_it(served):
    with httpx.Client(base_url=served.base) as http:
        for path in ("/", "/?key=wrong", "/page/", "/page/config", "/page.css"):
            assert http.get(path).status_code == 401
        assert http.get("/?key=wrong", headers={"Host": "evil.example"}).status_code == 403
        key = served.link.rpartition("=")[2]
        assert http.get(f"/?key={key}", headers={"Host": "evil.example"}).status_code == 403
        entered = http.get(f"/?key={key}")
        assert entered.status_code == 303 and entered.headers["location"] == "/page/"
        cookie = entered.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
        shown = http.get("/page/")
        assert shown.status_code == 200 and "fonts.googleapis" not in shown.text
        csp = shown.headers["content-security-policy"]
        assert "default-src 'none'" in csp and ("unsafe-eval" in csp) is (served.gradio[0] == "6")
        for path in ("/page/gradio_api/info", "/page/docs", "/page/monitoring", "/page/login",
                     "/page/gradio_api/queue/join", "/page/gradio_api/call/look"):  # fmt: skip
            assert http.get(path).status_code == 404
        for headers in ({}, {"Origin": "https://evil.example"},
                        {"Origin": served.base, "Sec-Fetch-Site": "cross-site"}):  # fmt: skip
            told = http.post("/page/gradio_api/run/predict", json={}, headers=headers)
            assert told.status_code == 403


# --- what is shown, and what is taken for a clip ----------------------------------------------


def test_whatever_the_server_says_stays_text():
    hostile = "<script>alert(1)</script>"
    health = Health(ready=True, name=hostile, device=hostile, languages=["en", "<b>"])
    connection = Connection(True, hostile, hostile, hostile, hostile)
    entry = Spoken(0.0, "http", "<i>", 1, 1.0, 0.1, 0.2, hostile)
    html = state_card(health, connection) + work_card(health) + last_card([entry])
    assert "<script" not in html and "<b>" not in html and "<i>" not in html
    assert "Nothing has been asked" in last_card([])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "cannot be read"),
        (b"RIFF" + b"x" * 50, "cannot be read"),
        (wav(0.5), "too short"),
        (wav(31, 8000), "longer than 30"),
        (wav(level=0), "Nothing is to be heard"),
    ],
)
def test_bad_clips_are_refused_in_words(tmp_path, content, why):
    (tmp_path / "clip.wav").write_bytes(content)
    with pytest.raises(AudioError, match=why):
        read_clip(tmp_path / "clip.wav")


def test_a_clip_is_read_at_the_rate_that_is_sent(tmp_path):
    (tmp_path / "clip.wav").write_bytes(wav(2.0))
    assert read_clip(tmp_path / "clip.wav").shape == (48_000,)
