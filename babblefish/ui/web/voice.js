// "My voice": the sheet in which a person agrees, records, listens, chooses, withdraws and deletes.
//
// Holds what its pages share: the server's state, the way from page to page, the microphone while
// the room must not hear it. Each page is a module of its own.

import { ApiError } from "./api.js";
import { $, make, show, store } from "./dom.js";
import { micTrouble } from "./join.js";
import { MicError } from "./mic.js";
import { explain, t } from "./strings.js";
import { consentPage, wayPage } from "./voice-consent.js";
import { homePage } from "./voice-home.js";
import { progressWords, ring, statusLine } from "./voice-parts.js";
import { Player } from "./voice-player.js";
import { ReadingPages } from "./voice-reading.js";

const WHILE_OPEN_MS = 5000;
const WHILE_CLOSED_MS = 60000;
const kept = store("localStorage");
const PROFILE = "babblefish.profile";

/** The server's error codes → how the page says them. */
const TROUBLE = {
  file: ["empty_audio", "file_unreadable", "no_audio", "channels", "rate", "truncated", "bad_audio", "undecodable"],
  long: ["too_long", "too_large"],
  busy: ["busy", "slow", "starting", "overloaded", "worker_died", "worker_hung", "too_many_enrolments", "closed", "too_slow", "broken_off"],
  storage: ["no_storage", "locked", "full", "read_only", "corrupt", "io", "newer", "in_use", "failed"],
  over: ["enrolment", "not_enrolled"],
  erasing: ["erasing"],
};

/** The key by which this phone's owner is known again, or "". */
export const profile = () => kept.get(PROFILE) ?? "";

export class MyVoice {
  /** `room`: the open Room. `api`: a VoiceApi. */
  constructor(room, api) {
    Object.assign(this, { room, api });
    this.state = null;
    this.wanted = []; // purposes agreed to, until it is saved
    this.leave = null; // what a page has to tidy up
    this.dialog = $("voice");
    this.line = statusLine();
    this.apartFor = new Set(); // why the room must not hear the microphone now
    this.player = new Player((on) => {
      room.speaker.hush(on);
      this.apart("playing", on);
    });
    this.entry = make("button", { type: "button", class: "round quiet voice-entry" });
    this.entry.onclick = () => this.open(this.entry);
    $("voice-status").replaceChildren(this.line.element);
    $("open-voice").onclick = () => {
      room.settings.close();
      this.open($("open-settings"));
    };
    $("voice-close").onclick = () => this.dialog.close();
    this.dialog.onclick = (event) => {
      if (event.target === this.dialog && !this.recording) this.dialog.close();
    };
    this.dialog.onclose = () => this.closed();
    this.drawEntry();
  }

  // --- what the server knows ---

  /** Asks now, and again from time to time while something can change. */
  start() {
    this.running = true;
    this.follow();
  }

  stop() {
    this.running = false;
    clearTimeout(this.timer);
    if (this.dialog.open) this.dialog.close();
  }

  async follow() {
    clearTimeout(this.timer);
    await this.refresh().catch(() => {});
    const { open } = this.dialog;
    if (!this.running || (!open && this.state?.enrolled === false)) return; // nothing can change
    this.timer = setTimeout(() => this.follow(), open ? WHILE_OPEN_MS : WHILE_CLOSED_MS);
  }

  async refresh() {
    this.know(await this.api.state());
  }

  know(state) {
    this.state = state;
    this.drawEntry();
    this.shown?.();
  }

  /** The button in one's own entry of the list of people, and the one among the settings. */
  drawEntry() {
    const progress = this.state?.progress ?? null;
    const label = progress ? `${t("voice.title")}. ${progressWords(progress)}` : t("voice.title");
    this.entry.replaceChildren(ring(progress));
    this.entry.classList.toggle("known", Boolean(this.state?.enrolled));
    this.entry.setAttribute("aria-label", label);
    this.entry.title = label;
    $("voice-summary").textContent = progress ? progressWords(progress) : t("voice.openHint");
  }

  // --- pages ---

  async open(from) {
    this.from = from;
    this.line.say("");
    $("voice-body").replaceChildren(make("p", { class: "small", text: t("voice.loading") }));
    if (!this.dialog.open) this.dialog.showModal();
    await this.attempt(async () => {
      await this.refresh();
      this.home();
    });
    this.follow();
  }

  closed() {
    this.tidy();
    this.apart("recording", false);
    this.shown = null;
    $("voice-body").replaceChildren();
    if (this.enrolling) this.api.cancel().catch(() => {}); // forgotten by itself after a while
    this.enrolling = false;
    (this.from?.isConnected ? this.from : $("open-settings")).focus();
    if (this.running) this.follow();
  }

