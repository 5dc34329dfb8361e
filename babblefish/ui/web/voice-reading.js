// Reading three sentences aloud, or giving a file: record, hear what is wrong, again, listen, save.

import { icon, make } from "./dom.js";
import { Meter } from "./mic.js";
import { t } from "./strings.js";
import { button, once, page, statusLine, words } from "./voice-parts.js";
import { Recorder } from "./voice-recorder.js";

const CLOCK_MS = 200;
const UPLOAD = "upload";

export class ReadingPages {
  /** `begun`: the server's {sentences, sentences_language, note}; the takes are named "1", "2" … */
  constructor(voice, begun) {
    Object.assign(this, { voice, begun });
    this.good = new Set();
  }

  // --- reading ---

  /** Shows one sentence to be read. */
  async prompt(index) {
    const { sentences, sentences_language: language, note } = this.begun;
    const [name, text] = [String(index + 1), sentences[index]];
    const number = t("voice.prompt", { number: name, count: sentences.length });
    this.verdict = statusLine();
    this.recordButton = this.makeRecord(() => this.press(name));
    this.after = make("div", { class: "actions voice-after" });
    this.next = () => (index + 1 < sentences.length ? this.prompt(index + 1) : this.review());
    const made = page(
      number,
      index === 0 ? words(t("voice.promptHint"), { class: "small" }) : null,
      make("blockquote", { class: "voice-prompt", lang: language, dir: "auto", text }),
      note ? words(t("voice.anyWords"), { class: "small" }) : null,
      make("p", { class: "voice-apart small" }, icon("mic-off"), make("span", { text: t("voice.apart") })),
      make("div", { class: "voice-record" }, this.meterBar(), this.recordButton),
      this.verdict.element,
      this.after,
    );
    this.drawRecord(false);
    this.voice.show(made, { back: () => this.voice.enrol(this.voice.wanted), leave: () => this.leave(), apart: true });
    await this.voice.attempt(() => this.listen());
  }

  meterBar() {
    this.meter = make("div", { class: "meter", "aria-hidden": "true" }, make("i"));
    return this.meter;
  }

  makeRecord(run) {
    this.recordWords = make("span");
    this.clock = make("span", { class: "voice-clock", "aria-hidden": "true" });
    const made = make("button", { type: "button", class: "voice-record-button" }, make("i", { "aria-hidden": "true" }), this.recordWords, this.clock);
    made.addEventListener("click", () => once(made, run));
    return made;
  }

  drawRecord(on) {
    this.voice.recording = on;
    this.recordButton.classList.toggle("on", on);
    this.recordWords.textContent = t(on ? "voice.stop" : "voice.record");
  }

  async listen() {
    const { room } = this.voice;
    await this.voice.borrowMic();
    if (!this.meter.isConnected) return;
    this.meters?.stop();
    this.meters = new Meter(room.mic, this.meter);
    this.meters.start();
  }

  /** The page goes: so does what is being recorded. */
  leave() {
    this.meters?.stop();
    clearInterval(this.ticking);
    if (!this.recorder) return;
    this.recorder.drop();
    this.recorder = null;
    this.voice.recording = false;
    this.voice.room.speaker.hush(false);
  }

  async press(name) {
    if (this.recorder) return this.finish(name);
    this.voice.player.stop();
    await this.voice.attempt(() => this.begin(name));
  }

  async begin(name) {
    const { room } = this.voice;
    await this.voice.apart("recording", true);
    await this.listen(); // it may have been refused, or unplugged
    this.after.replaceChildren();
    this.verdict.say("");
    room.speaker.hush(true);
    const recorder = new Recorder(room.mic.stream, () => this.finish(name));
    this.recorder = recorder;
    try {
      await recorder.start();
    } catch (error) {
      this.recorder = null;
      room.speaker.hush(false);
      throw error;
    }
    this.drawRecord(true);
    const draw = () => (this.clock.textContent = t("voice.seconds", { seconds: Math.floor(recorder.seconds) }));
    draw();
    this.ticking = setInterval(draw, CLOCK_MS);
  }

