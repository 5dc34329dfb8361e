// What a room offers in which language, in words: choices, defaults and honest notes.
// Works on the room's answer {languages, unserved, basic}.

import { make } from "./dom.js";
import { list, t } from "./strings.js";

export const SAME = "same"; // "I speak the language I hear"
export const AUTO = "auto";

const ALIASES = { nb: "no", nn: "no", iw: "he", in: "id", fil: "tl", jv: "jw", cmn: "zh" };
const LEVELS = [["voice", "join.group.voice"], ["basic_voice", "join.group.basic"], ["captions", "join.group.captions"]];

export const find = (info, code) => info.languages.find((language) => language.code === code);

/** A language's own name, as a title. */
export function ownName(info, code) {
  const name = find(info, code)?.name ?? code;
  return name.charAt(0).toLocaleUpperCase(code) + name.slice(1);
}

/** {hears, speaks, wish}: `wish` is the reader's language when it cannot be heard here. */
export function preferred(info, tags = navigator.languages ?? [navigator.language]) {
  const codes = tags.map((tag) => tag.toLowerCase().split("-")[0]).map((c) => ALIASES[c] ?? c);
  const hearable = info.languages.filter((language) => language.hear);
  const first = find(info, codes[0]);
  const hears =
    codes.find((code) => find(info, code)?.hear) ??
    (find(info, "en")?.hear ? "en" : hearable[0]?.code ?? "");
  if (!first || first.hear) return { hears, speaks: SAME, wish: null };
  return { hears, speaks: first.speak ? first.code : AUTO, wish: first.code };
}

export function fillHears(select, info, value) {
  const groups = LEVELS.map(([level, title]) => [title, info.languages.filter((l) => l.hear === level)])
    .filter(([, languages]) => languages.length > 0);
  const options = ([title, languages]) => {
    const choices = languages.map((language) => option(info, language));
    return groups.length > 1 ? [make("optgroup", { label: t(title) }, ...choices)] : choices;
  };
  select.replaceChildren(...groups.flatMap(options));
  select.value = value;
  if (select.selectedIndex < 0) select.selectedIndex = 0;
}

export function fillSpeaks(select, info, value, hears) {
  const spoken = info.languages.filter((language) => language.speak);
  const choices = spoken.filter((l) => l.code !== hears).map((language) => option(info, language));
  if (find(info, hears)?.speak) {
    const same = t("join.speaksSame", { language: ownName(info, hears) });
    choices.unshift(make("option", { value: SAME, text: same }));
  }
  choices.splice(1, 0, make("option", { value: AUTO, text: t("join.speaksAuto") }));
  select.replaceChildren(...choices);
  select.value = value === hears ? SAME : value;
  if (select.selectedIndex < 0) select.value = find(info, hears)?.speak ? SAME : AUTO;
}

function option(info, language) {
  return make("option", {
    value: language.code,
    lang: language.code,
    text: ownName(info, language.code),
  });
}

/** The code the server wants for what the select says. */
export function spoken(info, speaks, hears) {
  if (speaks !== SAME) return speaks;
  return find(info, hears)?.speak ? hears : AUTO;
}

/** What somebody who hears `hears` should know, in sentences; `also`: what alone is spoken to them. */
export function hearingNotes(info, hears, also = "") {
  if (also) return [...hearingFrom(info, hears, [also]), ...hearingFrom(info, also, [hears])];
  return hearingFrom(info, hears, info.languages.filter((l) => l.speak && l.code !== hears).map((l) => l.code));
}

function hearingFrom(info, hears, others) {
  const language = ownName(info, hears);
  const level = find(info, hears)?.hear;
  const notes = [];
  if (level === "captions") notes.push(t("join.note.captions", { language }));
  if (level === "basic_voice") notes.push(t("join.note.basicVoice", { language }));
  const basic = sources(info.basic, hears, others);
  if (basic.length > 0) {
    const names = basic.length < others.length ? some(info, basic) : null;
    notes.push(names ? t("join.note.basic", { language, others: names }) : t("join.note.basicAll", { language }));
  }
  const unserved = sources(info.unserved, hears, others);
  if (unserved.length > 0) {
    notes.push(t("join.note.unserved", { language, others: some(info, unserved) ?? t("join.manyLanguages") }));
  }
  return notes;
}

/** What somebody who speaks `code` should know. */
export function speakingNotes(info, code) {
  if (code === AUTO) return [];
  const unheard = info.unserved.filter(([from]) => from === code).map(([, to]) => to);
  const others = unheard.filter((to) => to !== code && find(info, to)?.hear);
  if (others.length === 0) return [];
  const names = some(info, others) ?? t("join.manyLanguages");
  return [t("join.note.unheard", { language: ownName(info, code), others: names })];
}

const sources = (pairs, hears, others) =>
  pairs.filter(([from, to]) => to === hears && others.includes(from)).map(([from]) => from);

const some = (info, codes) => list(codes.map((code) => ownName(info, code)));

export function showNotes(element, notes) {
  element.replaceChildren(...notes.map((text) => make("p", { text })));
}