  tidy() {
    this.player.stop();
    this.leave?.();
    this.leave = null;
  }

  /**
   * Shows a page. `back()`: what the arrow does; none: no arrow. `leave()`: tidies up after the
   * page. `apart`: the room must not hear the microphone meanwhile.
   */
  show(page, { back = null, leave = null, apart = false } = {}) {
    this.tidy();
    this.leave = leave;
    this.shown = null;
    this.apart("recording", apart);
    this.line.say("");
    show($("voice-back"), back !== null);
    $("voice-back").onclick = back;
    $("voice-body").replaceChildren(page);
    this.dialog.scrollTop = 0;
    page.querySelector(".voice-heading")?.focus({ preventScroll: true });
  }

  /** `draw()` is called whenever the server's state was read, while the present page is shown. */
  onState(draw) {
    queueMicrotask(() => (this.shown = draw));
  }

  // --- the microphone ---

  /** Keeps the microphone from the room as long as there is a reason. */
  async apart(reason, on) {
    if (on) this.apartFor.add(reason);
    else this.apartFor.delete(reason);
    const apart = this.apartFor.size > 0;
    if (!apart && this.borrowed) {
      this.borrowed = false;
      this.room.mic.close();
      this.room.speaker.unlock(false);
    }
    await this.room.setApart(apart);
  }

  /** Opens it for somebody who only listens; the room gets nothing of it. */
  async borrowMic() {
    if (this.room.mic.track) return;
    this.borrowed = true;
    await this.room.mic.open();
    this.room.speaker.unlock(true);
  }

  home(message = "") {
    if (this.enrolling) this.api.cancel().catch(() => {});
    this.enrolling = false;
    this.show(homePage(this));
    if (message) this.line.say(message, "good");
  }

  /** From consent to a saved voice. `wanted`: purposes that are switched on from the start. */
  enrol(wanted = this.state.agreed) {
    return this.attempt(async () => {
      const consent = await this.api.consent(this.language);
      const back = () => this.home();
      const agreed = (purposes) => {
        this.wanted = purposes;
        this.show(wayPage(this, purposes, { read, upload, meeting }), { back: () => this.enrol(purposes) });
      };
      const begin = async (purposes) => {
        this.enrolling = true;
        this.begun = await this.api.begin({ name: this.room.seat.name, language: this.language, purposes });
        return new ReadingPages(this, this.begun);
      };
      const read = (purposes) => this.attempt(async () => (await begin(purposes)).prompt(0));
      const upload = (purposes) => this.attempt(async () => (await begin(purposes)).upload());
      const meeting = (purposes) =>
        this.attempt(async () => {
          await begin(purposes);
          await this.save(t("voice.savedMeeting"));
        });
      this.show(consentPage(this, consent, wanted, agreed), { back });
    });
  }

  async save(message = t("voice.saved")) {
    const saved = await this.api.save();
    this.enrolling = false;
    kept.set(PROFILE, saved.profile);
    this.know(saved.voice);
    this.home(message);
  }

  async withdraw(purpose) {
    await this.erase(() => this.api.withdraw(purpose), t("voice.withdrawn"));
  }

  async forget() {
    await this.erase(() => this.api.forget(), t("voice.deleted"));
  }

  /** What is deleted is gone even where the server still wipes its disk. */
  async erase(action, message) {
    let told = message;
    try {
      await action();
    } catch (error) {
      if (error.code !== "erasing") throw error;
      told = said(error);
    }
    await this.refresh();
    if (!this.state.enrolled) kept.remove(PROFILE);
    this.home(told);
  }

  /** Does something; says in words what went wrong, and true when nothing did. */
  async attempt(action) {
    this.line.say("");
    try {
      await action();
      return true;
    } catch (error) {
      if (error instanceof MicError) {
        const { title, help } = micTrouble(error.code);
        this.line.say([title, help], "bad");
      } else {
        this.line.say(said(error), "bad");
      }
      return false;
    }
  }

  /** Plays a sound of the server, or stops it. */
  play(button, fetch) {
    return this.attempt(() => this.player.toggle(button, fetch));
  }

  /** Which language the person reads and speaks. */
  get language() {
    const { speaks, hears } = this.room.seat;
    return speaks && speaks !== "auto" ? speaks : hears;
  }
}

function said(error) {
  const kind = Object.keys(TROUBLE).find((name) => TROUBLE[name].includes(error.code));
  if (kind) return t(`voice.error.${kind}`);
  return error instanceof ApiError ? explain(error) : t("state.failed");
}
