// Enrols somebody at the host's computer: consent, three prompts or a file, save.
//
// Nothing is recorded before the consent; closing the dialog forgets everything on the server.

import { ask, element, open, request } from "./people-parts.js";
import { Recorder } from "./voice-recorder.js";

const ENROLMENTS = "/admin/people/enrolments";
const PURPOSES = ["voiceprint", "cloning", "passive_collection"];
const MICROPHONE = {
  audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 },
};
/** The voice as it is: what makes calls clearer makes voices alike. */
const REFUSED = {
  NotAllowedError: "The browser may not use the microphone. Allow it in the address bar, then try again.",
  NotFoundError: "There is no microphone at this computer. Connect one, or upload a file.",
  NotReadableError: "Another program uses the microphone. Close it, then try again.",
};

export class Enrolment {
  /** `person`, `name`, `agreed`: of somebody who is known already; `done(speaker id)`. */
  constructor({ person = "", name = "", agreed = "" }, done) {
    Object.assign(this, { person, name, done, agreed: agreed.split(" ") });
    this.id = "";
    this.player = new Audio();
    this.player.addEventListener("ended", () => this.silence());
    this.cards = {};
  }

  async start() {
    const texts = await consentTexts();
    this.dialog = open(this.person ? `Record ${this.name} again` : "Enrol somebody", "bf-wide");
    this.dialog.addEventListener("close", () => this.end());
    this.dialog.addEventListener("cancel", (event) => this.id && (event.preventDefault(), this.leave()));
    this.body = element("div", "", "bf-enrolment");
    this.dialog.append(this.body);
    this.consent(texts);
    this.dialog.showModal();
  }

  // --- agreeing ------------------------------------------------------------------------------

