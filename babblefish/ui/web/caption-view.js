// Draws captions, follows the newest one while the reader is at the end, and never otherwise.

import { Captions } from "./captions.js";
import { $, icon, make, show } from "./dom.js";
import { t } from "./strings.js";

function write(element, { text = "", language = "", direction = "ltr" } = {}) {
  element.textContent = text;
  element.lang = language;
  element.dir = direction;
}

const nameOf = ({ name, known }) => (known === false ? t("caption.unknown", { name }) : name);

/** In which kind of voice it is heard; the heading of several captions says it once. */
const voiceOf = ({ synthetic, own_voice }) => (own_voice ? "own" : synthetic ? "synthetic" : "");

const AT_END_PX = 56;
const MOST_KEPT_WHILE_READING = 1500;

export class CaptionView {
  /** `isMe(member)`: whether a caption is the reader's own. */
  constructor(isMe) {
    this.isMe = isMe;
    this.store = new Captions();
    this.rows = new Map();
    this.box = $("captions");
    this.rowList = $("caption-list");
    this.following = true;
    this.unread = 0;
    this.reading = false; // announce to screen readers
    this.pending = false; // layout work is scheduled
    this.clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
    this.box.addEventListener("scroll", () => this.scrolled(), { passive: true });
    const resized = new ResizeObserver(() => this.follow());
    resized.observe(this.box);
    resized.observe(this.rowList);
    $("newest").addEventListener("click", () => this.jump());
  }

  get lastSeq() {
    return this.store.lastSeq;
  }

  /** Two people read here, in these two languages, the first one's above; null: one person. */
  sharedBy(pair) {
    if (String(pair) === String(this.store.pair)) return;
    this.store.pair = pair;
    for (const [entry, row] of this.rows) this.fill(entry, row);
    this.changed();
  }

  // --- events ---

  caption(event) {
    const entry = this.store.take(event);
    if (!entry) return;
    let row = this.rows.get(entry);
    if (!row) {
      row = this.makeRow(entry);
      this.rows.set(entry, row);
    }
    this.fill(entry, row);
    const next = this.rows.get(this.store.next(entry)) ?? null;
    if (row.item.parentNode !== this.rowList || row.item.nextSibling !== (next?.item ?? null)) {
      this.rowList.insertBefore(row.item, next?.item ?? null);
    }
    if (entry.final) {
      if (!this.following) this.unread += 1;
      this.announce(event);
    }
    this.changed();
  }

  retract(utterance) {
    this.discard(this.store.retract(utterance));
  }

  /** A new connection: unfinished captions will come again. */
  resumed() {
    this.store.retractPartials().forEach((entry) => this.discard(entry));
  }

  voicing(utterance, state, ownVoice) {
    if (state === "playing") {
      for (const entry of this.store.list) {
        if (entry.voicing === "playing" && entry.utterance !== utterance) {
          entry.voicing = "played";
          this.mark(entry);
        }
      }
    }
    const entry = this.store.voice(utterance, state, ownVoice);
    if (entry) this.mark(entry);
  }

  // --- rows ---

  makeRow(entry) {
    const row = {
      item: make("li", { class: "caption" }),
      name: make("bdi"),
      voice: make("span", { class: "mark" }, icon("wave")),
      voiceName: make("span"),
      time: make("time"),
      text: make("p", { class: "text" }),
      marks: make("span", { class: "marks" }),
      second: make("p", { class: "second" }),
      original: make("p", { class: "original" }),
      button: make("button", { type: "button", class: "translate" }, icon("translate")),
    };
    row.voice.append(row.voiceName);
    const head = make("p", { class: "who" }, make("i", { class: "dot", "aria-hidden": "true" }), row.name, row.time, row.voice);
    row.item.append(head, make("div", { class: "line" }, make("div", { class: "words" }, row.text, row.original, row.marks), row.button));
    row.original.id = `original-${(this.count = (this.count ?? 0) + 1)}`;
    row.button.setAttribute("aria-controls", row.original.id);
    row.button.addEventListener("click", () => this.toggleOriginal(entry));
    row.text.addEventListener("click", () => {
      if (getSelection()?.isCollapsed !== false) this.toggleOriginal(entry);
    });
    return row;
  }

  fill(entry, row) {
    row.item.className = `caption c${entry.color % 12}`;
    row.item.classList.toggle("partial", !entry.final);
    const [first, second] = this.linesOf(entry);
    row.item.classList.toggle("mine", this.isMe(entry.member) && !this.store.pair);
    row.item.classList.toggle("unknown", entry.known === false);
    row.name.textContent = nameOf(entry);
    write(row.text, first);
    if (second) {
      write(row.second, second);
      row.text.after(row.second);
    } else {
      row.second.remove();
    }
    const both = this.store.pair?.includes(entry.original_language || entry.language);
    const translated = entry.final && entry.translated && Boolean(entry.original_text) && !both;
    row.item.classList.toggle("translated", translated);
    row.original.textContent = translated ? entry.original_text : "";
    if (translated) {
      row.original.lang = entry.original_language;
      row.original.dir = entry.original_direction;
    }
    if (entry.final && entry.at) {
      const at = new Date(entry.at * 1000);
      row.time.dateTime = at.toISOString();
      row.time.textContent = this.clock.format(at);
    }
    this.mark(entry);
    this.openOriginal(row, row.item.classList.contains("open"));
  }

