// The form in front of a room: name, languages, microphone check, Join.

import { api } from "./api.js";
import { $, make, show, store } from "./dom.js";
import {
  AUTO, fillHears, fillSpeaks, find, hearingNotes, ownName, preferred, showNotes, speakingNotes, spoken,
} from "./languages.js";
import { Meter, Mic, MicError, platform } from "./mic.js";
import { NOBODY, fillAlso, label } from "./pair.js";
import { t } from "./strings.js";
import { keptWords } from "./transcript.js";

const HEARD_LEVEL = 0.3;
const QUIET_AFTER_MS = 7000;
const remembered = store("localStorage");
const HELP = { denied: () => `mic.denied.${platform()}`, none: () => "mic.none.help", busy: () => "mic.busy.help", insecure: () => "mic.insecure.help" };

/** Why the microphone cannot be had, as {title, help}. */
export function micTrouble(code) {
  const title = code === "failed" ? "mic.failed" : `mic.${code}`;
  return { title: t(title), help: HELP[code] ? t(HELP[code]()) : "" };
}

export class JoinForm {
  /** `submit({name, speaks, hears, microphone})` → promise, rejected with a message to show. */
  constructor(mic, speaker, submit) {
    this.mic = mic;
    this.speaker = speaker;
    this.submit = submit;
    this.busy = false;
    this.meter = new Meter(mic, $("join-meter"));
    this.meter.heard = (level) => level > HEARD_LEVEL && this.heard();
    $("join-form").addEventListener("submit", (event) => this.send(event));
    $("hears").addEventListener("change", () => this.languageChanged());
    $("also").addEventListener("change", () => this.notes());
    $("speaks").addEventListener("change", () => this.notes());
    $("name").addEventListener("input", () => this.nameError(""));
    $("listen-only").addEventListener("change", () => this.listenOnly($("listen-only").checked));
    $("mic-listen").addEventListener("click", () => this.listenOnly(true));
    $("mic-check").addEventListener("click", () => this.check());
    $("mic-retry").addEventListener("click", () => this.check());
    $("device").addEventListener("change", () => this.check($("device").value));
    $("sound-test").addEventListener("click", () => this.testSound());
  }

  open(info, suggested = {}) {
    this.info = info;
    const wish = preferred(info);
    const hears = [suggested.hears, remembered.get("babblefish.hears"), wish.hears].find((c) => find(info, c)?.hear);
    const speaks = suggested.speaks ?? remembered.get("babblefish.speaks") ?? wish.speaks;
    this.wish = hears === wish.hears ? wish.wish : null;
    $("join-room").textContent = info.name;
    $("join-kept").textContent = keptWords({ kept: info.kept, days: info.kept_days });
    $("name").value = suggested.name ?? remembered.get("babblefish.name") ?? "";
    fillHears($("hears"), info, hears);
    const also = suggested.also ?? remembered.get("babblefish.also") ?? undefined;
    fillAlso($("also"), info, also, $("hears").value);
    fillSpeaks($("speaks"), info, speaks, $("hears").value);
    $("speaks-more").open = $("speaks").value !== "same";
    if (info.detect_language) $("speaks").value = AUTO;
    show($("speaks-more"), !info.detect_language);
    this.notes();
    this.error("");
    this.working(false);
    this.prepareMic();
  }

  close() {
    this.meter.stop();
    clearTimeout(this.quietTimer);
  }

  // --- languages ---

  languageChanged() {
    this.wish = null;
    const speaks = $("speaks").value;
    fillAlso($("also"), this.info, $("also").value, $("hears").value);
    fillSpeaks($("speaks"), this.info, speaks, $("hears").value);
    if ($("speaks").value !== "same") $("speaks-more").open = true;
    this.notes();
  }

  notes() {
    const hears = $("hears").value;
    const also = $("also").value;
    label(this.info, $("hears-label"), $("also-field"), also);
    const notes = hearingNotes(this.info, hears, also);
    if (this.wish) notes.unshift(t("join.note.notHeard", { language: ownName(this.info, this.wish) }));
    if (!find(this.info, hears)?.speak && $("speaks").value === AUTO) {
      notes.push(t("join.note.notSpoken", { language: ownName(this.info, hears) }));
    }
    showNotes($("pair-notes"), notes);
    if (this.info.detect_language) return showNotes($("speak-notes"), [t("join.note.detected")]);
    showNotes($("speak-notes"), speakingNotes(this.info, spoken(this.info, $("speaks").value, hears)));
  }

  // --- microphone ---

