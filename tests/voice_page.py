"""The sheet "My voice" as one person uses it in a real browser."""

from __future__ import annotations

from babblefish.engine.consent_texts import consent_text
from tests.voice_script import VoiceScript
from tests.web_browser import COUNT_RECORDED, OpenPhone, PhonePage

GAIN = """
const media = navigator.mediaDevices;
const open = media.getUserMedia.bind(media);
window.opened = 0;
media.getUserMedia = async (wish) => {
  const source = await open(wish);
  const context = new AudioContext();
  window.gain = new GainNode(context);
  const out = context.createMediaStreamDestination();
  const tone = new OscillatorNode(context, { frequency: 330 });
  tone.connect(window.gain).connect(out);
  tone.start();
  window.opened += 1;
  for (const track of source.getTracks()) {
    const made = out.stream.getAudioTracks()[0];
    const stop = made.stop.bind(made);
    made.stop = () => { stop(); track.stop(); tone.stop(); window.opened -= 1; };
  }
  return out.stream;
};
"""
"""a microphone that hears a steady tone; ``window.gain`` turns it down"""
COUNT = (
    COUNT_RECORDED
    + """
window.playedHushed = 0;
document.addEventListener("playing", ({ target }) => {
  if (target.id === "voice-audio" && document.getElementById("sound").muted)
    window.playedHushed += 1;
}, true);
"""
)
"""also ``window.playedHushed``: how often something was played while the room was silent"""


class VoicePage:
    """The sheet as one person uses it."""

    def __init__(self, phone: PhonePage) -> None:
        self.phone, self.page = phone, phone.page
        self.body, self.sheet = phone.page.locator("#voice-body"), phone.page.locator("#voice")

    @property
    def script(self) -> VoiceScript:
        return self.phone.web.voices.setdefault(self.phone.member.key, VoiceScript())

    def open(self) -> VoicePage:
        self.page.click(".person.me .voice-entry")
        self.page.wait_for_selector("#voice[open] .voice-heading")
        return self

    def press(self, name: str) -> VoicePage:
        self.sheet.get_by_role("button", name=name, exact=True).click()
        return self

    def heading(self, text: str) -> VoicePage:
        self.phone.until(
            "(t) => document.querySelector('#voice .voice-heading')?.textContent === t", text
        )
        return self

    def says(self, text: str) -> VoicePage:
        self.sheet.locator(".voice-status p", has_text=text).first.wait_for()
        return self

    def loudness(self, level: float) -> None:
        self.page.evaluate("(level) => { window.gain.gain.value = level }", level)

    def record(self, seconds: float = 0.8, button: str = "Record") -> VoicePage:
        self.press(button)
        self.until_recorded(seconds)
        self.press("Stop")
        return self

    def until_recorded(self, seconds: float) -> None:
        self.page.wait_for_selector(".voice-record-button.on")
        self.phone.until("(seconds) => window.recorded >= seconds", seconds)

    def focused(self) -> str:
        return self.page.evaluate("document.activeElement.textContent")


def joined(phone: OpenPhone, **options) -> VoicePage:
    made = phone(**options)
    made.page.add_init_script(GAIN + COUNT)
    return VoicePage(made.join())


def agreed(voice: VoicePage, *purposes: str) -> VoicePage:
    voice.open().press("Introduce my voice").heading(consent_text("en").title)
    for purpose in ("voiceprint", *purposes):
        voice.page.check(f"#voice-{purpose}")
    return voice.press(consent_text("en").agree).heading("How shall we get to know it?")
