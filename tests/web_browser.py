"""Real browsers for tests of the phone page, and what every such test must leave true.

Import the fixtures ``web``, ``chromium`` and ``phone`` into a test module. Whatever a test does,
the page asks no other origin for anything, throws no error and breaks no content policy.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, Route, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from tests.patience import PATIENCE, PATIENCE_MS
from tests.web_server import ScriptedMember, ScriptedRoom, WebServer

SHOTS = Path(__file__).parent / "e2e" / "shots"
PHONE, DESKTOP = (390, 844), (1280, 800)
INSECURE_HOST = "fish.example"
"""reaches the test server over plain http: not a secure context, unlike localhost"""

_FLAGS = [
    "--no-sandbox", "--disable-background-networking", "--disable-component-update",
    "--autoplay-policy=document-user-activation-required",
    f"--host-resolver-rules=MAP {INSECURE_HOST} 127.0.0.1",
]  # fmt: skip
_FAKE_MICROPHONE = "--use-fake-device-for-media-stream"
_LOUDNESS = """async () => {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  context.createMediaStreamSource(document.getElementById('sound').srcObject).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  for (let tries = 0; tries < 1200; tries += 1) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    analyser.getFloatTimeDomainData(samples);
    const peak = Math.max(...samples.map(Math.abs));
    if (peak > 0.05) return peak;
  }
  return 0;
}"""
_KEEP_CONNECTIONS = """{
  const Real = RTCPeerConnection;
  window.connections = [];
  window.RTCPeerConnection = class extends Real {
    constructor(...given) { super(...given); window.connections.push(this); }
  };
}"""
_KEEP_TOASTS = """{
  window.toasts = [];
  new MutationObserver((changes) => {
    for (const { addedNodes } of changes)
      for (const node of addedNodes)
        if (node.classList?.contains('toast'))
          window.toasts.push({ text: node.textContent, markup: node.childElementCount });
  }).observe(document, { childList: true, subtree: true });
}"""
COUNT_RECORDED = """{
  const Real = window.AudioWorkletNode;
  window.recorded = 0;
  window.AudioWorkletNode = Real && class extends Real {
    constructor(context, ...given) {
      super(context, ...given);
      window.recorded = 0;
      this.port.addEventListener("message", ({ data }) => {
        window.recorded += (data?.length ?? 0) / context.sampleRate;
      });
    }
  };
}"""
"""``window.recorded``: seconds of the recording that a page makes, by its own samples"""
_STILL = """document.getAnimations().every((one) => one.playState !== 'running'
  || one.effect.getTiming().iterations === Infinity)"""
_OPACITIES = """() => [...document.querySelectorAll('.html-container')].map(
  (one) => getComputedStyle(one).opacity)"""
_STORY = """() => JSON.stringify({
  link: document.getElementById('room').dataset.link,
  shown: document.body.innerText.replace(/\\s+/g, ' ').slice(0, 400),
  connections: window.connections.map((pc) => [pc.signalingState, pc.iceGatheringState,
    pc.iceConnectionState, pc.connectionState, pc.sctp?.state]),
  requests: performance.getEntriesByType('resource').filter((r) => r.name.includes('/api/'))
    .map((r) => [r.name.split('/').at(-1), Math.round(r.startTime), Math.round(r.duration)]),
  now: Math.round(performance.now()),
})"""
_SMALL_TARGETS = """() => [...document.querySelectorAll(
    'button, select, summary, input:not([type=hidden]), a.button')]
  .filter((e) => e.checkVisibility())
  .map((e) => [e, e.getBoundingClientRect()])
  .filter(([, box]) => box.width < 43.5 || box.height < 43.5)
  .map(([e, box]) => `${e.id || e.className} ${box.width} x ${box.height}`)"""


def launch(playwright: Playwright, *flags: str) -> Browser:
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    assert executable, "Chromium is missing: apt-get install chromium"
    return playwright.chromium.launch(executable_path=executable, args=[*_FLAGS, *flags])


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    with WebServer(tmp_path_factory.mktemp("web")) as server:
        yield server


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    browser = launch(playwright, _FAKE_MICROPHONE)
    yield browser
    browser.close()


def settled(page: Page) -> None:
    """Wait until nothing on the page moves or fades any more (what runs for ever is no matter)."""
    page.wait_for_function(f"() => ({_STILL})")


def opacities_while_it_waits(page: Page) -> set[str]:
    """Of what a page of Gradio's shows that looks again every few seconds, while the server is slow
    to answer."""
    held: list[Route] = []
    page.route("**/gradio_api/run/predict**", lambda route: held.append(route))
    deadline = time.monotonic() + PATIENCE
    while not held and time.monotonic() < deadline:
        page.wait_for_timeout(50)
    assert held
    page.wait_for_timeout(300)  # longer than Gradio takes to fade something
    opacities = page.evaluate(_OPACITIES)
    for route in held:
        route.continue_()
    page.unroute("**/gradio_api/run/predict**")
    return set(opacities)


def check_accessible(page: Page) -> None:
    """axe finds nothing serious, once what fades has its colours."""
    settled(page)
    found = Axe().run(page).response["violations"]
    serious = [v for v in found if v["impact"] in ("serious", "critical")]
    assert not serious, [(v["id"], [n["html"] for n in v["nodes"]][:3]) for v in serious]


class PhonePage:
    """The page in one browser context, as one person uses it."""

    def __init__(self, web: WebServer, room: ScriptedRoom, context: BrowserContext) -> None:
        self.web, self.room, self.context = web, room, context
        context.set_default_timeout(PATIENCE_MS)
        context.add_init_script(_KEEP_CONNECTIONS)
        context.add_init_script(_KEEP_TOASTS)
        self.page: Page = context.new_page()
        self.errors: list[str] = []
        self.hosts: set[str] = set()
        context.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._console)

    def _console(self, message: Any) -> None:
        expected = message.text.startswith("Failed to load resource")
        expected |= "Cross-Origin-Opener-Policy" in message.text  # meaningless over plain http
        if message.type == "error" and not expected:
            self.errors.append(message.text)

    def open(self, host: str = "localhost") -> PhonePage:
        self.page.goto(self.web.link(self.room, host))
        return self

    def form(self, name: str = "Dan", **options: Any) -> PhonePage:
        """Open the link and fill the form."""
        self.open(**options)
        self.page.wait_for_selector("#join:not([hidden])")
        self.page.fill("#name", name)
        return self

    def join(self, name: str = "Dan", listen_only: bool = False, **options: Any) -> PhonePage:
        """Go all the way into the room."""
        self.form(name, **options)
        if listen_only:
            self.page.check("#listen-only")
        self.page.click("#join-button")
        self.connected()
        return self

    def connected(self) -> None:
        try:
            self.page.wait_for_selector('#room[data-link="connected"]')
        except PlaywrightTimeout as error:
            story = self.page.evaluate(_STORY)
            raise AssertionError(f"not connected: {story} {self.errors}") from error

    def state(self, name: str) -> None:
        self.page.wait_for_selector(f'#state[data-state="{name}"]')

    @property
    def member(self) -> ScriptedMember:
        return next(iter(self.room.members.values()))

    def say(self, *args: Any, **fields: Any) -> None:
        self.web.do(lambda: self.room.say(*args, **fields))

    def send(self, event: Any) -> None:
        self.web.do(lambda: self.room.send(event))

    def until_heard(self) -> None:
        """Wait until the server has heard the browser's microphone, which beeps every second."""
        self.eventually(lambda: self.member.heard_peak > 100, "the microphone was not heard")

    def until_quiet(self) -> None:
        """Wait until the server hears nothing more of the browser's microphone."""
        self.member.loud_at = time.monotonic()
        still = "the microphone is still heard"
        self.eventually(lambda: time.monotonic() - self.member.loud_at > 1.0, still)

    def eventually(self, condition: Callable[[], object], failure: str = "") -> None:
        """Wait for something on the server, while the page goes on."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, failure or "it did not happen"
            self.page.wait_for_timeout(30)

    def told(self, text: str) -> None:
        """Wait until a short message said this, plain text; it may have gone again since."""
        self.until("(text) => window.toasts.some((one) => one.text === text && !one.markup)", text)

    def settled(self) -> None:
        settled(self.page)

    def loudness(self, page: Page | None = None) -> float:
        """The peak of what the page plays, 0..1, once it is not silent."""
        return (page or self.page).evaluate(_LOUDNESS)

    def texts(self, selector: str) -> list[str]:
        return self.page.locator(selector).all_inner_texts()

    def until(self, script: str, argument: Any = None) -> None:
        """Wait for an expression, or a function of ``argument``, to become true."""
        if argument is None:  # a bare expression would need eval, which the page forbids
            script = f"() => ({script})"
        self.page.wait_for_function(script, arg=argument)

    def until_texts(self, selector: str, texts: list[str]) -> None:
        self.until(
            "([s, t]) => JSON.stringify([...document.querySelectorAll(s)]"
            ".map((e) => e.textContent)) === JSON.stringify(t)",
            [selector, texts],
        )

    def shot(self, name: str) -> None:
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{name}.png")

    def check_targets(self) -> None:
        """Everything that can be pressed is at least 44 × 44 px, and nothing sticks out."""
        assert self.page.evaluate(_SMALL_TARGETS) == []
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert self.page.evaluate(wide) <= 0

    def check_accessible(self) -> None:
        check_accessible(self.page)


OpenPhone = Callable[..., PhonePage]


@pytest.fixture
def phone(web: WebServer, chromium: Browser) -> Iterator[OpenPhone]:
    """``phone(room=None, size=PHONE, dark=False, mic=True, browser=None, **context options)``."""
    opened: list[PhonePage] = []

    def make(
        room: ScriptedRoom | None = None, size: tuple[int, int] = PHONE, dark: bool = False,
        mic: bool = True, browser: Browser | None = None, **options: Any,
    ) -> PhonePage:  # fmt: skip
        context = (browser or chromium).new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            permissions=["microphone"] if mic else [],
            **{"locale": "en-GB", **options},
        )
        page = PhonePage(web, room or web.room(), context)
        opened.append(page)
        return page

    yield make
    for page in opened:
        page.context.close()
    for page in opened:
        assert page.errors == []
        own = re.compile(rf"(localhost|127\.0\.0\.1|{re.escape(INSECURE_HOST)}):{web.port}|")
        assert all(own.fullmatch(host) for host in page.hosts), page.hosts
