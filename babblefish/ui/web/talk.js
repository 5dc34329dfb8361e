// Whether the microphone is heard: mute, and hold to talk (button or space bar).

const TAIL_MS = 250; // the last syllable after letting go
const INTERACTIVE = "button, a, input, select, textarea, summary, dialog, [contenteditable]";

export class Talk {
  /** `changed({has, muted, held, live})` after every change. */
  constructor(changed) {
    this.changed = changed;
    this.has = false; // there is a microphone
    this.muted = false;
    this.held = false;
  }

  get live() {
    return this.has && (!this.muted || this.held);
  }

  set({ has = this.has, muted = this.muted }) {
    this.has = has;
    this.muted = muted;
    this.notify();
  }

  toggle() {
    this.release(0);
    this.set({ muted: !this.muted });
  }

  hold() {
    clearTimeout(this.tail);
    if (!this.has || !this.muted || this.held) return;
    this.held = true;
    this.notify();
  }

  release(after = TAIL_MS) {
    clearTimeout(this.tail);
    if (!this.held) return;
    this.tail = setTimeout(() => {
      this.held = false;
      this.notify();
    }, after);
  }

  notify() {
    const { has, muted, held, live } = this;
    this.changed({ has, muted, held, live });
  }

  /** Hold on `button`, by pointer or by key while it has the focus. */
  bindButton(button) {
    button.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      button.setPointerCapture(event.pointerId);
      this.hold();
    });
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
      button.addEventListener(name, () => this.release());
    }
    button.addEventListener("contextmenu", (event) => event.preventDefault());
    button.addEventListener("keydown", (event) => {
      if ((event.key === " " || event.key === "Enter") && this.muted && this.has) {
        event.preventDefault();
        if (!event.repeat) this.hold();
      }
    });
    button.addEventListener("keyup", (event) => {
      if (event.key === " " || event.key === "Enter") this.release();
    });
    button.addEventListener("blur", () => this.release());
  }

  /** Hold on the space bar, wherever no control wants it. `active()`: the room is on screen. */
  bindSpace(active) {
    addEventListener("keydown", (event) => {
      if (event.code !== "Space" || event.ctrlKey || event.altKey || event.metaKey) return;
      if (!active() || event.target.closest?.(INTERACTIVE) || !this.has || !this.muted) return;
      event.preventDefault();
      if (!event.repeat) this.hold();
    });
    addEventListener("keyup", (event) => {
      if (event.code === "Space") this.release();
    });
    addEventListener("blur", () => this.release(0));
    document.addEventListener("visibilitychange", () => document.hidden && this.release(0));
  }
}
