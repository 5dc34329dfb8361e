// Who is here, in which language, and who is speaking.

import { $, icon, make } from "./dom.js";
import { ownName } from "./languages.js";
import { list, t } from "./strings.js";

const HANDS_OFF_MS = 6000;

export class Roster {
  /** `own`: an element for one's own entry. */
  constructor(info, own) {
    this.info = info;
    this.own = own;
    this.people = [];
    this.speaking = new Set();
    this.rows = new Map();
    this.me = "";
    this.touchedAt = -Infinity;
    const touched = () => (this.touchedAt = performance.now());
    for (const name of ["pointerdown", "wheel", "keydown"]) {
      $("people").addEventListener(name, touched, { passive: true });
    }
  }

  update(people, me) {
    this.people = people;
    this.me = me;
    const here = new Set(people.map((person) => person.id));
    for (const [id, row] of this.rows) {
      if (here.has(id)) continue;
      row.remove();
      this.rows.delete(id);
      this.speaking.delete(id);
    }
    const mineFirst = [...people].sort((a, b) => (b.id === me) - (a.id === me));
    mineFirst.forEach((person, index) => this.draw(person, index));
    $("people-count").textContent = String(people.filter((person) => person.connected).length);
  }

  draw(person, index) {
    const row = this.rows.get(person.id) ?? make("li");
    this.rows.set(person.id, row);
    row.className = `person c${person.color % 12}`;
    row.classList.toggle("away", !person.connected);
    row.classList.toggle("me", person.id === this.me);
    const avatar = make("span", { class: "avatar", "aria-hidden": "true", text: initial(person.name) });
    if (person.also) {
      row.classList.add("two");
      avatar.append(make("i", { class: `second c${person.also_color % 12}` }));
    }
    const name = make("span", { class: "name" }, make("bdi", { text: person.name }));
    if (person.id === this.me) name.append(make("small", { text: t("room.you") }));
    const words = make("span", { class: "person-words" }, name, this.languages(person));
    const focused = row.contains(this.own) && document.activeElement === this.own;
    row.replaceChildren(avatar, words);
    if (!person.microphone) row.append(make("span", { class: "silent" }, icon("mic-off"), sr(t("room.muted"))));
    row.append(make("span", { class: "sr speaking-note" }));
    if (person.id === this.me) row.append(this.own);
    if (focused) this.own.focus({ preventScroll: true });
    this.light(person.id);
    if ($("people").children[index] !== row) $("people").insertBefore(row, $("people").children[index] ?? null);
  }

  languages(person) {
    if (!person.connected) return make("span", { class: "tongues", text: t("person.away") });
    if (person.also) {
      const both = [person.hears, person.also].map((code) => ownName(this.info, code));
      const said = `${t("person.speaks", { language: list(both) })}, ${t("person.hears", { language: list(both) })}`;
      return make("span", { class: "tongues" }, make("span", { "aria-hidden": "true", text: both.join(" ⇄ ") }), sr(said));
    }
    const speaks = person.speaks ? ownName(this.info, person.speaks) : t("person.any");
    const hears = ownName(this.info, person.hears);
    const shown = person.speaks === person.hears ? hears : `${speaks} → ${hears}`;
    const said = `${t("person.speaks", { language: speaks })}, ${t("person.hears", { language: hears })}`;
    return make("span", { class: "tongues" }, make("span", { "aria-hidden": "true", text: shown }), sr(said));
  }

  speak(member, active) {
    if (active) this.speaking.add(member);
    else this.speaking.delete(member);
    this.light(member);
    if (active) this.reveal(this.rows.get(member));
  }

  /** Brings who speaks into the strip of people, unless somebody is looking around in it. */
  reveal(row) {
    const strip = $("people");
    if (!row || performance.now() - this.touchedAt < HANDS_OFF_MS) return;
    if (strip.scrollWidth <= strip.clientWidth) return;
    const place = row.getBoundingClientRect();
    const frame = strip.getBoundingClientRect();
    if (place.left >= frame.left && place.right <= frame.right) return;
    strip.scrollBy({ left: place.left - frame.left - 12, behavior: "smooth" });
  }

  light(member) {
    const row = this.rows.get(member);
    if (!row) return;
    const active = this.speaking.has(member);
    row.classList.toggle("speaking", active);
    row.querySelector(".speaking-note").textContent = active ? t("person.speaking") : "";
  }

  /** The connection went: nobody is known to speak. */
  hush() {
    const were = [...this.speaking];
    this.speaking.clear();
    were.forEach((member) => this.light(member));
  }
}

const sr = (text) => make("span", { class: "sr", text });

function initial(name) {
  const first = Intl.Segmenter
    ? [...new Intl.Segmenter().segment(name)][0]?.segment
    : [...name][0];
  return (first ?? "?").toLocaleUpperCase();
}
