// Consent, in the server's words and the reader's language, and the three ways to give a voice.

import { icon, make } from "./dom.js";
import { t } from "./strings.js";
import { button, choice, page, purposeSwitch, words } from "./voice-parts.js";

/** `wanted`: switched on from the start. `agreed(purposes)`: the person agreed to these. */
export function consentPage(voice, consent, wanted, agreed) {
  const tongue = { lang: consent.language, dir: "auto" };
  const about = (purpose) => ({ ...tongue, text: consent.purposes[purpose].join(" ") });
  const change = (purpose) => purposeSwitch(purpose, wanted.includes(purpose), undefined, about(purpose));
  const recognise = change("voiceprint");
  const optional = ["cloning", "passive_collection"].map((purpose) => [purpose, change(purpose)]);
  const legend = make("legend", { text: t("voice.purposes") });
  const purposes = make("fieldset", { class: "voice-purposes" }, legend, recognise.label, ...optional.map(([, made]) => made.label));
  const said = new Set(Object.values(consent.purposes).flat());
  const others = consent.statements.filter((text) => !said.has(text));
  const statements = others.map((text) => make("li", tongue, icon("check"), make("span", { text })));
  const agree = button(null, () => {
    if (!recognise.input.checked) {
      voice.line.say(t("voice.needsPrint"), "bad");
      recognise.input.focus();
      return;
    }
    const chosen = optional.filter(([, made]) => made.input.checked).map(([purpose]) => purpose);
    agreed(["voiceprint", ...chosen]);
  }, { primary: true, text: consent.agree });
  agree.lang = consent.language;
  const not = button("voice.notNow", () => voice.home());
  const title = consent.title;
  const made = page(title, purposes, make("ul", { class: "voice-statements" }, ...statements), make("div", { class: "actions" }, agree, not));
  made.querySelector("h3").lang = consent.language;
  return made;
}

/** `ways`: {read(purposes), upload(purposes), meeting(purposes)}. */
export function wayPage(voice, purposes, ways) {
  const all = ["voiceprint", "cloning", "passive_collection"].every((purpose) => purposes.includes(purpose));
  const meeting = choice("wave", "voice.meeting", "voice.meeting.hint", () => ways.meeting(purposes));
  meeting.disabled = !all;
  return page(
    t("voice.how"),
    choice("mic", "voice.read", "voice.read.hint", () => ways.read(purposes), true),
    choice("upload", "voice.upload", "voice.upload.hint", () => ways.upload(purposes)),
    meeting,
    all ? null : words(t("voice.meeting.needs"), { class: "small" }),
  );
}