  async finish(name) {
    const recorder = this.recorder;
    if (!recorder) return;
    this.recorder = null;
    clearInterval(this.ticking);
    this.drawRecord(false);
    this.clock.textContent = "";
    const sound = await recorder.stop();
    this.voice.room.speaker.hush(false);
    await this.judge(name, sound);
  }

  // --- verdicts ---

  /** Sends a recording and shows what is wrong with it, or that nothing is. */
  async judge(name, sound) {
    this.good.delete(name);
    this.after.replaceChildren();
    this.verdict.say(t("voice.judging"));
    this.recordButton.disabled = true;
    let take = null;
    const sent = await this.voice.attempt(async () => (take = await this.voice.api.take(name, sound)));
    this.recordButton.disabled = false;
    if (!this.verdict.element.isConnected) return;
    if (!sent) {
      this.verdict.say("");
      const retry = button("voice.sendAgain", () => this.judge(name, sound), { primary: true });
      this.after.replaceChildren(retry);
      return retry.focus();
    }
    if (take.good) this.good.add(name);
    this.verdict.say(take.good ? t("voice.good") : take.faults.map((fault) => faultWords(fault, name)), take.good ? "good" : "bad");
    this.recordWords.textContent = t(name === UPLOAD ? "voice.otherFile" : "voice.again");
    const hear = button("voice.listen", (made) => this.hear(made, name), { symbol: "volume" });
    const on = take.good ? button("voice.next", () => this.next(), { primary: true }) : null;
    this.after.replaceChildren(...[on, hear].filter(Boolean));
    (on ?? this.recordButton).focus({ preventScroll: true });
    this.after.scrollIntoView({ block: "nearest" });
  }

  hear(made, name) {
    return this.voice.play(made, () => this.voice.api.audio(name));
  }

  // --- a file ---

  upload() {
    const input = make("input", { type: "file", accept: "audio/*,.wav,.flac,.mp3,.ogg,.opus,.m4a", class: "sr", tabindex: "-1", "aria-hidden": "true" });
    this.verdict = statusLine();
    this.after = make("div", { class: "actions voice-after" });
    this.recordButton = this.makeRecord(() => input.click());
    this.recordButton.classList.add("file");
    this.recordWords.textContent = t("voice.file");
    this.next = () => this.review();
    input.addEventListener("change", () => {
      const [file] = input.files;
      input.value = "";
      if (file) this.judge(UPLOAD, file);
    });
    const made = page(t("voice.upload"), words(t("voice.upload.rules")), make("div", { class: "voice-record" }, input, this.recordButton), this.verdict.element, this.after);
    this.voice.show(made, { back: () => this.voice.enrol(this.voice.wanted) });
  }

  // --- before saving ---

  review() {
    const names = [...this.good].sort();
    const rows = names.map((name) => {
      const label = name === UPLOAD ? t("voice.takeFile") : t("voice.take", { number: name });
      const hear = button("voice.listen", (made) => this.hear(made, name), { symbol: "volume", label: `${t("voice.listen")}: ${label}` });
      const again = button("voice.again", () => (name === UPLOAD ? this.upload() : this.redo(name - 1)), { quiet: true, label: `${t("voice.again")}: ${label}` });
      return make("li", {}, make("strong", { text: label }), make("span", { class: "actions" }, hear, again));
    });
    const save = button("voice.save", () => this.voice.attempt(() => this.voice.save()), { primary: true, wide: true });
    const made = page(t("voice.review"), words(t("voice.reviewHint"), { class: "small" }), make("ul", { class: "voice-takes" }, ...rows), save);
    this.voice.show(made, { back: () => this.voice.enrol(this.voice.wanted) });
  }

  /** One sentence once more, then back to the review. */
  async redo(index) {
    await this.prompt(index);
    this.next = () => this.review();
  }
}

/** What is wrong with a recording, in the reader's language where it is known. */
function faultWords({ code, message }, name) {
  const key = `voice.fault.${code}${code === "too_short" && name === UPLOAD ? ".file" : ""}`;
  const text = t(key);
  return text === key ? message : text;
}
