// The transcript sheet: what was said in this room, searched as one types, and downloaded.

import { api } from "./api.js";
import { $, make, show } from "./dom.js";
import { ownName } from "./languages.js";
import { toast } from "./states.js";
import { explain, t } from "./strings.js";

const TYPING_MS = 250;
const SAID_MS = 1500;
const SEEN_AGAIN = 20; // the newest lines are asked for again: their translations come later

/** How long what is said is kept, as a sentence. `policy`: {kept, days}. */
export function keptWords({ kept, days }) {
  if (kept !== "days") return t(`kept.${kept}`);
  return days === 1 ? t("kept.day") : t("kept.days", { days });
}

export class Transcript {
  constructor(code, info, seat) {
    Object.assign(this, { code, info, seat });
    this.kept = { kept: info.kept, days: info.kept_days };
    this.dialog = $("transcript");
    const clock = { hour: "2-digit", minute: "2-digit" };
    this.clock = new Intl.DateTimeFormat(undefined, clock);
    this.calendar = new Intl.DateTimeFormat(undefined, { ...clock, day: "numeric", month: "short" });
    this.asked = 0; // answers to earlier questions are not shown
    $("open-transcript").onclick = () => this.open();
    this.dialog.onclick = (event) => {
      if (event.target === this.dialog) this.close();
    };
    $("transcript-search").oninput = () => this.later(TYPING_MS, () => this.search());
    $("close-transcript").onclick = () => this.close();
    $("transcript-form").onsubmit = (event) => event.preventDefault();
    $("transcript-more").onclick = () => this.load(this.lastNumber);
    for (const button of this.dialog.querySelectorAll("[data-format]")) {
      button.onclick = () => this.download(button);
    }
    this.showPolicy();
  }

  open() {
    this.dialog.showModal();
    $("transcript-search").value = "";
    const { hears } = this.seat;
    const choices = [["", t("transcript.all")], [hears, ownName(this.info, hears)], ["original", t("transcript.original")]];
    $("transcript-language").replaceChildren(
      ...choices.map(([value, text]) => make("option", { value, text })),
    );
    this.search();
  }

  close() {
    clearTimeout(this.timer);
    if (this.dialog.open) this.dialog.close();
  }

  /** The host has changed, or this connection tells for the first time, what is kept. */
  policy({ kept, days }) {
    const before = keptWords(this.kept);
    this.kept = { kept, days };
    this.showPolicy();
    if (keptWords(this.kept) !== before) toast(keptWords(this.kept));
    if (this.dialog.open) this.search();
  }

  showPolicy() {
    $("transcript-kept").textContent = keptWords(this.kept);
    show($("transcript-reading"), this.kept.kept !== "off");
  }

  /** Somebody said something: whoever reads the end of the transcript sees it there. */
  said() {
    if (!this.dialog.open || this.more || this.kept.kept === "off") return;
    const numbers = [...this.rows.keys()];
    this.later(SAID_MS, () => this.load(numbers.at(-SEEN_AGAIN - 1) ?? 0));
  }

  // --- reading ---

  search() {
    this.rows = new Map();
    this.more = false;
    this.load(0);
  }

  get lastNumber() {
    return [...this.rows.keys()].at(-1) ?? 0;
  }

  async load(after) {
    clearTimeout(this.timer);
    if (this.kept.kept === "off") return;
    const asked = ++this.asked;
    const words = $("transcript-search").value.trim();
    try {
      const answer = await api.lines(this.code, this.seat.key, { words, after });
      if (asked !== this.asked || !this.dialog.open) return;
      for (const line of answer.lines) this.rows.set(line.number, this.row(line));
      this.more = answer.more;
      this.draw(words);
    } catch (error) {
      if (asked === this.asked) this.tell(explain(error));
    }
  }

  draw(words) {
    $("transcript-lines").replaceChildren(...this.rows.values());
    show($("transcript-more"), this.more);
    this.tell(this.rows.size > 0 ? "" : t(words ? "transcript.none" : "transcript.empty"));
  }

  tell(text) {
    $("transcript-status").textContent = text;
  }

  row(line) {
    const shown = line.translations.find(({ language }) => language === this.seat.hears) ?? line;
    const at = new Date(line.at * 1000);
    const today = at.toDateString() === new Date().toDateString();
    const text = (today ? this.clock : this.calendar).format(at);
    const time = make("time", { datetime: at.toISOString(), text });
    const head = make("p", { class: "who" }, make("bdi", { text: line.speaker }), time);
    const voice = shown.own_voice ? "caption.ownVoice" : "caption.synthetic";
    if (shown.synthetic) head.append(make("span", { class: "mark", text: t(voice) }));
    const words = ({ text, language, direction }, name) =>
      make("p", { class: name, text, lang: language, dir: direction });
    return make("li", {}, head, words(shown, "said"), shown === line ? null : words(line, "as-said"));
  }

  // --- files ---

  async download(button) {
    const options = {
      format: button.dataset.format,
      language: $("transcript-language").value,
      words: $("transcript-search").value.trim(),
    };
    button.disabled = true;
    try {
      const { name, content } = await api.transcript(this.code, this.seat.key, options);
      const link = make("a", { href: URL.createObjectURL(content), download: name });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    } catch (error) {
      this.tell(explain(error));
    } finally {
      button.disabled = false;
    }
  }

  later(milliseconds, action) {
    clearTimeout(this.timer);
    this.timer = setTimeout(action, milliseconds);
  }
}
