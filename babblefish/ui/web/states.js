// Everything that is not the form or the room: full-page states, the banner, short messages.

import { $, icon, make, show } from "./dom.js";
import { t } from "./strings.js";

const TOAST_MS = 6000;

/** Shows "state", "join" or "room" and hides the others. */
export function view(name) {
  document.documentElement.dataset.view = name;
  for (const id of ["state", "join", "room"]) show($(id), id === name);
}

/**
 * A full-page state. `symbol`: an icon, or null for the waiting fish. `actions`:
 * [{key, run, primary}]. `text` replaces the state's own sentence.
 */
export function state(name, symbol, actions = [], text) {
  view("state");
  $("toasts").replaceChildren();
  show($("state-logo"), symbol === null);
  show($("state-icon"), symbol !== null);
  $("state-icon").replaceChildren(...(symbol ? [icon(symbol)] : []));
  $("state-title").textContent = t(`state.${name}`);
  const words = text ?? t(`state.${name}.text`);
  $("state-text").textContent = words.startsWith("state.") ? "" : words;
  const buttons = actions.map(({ key, run, primary }) => {
    const button = make("button", { type: "button", class: primary ? "primary" : "", text: t(key) });
    button.addEventListener("click", run);
    return button;
  });
  $("state-actions").replaceChildren(...buttons);
  $("state").dataset.state = name;
  if (symbol) $("state").focus({ preventScroll: true });
}

let countdown = null;

/** The line above the captions while there is no connection; null hides it. */
export function banner(title, { seconds = 0, retry = null, text = "", calm = false } = {}) {
  clearInterval(countdown);
  show($("banner"), title !== null);
  if (title === null) return;
  $("banner").classList.toggle("calm", calm);
  show($("banner").querySelector(".spinner"), !calm || seconds === 0);
  $("banner-title").textContent = title;
  $("banner-text").textContent = text;
  show($("banner-button"), retry !== null);
  $("banner-button").onclick = retry;
  if (seconds <= 1) return;
  const until = performance.now() + seconds * 1000;
  const tick = () => {
    const left = Math.max(1, Math.ceil((until - performance.now()) / 1000));
    $("banner-text").textContent = t("link.retryIn", { seconds: left });
  };
  tick();
  countdown = setInterval(tick, 500);
}

/** A short message that goes by itself; the same one is not shown twice at once. */
export function toast(text, milliseconds = TOAST_MS) {
  const box = $("toasts");
  if ([...box.children].some((child) => child.textContent === text)) return;
  const note = make("p", { class: "toast", text });
  box.append(note);
  while (box.childElementCount > 3) box.firstElementChild.remove();
  setTimeout(() => note.remove(), milliseconds);
  note.addEventListener("click", () => note.remove());
}