  consent(texts) {
    const form = element("form");
    const name = element("input");
    Object.assign(name, { name: "name", value: this.name, required: true, maxLength: 40, autocomplete: "off" });
    name.readOnly = Boolean(this.person);
    const language = element("select");
    for (const { code, name: shown } of texts.languages) language.append(new Option(shown, code));
    language.value = texts.language;
    language.addEventListener("change", async () => {
      this.name = name.value;
      this.consent(await consentTexts(language.value));
    });
    const words = consentWords(texts);
    const fault = element("p", "", "bf-fault");
    fault.setAttribute("role", "alert");
    const row = element("div", "", "bf-actions");
    const no = element("button", "Cancel", "bf-button");
    no.type = "button";
    no.addEventListener("click", () => this.dialog.close());
    row.append(no, element("button", texts.agree, "bf-button bf-primary"));
    form.append(labelled("Name", name), labelled("Language", language), words, fault, row);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.begin(form, texts, name.value, language.value).catch((e) => (fault.textContent = e.message));
    });
    this.body.replaceChildren(form);
    if (!this.person) name.focus();
  }

  async begin(form, texts, name, language) {
    const purposes = PURPOSES.filter((purpose) => form.elements[purpose].checked);
    const body = { name, language, purposes, speaker: this.person || null };
    const answer = await request("POST", ENROLMENTS, { body: JSON.stringify(body) });
    const made = await answer.json();
    this.id = made.id;
    this.prompts(made, texts);
  }

  // --- recording -----------------------------------------------------------------------------

  prompts(made, texts) {
    const words = element("p", "Read each text aloud, at your usual pace, close to the microphone.");
    this.fault = element("p", "", "bf-fault");
    this.fault.setAttribute("role", "alert");
    this.body.replaceChildren(words);
    made.sentences.forEach((sentence, number) => {
      const text = element("p", sentence, "bf-sentence");
      text.lang = texts.sentences_language;
      text.dir = texts.sentences_direction;
      this.card(String(number + 1), text);
    });
    this.upload(made);
    const row = element("div", "", "bf-actions");
    const no = element("button", "Cancel", "bf-button");
    this.save = element("button", "Save", "bf-button bf-primary");
    for (const button of [no, this.save]) button.type = "button";
    no.addEventListener("click", () => this.leave());
    this.save.addEventListener("click", () => this.keep());
    this.complete(made.complete);
    row.append(no, this.save);
    this.body.append(this.fault, row);
  }

  card(take, text) {
    const card = element("section", "", "bf-take");
    const record = element("button", "Record", "bf-button bf-record");
    const play = element("button", "Play", "bf-button bf-hidden");
    for (const button of [record, play]) button.type = "button";
    record.setAttribute("aria-label", `Record text ${take}`);
    const verdict = element("p", "", "bf-verdict");
    verdict.setAttribute("role", "status");
    const meter = element("meter", "", "bf-hidden");
    Object.assign(meter, { min: 0, max: 1 });
    meter.setAttribute("aria-label", "Loudness of the microphone");
    const row = element("div", "", "bf-actions");
    row.append(record, play, meter);
    card.append(text, row, verdict);
    this.cards[take] = { card, record, play, verdict, meter };
    record.addEventListener("click", () => this.toggle(take));
    play.addEventListener("click", () => this.hear(take));
    this.body.append(card);
  }

  /** Any recording, in place of the three prompts. */
  upload(made) {
    const file = element("input");
    Object.assign(file, { type: "file", accept: "audio/*,video/mp4,.webm,.m4a,.ogg,.flac" });
    const label = labelled("Or choose a recording of at least 10 seconds, in which only they speak", file);
    if (made.note) label.append(element("span", made.note));
    this.card("upload", label);
    this.cards.upload.record.remove();
    file.addEventListener("change", () => file.files[0] && this.send("upload", file.files[0]));
  }

  async toggle(take) {
    this.fault.textContent = "";
    if (this.recording) {
      const running = this.recording;
      await this.stop();
      if (running === take) return;
    }
    try {
      this.stream ??= await navigator.mediaDevices.getUserMedia(MICROPHONE);
      this.recorder = new Recorder(this.stream, () => this.stop());
      await this.recorder.start();
    } catch (error) {
      this.fault.textContent = REFUSED[error.name] ?? "The microphone does not work. Upload a file instead.";
      return;
    }
    this.recording = take;
    this.silence();
    const { record, verdict, meter, play } = this.cards[take];
    verdict.textContent = "";
    meter.classList.remove("bf-hidden");
    play.classList.add("bf-hidden");
    record.classList.add("bf-on");
    this.ticking = setInterval(() => {
      record.textContent = `Stop (${Math.floor(this.recorder.seconds)} s)`;
      meter.value = loudness(this.recorder.parts.at(-1));
    }, 100);
    record.textContent = "Stop (0 s)";
  }

  async stop() {
    if (!this.recording) return;
    const take = this.recording;
    this.recording = null;
    clearInterval(this.ticking);
    const { record, meter } = this.cards[take];
    meter.classList.add("bf-hidden");
    record.classList.remove("bf-on");
    record.textContent = "Record again";
    await this.send(take, await this.recorder.stop());
  }

  async send(take, sound) {
    const { verdict, card, play, record } = this.cards[take];
    card.className = "bf-take";
    verdict.textContent = "Listening to it…";
    record.disabled = true;
    this.complete(false);
    try {
      const path = `${ENROLMENTS}/${this.id}/takes/${take}`;
      const heard = await (await request("PUT", path, { body: sound })).json();
      card.classList.add(heard.good ? "bf-good-take" : "bf-bad-take");
      verdict.textContent = heard.good
        ? `Good: ${heard.speech_seconds.toFixed(0)} seconds of clear speech.`
        : heard.faults.map((fault) => fault.message).join(" ");
      this.cards[take].good = heard.good;
      play.classList.remove("bf-hidden");
    } catch (error) {
      this.cards[take].good = undefined;
      card.classList.add("bf-bad-take");
      verdict.textContent = error.message;
    }
    record.disabled = false;
    this.complete(this.enough());
  }

  enough() {
    const good = (take) => Boolean(this.cards[take].good);
    return good("upload") || ["1", "2", "3"].every(good);
  }

  complete(yes) {
    this.save.disabled = !yes;
  }

  async hear(take) {
    const { play } = this.cards[take];
    const playing = play.textContent === "Stop";
    this.silence();
    if (playing) return;
    try {
      const sound = await request("GET", `${ENROLMENTS}/${this.id}/takes/${take}`);
      this.address = URL.createObjectURL(await sound.blob());
      this.player.src = this.address;
      await this.player.play();
      play.textContent = "Stop";
    } catch (error) {
      this.fault.textContent = error.message;
    }
  }

  silence() {
    this.player.pause();
    if (this.address) URL.revokeObjectURL(this.address);
    this.address = null;
    for (const { play } of Object.values(this.cards)) play.textContent = "Play";
  }

  // --- ending --------------------------------------------------------------------------------

  async keep() {
    this.complete(false);
    try {
      const saved = await (await request("POST", `${ENROLMENTS}/${this.id}/save`)).json();
      this.id = "";
      this.dialog.close();
      this.done(saved.speaker);
    } catch (error) {
      this.fault.textContent = error.message;
      this.complete(this.enough());
    }
  }

  leave() {
    const recorded = Object.values(this.cards).some(({ good }) => good !== undefined);
    if (!recorded) this.dialog.close();
    else ask("Forget the recordings?", "Nothing of them is kept.", "Forget", () => this.dialog.close());
  }

  end() {
    clearInterval(this.ticking);
    this.recorder?.drop();
    this.silence();
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    if (this.id) request("DELETE", `${ENROLMENTS}/${this.id}`, { keepalive: true }).catch(() => {});
  }
}

/** The whole text, with a box to tick at each of `purposes`; none is ticked beforehand. */
export function consentWords(texts, purposes = PURPOSES, required = ["voiceprint"]) {
  const box = element("section", "", "bf-consent");
  box.lang = texts.language;
  box.dir = texts.direction;
  box.append(element("h3", texts.title));
  const said = new Set(PURPOSES.flatMap((purpose) => texts.purposes[purpose]));
  for (const purpose of purposes) {
    const tick = element("input");
    Object.assign(tick, { type: "checkbox", name: purpose, required: required.includes(purpose) });
    const label = element("label", "", "bf-check");
    const statements = element("span");
    for (const statement of texts.purposes[purpose]) statements.append(element("span", statement));
    label.append(tick, statements);
    box.append(label);
  }
  for (const statement of texts.statements) {
    if (!said.has(statement)) box.append(element("p", statement));
  }
  return box;
}

/** In the language of this browser, where there is a text in it. */
export async function consentTexts(language = navigator.language.split("-")[0]) {
  return (await request("GET", `/admin/people/consent/${language}`)).json();
}

function labelled(text, field) {
  const label = element("label", text, "bf-field");
  label.append(field);
  return label;
}

function loudness(samples) {
  if (!samples?.length) return 0;
  const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
  return Math.max(0, Math.min(1, 1 + Math.log10(power + 1e-9) / 5));
}
