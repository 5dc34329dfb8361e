// The page's own words: picks the reader's language, fills {placeholders}, translates the page.

import english from "./strings/en.js";

export const LANGUAGES = ["en", "es", "fr", "de", "pt", "it", "pl"];

let words = english;
let chosen = "en";

/** Loads the first language of `wanted` that the page speaks; English when there is none. */
export async function loadStrings(wanted = navigator.languages ?? [navigator.language]) {
  const codes = wanted.map((tag) => tag.toLowerCase().split("-")[0]);
  chosen = codes.find((code) => LANGUAGES.includes(code)) ?? "en";
  if (chosen !== "en") {
    try {
      words = { ...english, ...(await import(`./strings/${chosen}.js`)).default };
    } catch {
      chosen = "en";
    }
  }
  document.documentElement.lang = chosen;
  translatePage(document);
}

export const pageLanguage = () => chosen;

const known = (key) => Object.hasOwn(words, key);

export function t(key, values = {}) {
  const text = words[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** The page's words for an error or warning of the server, or the server's own. */
export const explain = ({ code, message }) =>
  code === "unreachable" ? t("state.unreachable") : known(`warn.${code}`) ? t(`warn.${code}`) : message;

/** Fills `data-t` (text) and `data-t-label` (accessible name and tooltip). */
export function translatePage(root) {
  for (const element of root.querySelectorAll("[data-t]")) {
    element.textContent = t(element.dataset.t);
  }
  for (const element of root.querySelectorAll("[data-t-label]")) {
    const text = t(element.dataset.tLabel);
    element.setAttribute("aria-label", text);
    element.setAttribute("title", text);
  }
}

/** "a, b and c" in the page's language, shortened to `most` entries. */
export function list(names, most = 4) {
  if (names.length > most) return null;
  return new Intl.ListFormat(chosen, { type: "conjunction" }).format(names);
}
