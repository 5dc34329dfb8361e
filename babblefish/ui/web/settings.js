// The settings sheet: text size, originals, screen reader, sound, languages, sharing.

import { $, show, store } from "./dom.js";
import { AUTO, fillHears, fillSpeaks, hearingNotes, showNotes, speakingNotes, spoken } from "./languages.js";
import { NOBODY, fillAlso, label } from "./pair.js";
import { t } from "./strings.js";
import { toast } from "./states.js";

const kept = store("localStorage");
const SIZES = 6;
const SEND_AFTER_MS = 120;

export class Settings {
  /** `hooks`: send(event), read(bool), sizeChanged(), device(id), remember(changes). */
  constructor(info, seat, speaker, hooks) {
    Object.assign(this, { info, seat, speaker, hooks });
    this.dialog = $("settings");
    $("open-settings").onclick = () => this.dialog.showModal();
    this.dialog.onclick = (event) => {
      if (event.target === this.dialog) this.dialog.close();
    };
    this.reading();
    this.sound();
    this.languages();
    $("share").onclick = () => this.share();
  }

  reading() {
    this.bind("text-size", "textSize", 1, (value) => {
      for (let size = 0; size < SIZES; size += 1) {
        document.documentElement.classList.toggle(`size-${size}`, size === value);
      }
      this.hooks.sizeChanged();
    });
    this.bindSwitch("show-originals", "originals", (on) => {
      $("caption-list").classList.toggle("originals", on);
      this.hooks.sizeChanged();
    });
    this.bindSwitch("live-log", "log", (on) => this.hooks.read(on));
  }

  sound() {
    show($("volume-field"), this.speaker.adjustable);
    show($("volume-buttons"), !this.speaker.adjustable);
    this.bind("volume", "volume", 100, (value) => {
      this.speaker.volume = value / 100;
      $("volume-value").textContent = `${value} %`;
    });
    const slider = $("original-level");
    slider.value = Math.round((this.seat.originalLevel ?? this.info.original_level) * 100);
    $("original-value").textContent = `${slider.value} %`;
    slider.oninput = () => {
      $("original-value").textContent = `${slider.value} %`;
      this.seat.originalLevel = slider.value / 100;
      this.hooks.remember();
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.sendOriginalLevel(), SEND_AFTER_MS);
    };
    $("room-device").onchange = () => this.hooks.device($("room-device").value);
  }

  /** What this listener chose; nothing while they follow the room's default. */
  sendOriginalLevel() {
    if (this.seat.originalLevel === undefined) return;
    this.hooks.send({ type: "original_level", level: this.seat.originalLevel });
  }

  languages() {
    const hears = $("room-hears");
    const speaks = $("room-speaks");
    const also = $("room-also");
    fillHears(hears, this.info, this.seat.hears);
    fillAlso(also, this.info, this.seat.also ?? NOBODY, hears.value);
    fillSpeaks(speaks, this.info, this.seat.speaks, hears.value);
    const changed = () => {
      fillAlso(also, this.info, also.value, hears.value);
      fillSpeaks(speaks, this.info, speaks.value, hears.value);
      this.seat.hears = hears.value;
      this.seat.also = also.value;
      this.seat.speaks = also.value ? AUTO : spoken(this.info, speaks.value, hears.value);
      this.notes();
      this.hooks.remember();
      const { hears: hear, speaks: speak, also: second } = this.seat;
      this.hooks.send({ type: "configure", hears: hear, speaks: speak, also: second });
    };
    hears.onchange = changed;
    also.onchange = changed;
    speaks.onchange = changed;
    this.notes();
  }

  notes() {
    const { hears, speaks, also } = this.seat;
    label(this.info, $("room-hears-label"), $("room-also-field"), also);
    show($("room-speaks-field"), !also);
    showNotes($("room-notes"), [...hearingNotes(this.info, hears, also), ...speakingNotes(this.info, speaks)]);
  }

  async share() {
    const link = { title: this.info.name, url: this.seat.link };
    try {
      if (navigator.share) await navigator.share(link);
      else {
        await navigator.clipboard.writeText(link.url);
        toast(t("settings.copied"));
      }
    } catch {
      // the person changed their mind
    }
  }

  close() {
    if (this.dialog.open) this.dialog.close();
  }

  bind(id, key, standard, apply) {
    const slider = $(id);
    slider.value = kept.get(`babblefish.${key}`) ?? standard;
    slider.oninput = () => {
      kept.set(`babblefish.${key}`, Number(slider.value));
      apply(Number(slider.value));
    };
    apply(Number(slider.value));
  }

  bindSwitch(id, key, apply) {
    const box = $(id);
    box.checked = kept.get(`babblefish.${key}`) === true;
    box.onchange = () => {
      kept.set(`babblefish.${key}`, box.checked);
      apply(box.checked);
    };
    apply(box.checked);
  }
}
