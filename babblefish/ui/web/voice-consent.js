// Consent, in the server's words and the reader's language, and the three ways to give a voice.

import { icon, make } from "./dom.js";
import { t } from "./strings.js";
import { button, choice, page, purposeSwitch, words } from "./voice-parts.js";

/** `agreed(purposes)`: the person agreed to these. */
export function consentPage(voice, consent, agreed) {
  const tongue = { lang: consent.language, dir: "auto" };
  const statements = consent.statements.map((text) => make("li", tongue, icon("check"), make("span", { text })));
  const recognise = purposeSwitch("voiceprint", true);
  const optional = ["passive_collection", "cloning"].map((purpose) => [purpose, purposeSwitch(purpose, false)]);
  const legend = make("legend", { text: t("voice.purposes") });
  const purposes = make("fieldset", { class: "voice-purposes" }, legend, recognise.label, ...optional.map(([, made]) => made.label));
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
  const made = page(title, make("ul", { class: "voice-statements" }, ...statements), purposes, make("div", { class: "actions" }, agree, not));
  made.querySelector("h3").lang = consent.language;
  return made;
}

/** `ways`: {read(purposes), upload(purposes), meeting(purposes)}. */
export function wayPage(voice, purposes, ways) {
  const all = purposes.includes("passive_collection");
  return page(
    t("voice.how"),
    choice("mic", "voice.read", "voice.read.hint", () => ways.read(purposes), true),
    choice("upload", "voice.upload", "voice.upload.hint", () => ways.upload(purposes)),
    choice("wave", "voice.meeting", "voice.meeting.hint", () => ways.meeting(purposes)),
    all ? null : words(t("voice.meeting.also"), { class: "small" }),
  );
}
