// The server's routes of one's own voice. Failures are those of api.js.

import { request } from "./api.js";

const LISTENING_MS = 90000; // to a recording: a busy server takes its time

export class VoiceApi {
  /** `key()`: the participant's own, which a new seat replaces. */
  constructor(code, key) {
    this.base = `/api/rooms/${encodeURIComponent(code)}/voice`;
    this.key = key;
  }

  ask(path = "", options = {}) {
    return request(this.base + path, { bearer: this.key(), ...options });
  }

  /** What is known of this person's voice. */
  state() {
    return this.ask();
  }

  /** What there is to agree to, in a language. */
  consent(language) {
    return this.ask(`/consent?${new URLSearchParams({ language })}`);
  }

  /** `body`: {name, language, purposes}: agrees to them, and gets the sentences to read. */
  begin(body) {
    return this.ask("/enrolment", { method: "POST", body });
  }

  /** `name`: "1", "2", "3" or "upload". What is wrong with the recording comes back. */
  take(name, sound) {
    return this.ask(`/enrolment/takes/${name}`, { method: "PUT", sound, timeout: LISTENING_MS });
  }

  /** A recording as the server has it. */
  audio(name) {
    return this.ask(`/enrolment/takes/${name}`, { wanted: "sound" });
  }

  save() {
    return this.ask("/enrolment/save", { method: "POST" });
  }

  /** Forgets what is not saved. */
  cancel() {
    return this.ask("/enrolment", { method: "DELETE", keepalive: true });
  }

  withdraw(purpose) {
    return this.ask("/withdraw", { method: "POST", body: { purpose } });
  }

  forget() {
    return this.ask("", { method: "DELETE" });
  }

  /** `voice`: "closest", "neutral", or one of `voices`; `language`: in which, "": in all. */
  choose(voice, language) {
    return this.ask("/choice", { method: "POST", body: { voice, language } });
  }

  voices(language) {
    return this.ask(`/voices?${new URLSearchParams({ language })}`);
  }

  /** A few words in a voice. */
  sample(language, voice) {
    const query = new URLSearchParams({ language, voice });
    return this.ask(`/sample?${query}`, { wanted: "sound", timeout: LISTENING_MS });
  }
}
