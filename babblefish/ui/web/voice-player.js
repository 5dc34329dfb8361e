// Plays one recording or sample at a time; the room is silent meanwhile.

import { $ } from "./dom.js";
import { t } from "./strings.js";

export class Player {
  /** `hush(bool)`: silences the room, or lets it be heard again. */
  constructor(hush) {
    this.hush = hush;
    this.element = $("voice-audio");
    this.generation = 0;
    this.element.onended = () => this.stop();
  }

  /** Plays what `fetch()` resolves to (a Blob), or stops it where `button` plays already. */
  async toggle(button, fetch) {
    const playing = this.button === button;
    this.stop();
    if (playing) return;
    const generation = ++this.generation;
    this.mark(button);
    try {
      const sound = await fetch();
      if (generation !== this.generation) return;
      this.address = URL.createObjectURL(sound);
      this.element.src = this.address;
      this.hush(true);
      await this.element.play();
    } catch (error) {
      if (generation !== this.generation) return;
      this.stop();
      throw error;
    }
  }

  mark(button) {
    this.button = button;
    this.words = button.lastElementChild.textContent;
    button.classList.add("playing");
    button.lastElementChild.textContent = t("voice.stop");
  }

  stop() {
    this.generation += 1;
    this.element.pause();
    if (this.address) {
      this.element.removeAttribute("src");
      URL.revokeObjectURL(this.address);
      this.address = null;
      this.hush(false);
    }
    if (!this.button) return;
    this.button.classList.remove("playing");
    this.button.lastElementChild.textContent = this.words;
    this.button = null;
  }
}
