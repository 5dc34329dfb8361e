// Which voice speaks one's translations: the closest, a neutral one, or one of those that there are.

import { $, icon, make, show } from "./dom.js";
import { ownName } from "./languages.js";
import { t } from "./strings.js";
import { button, once } from "./voice-parts.js";

const KINDS = ["closest", "neutral", "chosen"];
const SPOKEN = new Set(["voice", "basic_voice"]);

/** A fieldset; every change is told to the server at once. */
export class VoicePicker {
  constructor(voice) {
    this.voice = voice;
    this.list = make("div", { id: "voice-list", class: "voice-list" });
    const rows = KINDS.map((kind) =>
      radio("voice-kind", kind, kind === voice.state.choice, t(`voice.${kind}`), t(`voice.${kind}.hint`), () => this.pick(kind)),
    );
    show(this.list, false);
    if (voice.state.choice === "chosen") this.open();
    this.element = make("fieldset", { class: "voice-pick" }, make("legend", { text: t("voice.choice") }), ...rows, this.list);
  }

  /** Codes of the languages that are spoken by voices here. */
  static languages({ room }) {
    return room.info.languages.filter((one) => SPOKEN.has(one.hear)).map((one) => one.code);
  }

  async pick(kind) {
    if (kind === "chosen") return this.open();
    show(this.list, false);
    await this.tell(kind, "");
  }

  async tell(name, language) {
    const { voice } = this;
    const done = await voice.attempt(async () => (voice.state = await voice.api.choose(name, language)));
    if (done) voice.line.say(t("voice.choiceSaved"), "good");
  }

  open() {
    show(this.list, true);
    return this.draw(this.startingLanguage());
  }

  /** The language in which others hear this person now, as far as there is one. */
  startingLanguage() {
    const { state, room } = this.voice;
    const codes = VoicePicker.languages(this.voice);
    const others = codes.filter((code) => code !== room.seat.hears);
    return [...Object.keys(state.chosen), ...state.languages, ...others].find((code) => codes.includes(code)) ?? codes[0];
  }

  /** The voices of one language, each with a button to hear it. */
  async draw(language) {
    this.language = language;
    const { voice } = this;
    const { info } = voice.room;
    const select = make("select", { id: "voice-language" });
    select.append(...VoicePicker.languages(voice).map((code) => make("option", { value: code, text: ownName(info, code) })));
    select.value = language;
    select.onchange = () => this.draw(select.value).then(() => $("voice-language")?.focus());
    const label = make("label", { for: "voice-language", text: t("voice.inLanguage") });
    const field = make("div", { class: "field" }, label, make("div", { class: "select" }, select, icon("chevron")));
    const group = make("div", { role: "radiogroup", "aria-label": ownName(info, language) });
    this.list.replaceChildren(field, group);
    await voice.attempt(async () => {
      const { voices } = await voice.api.voices(language);
      if (this.language === language) group.replaceChildren(...voices.map((one) => this.row(one)));
    });
  }

  row({ voice: name, number, depth }) {
    const { voice, language } = this;
    const label = t("voice.number", { number });
    const chosen = voice.state.chosen[language] === name;
    const one = radio("voice-name", name, chosen, label, depth ? t(`voice.${depth}`) : "", () => this.tell(name, language));
    const hear = button("voice.listen", (made) => voice.play(made, () => voice.api.sample(language, name)), {
      quiet: true, symbol: "volume", label: `${t("voice.listen")}: ${label}`,
    });
    return make("div", { class: "voice-row" }, one, hear);
  }
}

function radio(group, value, on, label, hint, run) {
  const input = make("input", { type: "radio", name: group, value });
  input.checked = on;
  input.addEventListener("change", () => once(input, run));
  const text = make("span", {}, make("span", { text: label }), hint ? make("small", { text: hint }) : null);
  return make("label", { class: "voice-option" }, input, text);
}
