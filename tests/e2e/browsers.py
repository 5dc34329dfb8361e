"""People with real Chromium browsers: a microphone that plays a recording, ears that record."""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import soundfile
from playwright.sync_api import Page, Playwright

from babblefish.audio import resample, to_int16
from tests.host_browser import settled
from tests.patience import PATIENCE_MS

SHOTS = Path(__file__).parent / "shots"
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 800}
MIC_RATE = 48_000
EAR_RATE = 16_000

_KEEP_CALLS = """
const Real = window.RTCPeerConnection;
window.__calls = [];
window.RTCPeerConnection = class extends Real {
  constructor(...given) { super(...given); window.__calls.push(this); }
};
"""
_TAKE_NOTES = """
window.__played = 0;
document.addEventListener("playing", ({ target }) => {
  if (target.id === "voice-audio") window.__played += 1;
}, true);
window.__banners = 0;
const speaking = new Set();
window.__spoken = 0;
new MutationObserver((changes) => {
  for (const { target } of changes) {
    if (target.id === "banner" && !target.hidden) window.__banners += 1;
    if (!target.closest?.("#caption-list li")) continue;
    if (target.classList.contains("playing")) speaking.add(target);
    else if (speaking.delete(target)) window.__spoken += 1;
  }
}).observe(document, { subtree: true, attributes: true, attributeFilter: ["class", "hidden"] });
"""
"""what passes by, so that nobody has to look at the right moment: recordings that were played,
banners that were shown, translations that were spoken to their end"""
_LISTEN = """
() => {
  const tap = new MediaRecorder(document.getElementById("sound").srcObject);
  const parts = [];
  tap.ondataavailable = (event) => parts.push(event.data);
  tap.start();
  window.__tap = { tap, parts };
}
"""
"""a recorder of the browser's own, which loses nothing while the page is busy"""
_HEARD = """
async () => {
  const { tap, parts } = window.__tap;
  await new Promise((done) => {
    tap.addEventListener("dataavailable", done, { once: true });
    tap.requestData();
  });
  const bytes = new Uint8Array(await new Blob(parts).arrayBuffer());
  let text = "";
  for (let i = 0; i < bytes.length; i += 32768)
    text += String.fromCharCode(...bytes.subarray(i, i + 32768));
  return btoa(text);
}
"""


def microphone(path: Path, sounds: Sequence[np.ndarray], lead: float, gap: float) -> Path:
    """A recording for a fake microphone, which plays it round and round.

    sounds: float32 at 16 kHz; ``lead`` seconds of silence first, ``gap`` after each.
    """
    parts = [np.zeros(int(lead * MIC_RATE), np.float32)]
    for sound in sounds:
        parts += [resample(sound, 16_000, MIC_RATE), np.zeros(int(gap * MIC_RATE), np.float32)]
    soundfile.write(path, to_int16(np.concatenate(parts)), MIC_RATE)
    return path


class Participant:
    """One browser page on the room's link."""

    def __init__(self, page: Page, base: str) -> None:
        self.page, self._base = page, base
        self.outside: list[str] = []
        """requests to anywhere but the server"""
        page.on("request", lambda request: self._note(request.url))

    def _note(self, url: str) -> None:
        if not url.startswith((self._base, "data:", "blob:")):
            self.outside.append(url)

    def join(self, link: str, name: str, hears: str, listen_only: bool = False) -> None:
        page = self.page
        page.goto(self._base + link)
        page.locator("#name").fill(name)
        page.locator("#hears").select_option(hears)
        if listen_only:
            page.locator("label:has(#listen-only)").click()
        page.locator("#join-button").click()
        page.locator("#people li:not(.away)", has_text=name).wait_for()

    def listen(self) -> None:
        """Start recording what the page plays."""
        self.page.evaluate(_LISTEN)

    def heard(self) -> np.ndarray:
        """float32 (n,) at 16 kHz since ``listen``."""
        recorded = io.BytesIO(base64.b64decode(self.page.evaluate(_HEARD)))
        resampler = av.AudioResampler("flt", "mono", EAR_RATE)
        with av.open(recorded) as container:
            frames = [part for f in container.decode(audio=0) for part in resampler.resample(f)]
        frames += resampler.resample(None)
        return np.concatenate([frame.to_ndarray()[0] for frame in frames])

    @property
    def finals(self):
        return self.page.locator("#caption-list li:not(.partial)")

    def caption(self, number: int, timeout: float = 60.0) -> str:
        """Text of the ``number``-th final caption, from 0, as soon as it is there."""
        line = self.finals.nth(number)
        line.wait_for(timeout=timeout * 1000)
        return line.locator(".text").inner_text()

    @property
    def spoken(self) -> int:
        """How many translations have been played to their end."""
        return self.page.evaluate("() => window.__spoken")

    def until_spoken(self, count: int) -> None:
        self.page.wait_for_function("(count) => window.__spoken >= count", arg=count)

    def drop(self) -> None:
        """Lose the connection without a word; until the page says so."""
        self.page.evaluate("() => { window.__banners = 0; window.__calls.at(-1).close(); }")
        self.page.wait_for_function("() => window.__banners > 0")

    def until_back(self) -> None:
        self.page.locator('#room[data-link="connected"]').wait_for()
        self.page.locator("#banner").wait_for(state="hidden")

    def settled(self) -> None:
        """Until nothing moves that will come to an end."""
        settled(self.page)

    def shot(self, name: str) -> None:
        SHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{name}.png")


@contextmanager
def browser(
    playwright: Playwright, base: str, recording: Path | None = None, size: dict = PHONE,
    dark: bool = False, locale: str = "en-GB", spki: str = "",
) -> Iterator[Participant]:  # fmt: skip
    """A Chromium of its own, since each has one fake microphone.

    spki: trust the server's certificate as an installed authority would make it trusted.
    """
    flags = [
        "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
        "--autoplay-policy=no-user-gesture-required", "--disable-background-networking",
        "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-component-update",
    ]  # fmt: skip
    if recording is not None:
        flags.append(f"--use-file-for-fake-audio-capture={recording}")
    if spki:
        flags.append(f"--ignore-certificate-errors-spki-list={spki}")
    chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
    try:
        context = chromium.new_context(
            viewport=size, color_scheme="dark" if dark else "light", locale=locale,
            ignore_https_errors=not spki, has_touch=size is PHONE, is_mobile=size is PHONE,
        )  # fmt: skip
        context.set_default_timeout(PATIENCE_MS)
        context.add_init_script(_KEEP_CALLS)
        context.add_init_script(_TAKE_NOTES)
        yield Participant(context.new_page(), base)
    finally:
        chromium.close()