  /** What is read of an entry: one line, or one for each of two people. */
  linesOf(entry) {
    if (!this.store.pair) return [entry];
    const lines = this.store.pair.map((code) => entry.lines[code]).filter(Boolean);
    return lines.length > 0 ? lines : [entry];
  }

  /** Badges and highlight, which may change after the caption is final. */
  mark(entry) {
    const row = this.rows.get(entry);
    if (!row) return;
    row.item.classList.toggle("playing", entry.voicing === "playing");
    row.voiceName.textContent = t(entry.own_voice ? "caption.ownVoice" : "caption.synthetic");
    show(row.voice, entry.final && (entry.synthetic || entry.own_voice));
    const marks = [];
    if (entry.quality === "basic" && entry.translated) marks.push(["translate", "caption.basic"]);
    if (entry.voicing === "skipped") marks.push(["volume-off", "caption.skipped"]);
    row.marks.replaceChildren(
      ...marks.map(([name, key]) => make("span", { class: "mark" }, icon(name), make("span", { text: t(key) }))),
    );
    show(row.marks, marks.length > 0);
    this.changed();
  }

  toggleOriginal(entry) {
    const row = this.rows.get(entry);
    if (row?.item.classList.contains("translated")) {
      this.openOriginal(row, !row.item.classList.contains("open"));
      this.follow();
    }
  }

  openOriginal(row, open) {
    row.item.classList.toggle("open", open);
    row.button.setAttribute("aria-expanded", String(open));
    row.button.setAttribute("aria-label", t(open ? "caption.originalHide" : "caption.original"));
    row.button.title = row.button.getAttribute("aria-label");
  }

  /** One heading for consecutive captions of one voice. */
  group() {
    let before = null;
    for (const entry of this.store.list) {
      const same =
        before && before.member === entry.member && nameOf(before) === nameOf(entry) &&
        (!entry.final || voiceOf(before) === voiceOf(entry)) &&
        (!entry.at || !before.at || entry.at - before.at < 90);
      this.rows.get(entry).item.classList.toggle("follows", Boolean(same));
      before = entry;
    }
    show($("captions-empty"), this.store.list.length === 0);
  }

  discard(entry) {
    if (!entry) return;
    this.rows.get(entry)?.item.remove();
    this.rows.delete(entry);
    this.changed();
  }

  /** Layout work once a frame, however many captions a returning phone catches up on. */
  changed() {
    if (this.pending) return;
    this.pending = true;
    const settle = () => {
      this.pending = false;
      this.tidy();
      this.group();
      this.follow();
    };
    if (document.hidden) setTimeout(settle, 250);
    else requestAnimationFrame(settle);
  }

  /** Old captions go while nobody reads them: removing lines above would move the text. */
  tidy() {
    const gone = this.following ? this.store.trim() : this.store.trim(MOST_KEPT_WHILE_READING);
    for (const entry of gone) {
      this.rows.get(entry)?.item.remove();
      this.rows.delete(entry);
    }
  }

  // --- reading ---

  scrolled() {
    if (this.pending && this.following) return; // the end is about to be elsewhere
    const { scrollHeight, scrollTop, clientHeight } = this.box;
    this.following = scrollHeight - scrollTop - clientHeight < AT_END_PX;
    if (this.following) this.unread = 0;
    this.offer();
  }

  follow() {
    if (this.following) this.box.scrollTop = this.box.scrollHeight;
    this.offer();
  }

  offer() {
    show($("newest"), !this.following);
    $("newest-count").textContent = this.unread > 0 ? String(this.unread) : "";
  }

  jump() {
    this.following = true;
    this.unread = 0;
    this.follow();
    this.box.focus({ preventScroll: true });
  }

  /** Screen readers hear finished captions only, when asked for. */
  read(on) {
    this.reading = on;
    const log = $("log");
    log.replaceChildren();
    for (const name of ["role", "aria-live", "aria-label"]) log.removeAttribute(name);
    log.setAttribute("aria-hidden", String(!on));
    if (!on) return;
    log.setAttribute("role", "log");
    log.setAttribute("aria-live", "polite");
    log.setAttribute("aria-label", t("room.captions"));
  }

  announce(entry) {
    if (!this.reading || (this.isMe(entry.member) && !this.store.pair)) return;
    const log = $("log");
    const words = make("span", { text: entry.text, lang: entry.language, dir: entry.direction });
    log.append(make("p", {}, make("bdi", { text: nameOf(entry) }), ": ", words));
    while (log.childElementCount > 20) log.firstElementChild.remove();
  }
}