  async prepareMic() {
    if (!window.isSecureContext) return this.trouble("insecure");
    $("listen-hint").textContent = t(this.info.listen_only ? "join.presentersOnly" : "join.listenOnlyHint");
    this.listenOnly(Boolean(this.info.listen_only));
    if (!this.info.listen_only && (await Mic.allowed())) await this.check();
  }

  listenOnly(on) {
    $("listen-only").checked = on;
    show($("mic-area"), !on);
    show($("mic-check"), !on && !this.mic.track);
    show($("listen-hint"), on);
    if (on) {
      this.mic.close();
      this.meter.stop();
    } else {
      this.trouble(null);
      this.status(this.mic.track ? "mic.speak" : "mic.askOnJoin");
    }
  }

  /** Opens the microphone and shows how loud it is; true when it works. */
  async check(device) {
    this.trouble(null);
    this.status("mic.opening");
    try {
      await this.mic.open(device);
    } catch (error) {
      const code = error instanceof MicError ? error.code : "failed";
      if (code !== "closed") this.trouble(code); // else listening only was chosen meanwhile
      return false;
    }
    show($("mic-check"), false);
    this.status("mic.speak");
    this.meter.start();
    clearTimeout(this.quietTimer);
    this.quietTimer = setTimeout(() => this.mic.track && this.status("mic.quiet"), QUIET_AFTER_MS);
    fillDevices($("device"), $("device-field"), this.mic).catch(() => {});
    return true;
  }

  heard() {
    clearTimeout(this.quietTimer);
    this.status("mic.heard");
  }

  status(key) {
    if (this.shownStatus === key) return;
    this.shownStatus = key;
    $("mic-status").textContent = t(key);
    $("join-meter").classList.toggle("good", key === "mic.heard");
  }

  /** Shows why there is no microphone, or hides that again (null). */
  trouble(code) {
    show($("mic-problem"), code !== null);
    show($("mic-ok"), code === null);
    if (code === null) return;
    this.meter.stop();
    show($("mic-check"), false);
    const { title, help } = micTrouble(code);
    $("mic-problem-title").textContent = title;
    $("mic-problem-help").textContent = help;
    show($("mic-problem-trust"), false);
    if (code === "insecure") api.exists("/trust").then((there) => show($("mic-problem-trust"), there));
    show($("mic-retry"), code !== "insecure");
  }

  async testSound() {
    const button = $("sound-test");
    if (button.disabled) return;
    button.disabled = true;
    $("sound-test-text").textContent = t("mic.playing");
    await this.speaker.test();
    $("sound-test-text").textContent = t("mic.testSound");
    button.disabled = false;
  }

  // --- joining ---

  async send(event) {
    event.preventDefault();
    const name = $("name").value.trim();
    if (!name) {
      this.nameError(t("join.nameMissing"));
      $("name").focus();
      return;
    }
    if (this.busy) return;
    const microphone = !$("listen-only").checked;
    this.speaker.unlock(microphone); // within the tap, before anything is awaited
    this.working(true);
    this.error("");
    if (microphone && !this.mic.track && !(await this.check())) {
      this.working(false);
      $("mic-problem").scrollIntoView({ block: "nearest" });
      $("mic-listen").focus({ preventScroll: true });
      return;
    }
    const hears = $("hears").value;
    const also = microphone && this.info.two_on_a_phone ? $("also").value : NOBODY;
    const speaks = also ? AUTO : spoken(this.info, $("speaks").value, hears);
    const choice = { name, hears, speaks, microphone, also };
    remembered.set("babblefish.name", name);
    remembered.set("babblefish.hears", hears);
    remembered.set("babblefish.speaks", $("speaks").value);
    if (this.info.two_on_a_phone) remembered.set("babblefish.also", $("also").value);
    try {
      await this.submit(choice);
    } catch (error) {
      this.error(error.message);
    }
    this.working(false);
  }

  working(on) {
    this.busy = on;
    $("join-button").setAttribute("aria-busy", String(on));
    $("join-button-text").textContent = t(on ? "join.joining" : "join.button");
  }

  nameError(text) {
    $("name-error").textContent = text;
    show($("name-error"), Boolean(text));
    $("name").setAttribute("aria-invalid", String(Boolean(text)));
  }

  error(text) {
    $("join-error").textContent = text;
    show($("join-error"), Boolean(text));
  }
}

/** Lists the microphones when there is a choice. */
export async function fillDevices(select, field, mic) {
  const devices = await Mic.devices();
  show(field, devices.length > 1);
  const label = (device, index) => device.label || t("mic.default", { number: index + 1 });
  select.replaceChildren(...devices.map((d, i) => make("option", { value: d.id, text: label(d, i) })));
  select.value = mic.device;
  if (select.selectedIndex < 0) select.selectedIndex = 0;
}
