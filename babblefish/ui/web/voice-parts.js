// The pieces that the pages of "My voice" are made of: headings, buttons, the ring of progress.

import { icon, make } from "./dom.js";
import { t } from "./strings.js";

const SVG = "http://www.w3.org/2000/svg";
const RADIUS = 15.5;

/** One page of the sheet; its heading gets the focus when it is shown. */
export function page(title, ...children) {
  const heading = make("h3", { class: "voice-heading", tabindex: "-1", text: title });
  return make("section", { class: "voice-page" }, heading, ...children);
}

export const words = (text, properties = {}) => make("p", { ...properties, text });

/**
 * A button; `run(button)` may be asynchronous, and is not called again meanwhile. `text`: its words,
 * where they are none of the page's.
 */
export function button(key, run, options = {}) {
  const { primary = false, quiet = false, danger = false, wide = false, symbol = null, label = null, text = t(key) } = options;
  const kind = [primary && "primary", quiet && "quiet", danger && "danger", wide && "wide"];
  const made = make("button", { type: "button", class: kind.filter(Boolean).join(" "), "aria-label": label });
  if (symbol) made.append(icon(symbol));
  made.append(make("span", { text }));
  made.addEventListener("click", () => once(made, () => run(made)));
  return made;
}

/** Runs `action` unless it is running already; shows that the button is busy. */
export async function once(element, action) {
  if (element.getAttribute("aria-busy") === "true") return;
  element.setAttribute("aria-busy", "true");
  try {
    await action();
  } finally {
    element.removeAttribute("aria-busy");
  }
}

/** A large button with a sentence under its name. */
export function choice(symbol, key, hint, run, recommended = false) {
  const text = make(
    "span", { class: "voice-choice-words" },
    make("strong", { text: t(key) }), make("small", { text: t(hint) }),
  );
  const made = make("button", { type: "button", class: `voice-choice${recommended ? " recommended" : ""}` }, icon(symbol), text);
  made.addEventListener("click", () => once(made, () => run(made)));
  return made;
}

/**
 * A labelled switch; `changed(on, input)` after the person used it. `hint`: {text, lang}, in place
 * of the page's own words on what it means.
 */
export function purposeSwitch(purpose, on, changed = () => {}, hint = { text: t(`voice.${purpose}.hint`) }) {
  const input = make("input", { type: "checkbox", role: "switch", id: `voice-${purpose}`, "aria-describedby": `voice-${purpose}-hint` });
  input.checked = on;
  input.addEventListener("change", () => changed(input.checked, input));
  const text = make(
    "span", {},
    make("span", { text: t(`voice.${purpose}`) }),
    make("small", { id: `voice-${purpose}-hint`, ...hint }),
  );
  return { input, label: make("label", { class: "switch" }, text, input, make("i", { "aria-hidden": "true" })) };
}

/** A line that screen readers announce when it changes. `tone`: "good", "bad" or "". */
export function statusLine() {
  const line = make("div", { class: "voice-status", role: "status" });
  return {
    element: line,
    say(text, tone = "") {
      line.className = `voice-status ${tone}`;
      const lines = (Array.isArray(text) ? text : [text]).filter(Boolean);
      const symbol = { good: "check", bad: "warning" }[tone];
      const shown = lines.map((one) => make("p", { text: one }));
      line.replaceChildren(...(symbol && lines.length ? [icon(symbol)] : []), make("div", {}, ...shown));
    },
  };
}

/** "Voice 70 %: 14 of 20 s". `progress`: {percent, seconds, needed}. */
export function progressWords({ percent, seconds, needed }) {
  return t("voice.progress", { percent, seconds: Math.floor(Math.min(seconds, needed)), wanted: Math.round(needed) });
}

/** A ring that fills with `progress`, or an empty one where there is none, around an icon. */
export function ring(progress, symbol = "wave") {
  const length = 2 * Math.PI * RADIUS;
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 36 36");
  svg.setAttribute("aria-hidden", "true");
  svg.append(circle("ring-all"));
  if (progress?.percent > 0) svg.append(circle("ring-done", `${(length * progress.percent) / 100} ${length}`));
  return make("span", { class: "ring" }, svg, icon(symbol));
}

function circle(name, dashes) {
  const made = document.createElementNS(SVG, "circle");
  const values = { class: name, cx: 18, cy: 18, r: RADIUS, "stroke-dasharray": dashes };
  for (const [key, value] of Object.entries(values)) {
    if (value !== undefined) made.setAttribute(key, value);
  }
  return made;
}
