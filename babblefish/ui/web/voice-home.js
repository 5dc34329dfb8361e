// What is kept of one's voice and what it is used for: progress, purposes, the way to delete it all.

import { icon, make } from "./dom.js";
import { t } from "./strings.js";
import { VoicePicker } from "./voice-choice.js";
import { button, page, progressWords, purposeSwitch, ring, words } from "./voice-parts.js";

/** The first page, for whoever is known and for whoever is not. */
export function homePage(voice) {
  const { state } = voice;
  const parts = state.enrolled ? [standing(voice), picker(voice), purposes(voice), kept(voice)] : [invitation(voice), picker(voice)];
  return page(t(state.enrolled ? "voice.known" : "voice.unknown"), ...parts);
}

function invitation(voice) {
  if (!voice.state.keeps) return words(t("voice.impossible"), { class: "small" });
  return make(
    "div", { class: "voice-part" },
    words(t("voice.invitation")),
    button("voice.setUp", () => voice.enrol(), { primary: true, wide: true, symbol: "mic" }),
  );
}

/** How much of the voice there is; follows the meeting while it is shown. */
function standing(voice) {
  const box = make("div", { class: "voice-standing" });
  const draw = () => {
    const { progress, agreed, samples } = voice.state;
    const known = agreed.includes("voiceprint");
    const grows = agreed.includes("passive_collection") && (!progress || progress.percent < 100);
    const standing = !known ? "voice.notRecognised" : samples > 0 ? "voice.recognised" : "voice.listening";
    const title = known && progress ? progressWords(progress) : t(standing);
    const hint = !known ? "voice.notRecognised.hint" : grows ? "voice.grows" : progress?.percent < 100 ? "voice.notYet" : "voice.full";
    const lines = make("div", {}, make("strong", { text: title }), make("p", { class: "small", text: t(hint) }));
    box.replaceChildren(ring(progress ?? { percent: known && samples > 0 ? 100 : 0 }), lines);
  };
  draw();
  voice.onState(draw);
  return box;
}

function picker(voice) {
  return VoicePicker.languages(voice).length > 0 ? new VoicePicker(voice).element : null;
}

// --- consents ---

function purposes(voice) {
  const rows = ["voiceprint", "cloning", "passive_collection"].map((purpose) => {
    const agreed = voice.state.agreed.includes(purpose);
    const row = purposeSwitch(purpose, agreed, (on, input) => {
      input.checked = agreed; // until it is done
      if (agreed) voice.show(withdrawalPage(voice, purpose), { back: () => voice.home() });
      else voice.enrol([...voice.state.agreed, purpose]);
    });
    return row.label;
  });
  return make("fieldset", { class: "voice-purposes" }, make("legend", { text: t("voice.agreed") }), ...rows);
}

function withdrawalPage(voice, purpose) {
  const off = () => voice.attempt(() => voice.withdraw(purpose));
  return page(
    t(`voice.withdraw.${purpose}`),
    words(t(`voice.withdraw.${purpose}.text`)),
    make("div", { class: "actions" }, button("voice.withdrawNow", off, { danger: true }), button("voice.cancel", () => voice.home())),
  );
}

// --- what is kept ---

function contents({ samples, clips, progress }, gone = false) {
  const seconds = Math.round(progress?.seconds ?? 0);
  const shown = [
    samples > 0 ? t("voice.keptPrint") : null,
    clips > 0 ? t("voice.keptRecordings", { count: clips, seconds }) : null,
    t("voice.keptConsent"),
  ];
  const rows = shown.filter(Boolean).map((text) => make("li", {}, icon(gone ? "close" : "check"), make("span", { text })));
  return make("ul", { class: gone ? "voice-kept gone" : "voice-kept" }, ...rows);
}

function kept(voice) {
  return make(
    "div", { class: "voice-part" },
    make("h4", { text: t("voice.kept") }),
    contents(voice.state),
    make(
      "div", { class: "actions" },
      button("voice.recordAgain", () => voice.enrol(), { symbol: "mic" }),
      button("voice.delete", () => voice.show(deletionPage(voice), { back: () => voice.home() }), { danger: true }),
    ),
  );
}

function deletionPage(voice) {
  const gone = () => voice.attempt(() => voice.forget());
  return page(
    t("voice.deleteTitle"),
    words(t("voice.deleteList")),
    contents(voice.state, true),
    words(t("voice.deleteMore")),
    words(t("voice.deleteStay"), { class: "small" }),
    make("div", { class: "actions" }, button("voice.deleteNow", gone, { danger: true }), button("voice.cancel", () => voice.home())),
  );
}
