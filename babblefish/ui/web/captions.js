// The captions of a room in their order: finals by number, then what is still being said.
// Knows no screen.

const KEPT = 600;

export class Captions {
  constructor() {
    this.lastSeq = 0;
    this.list = [];
    this.byUtterance = new Map();
    this.voicings = new Map(); // states that came before their caption
    this.trimmedSeq = 0;
    this.pair = null; // the languages of two people who read here
  }

  /** Takes one caption event; returns its entry, or null when it brings nothing new. */
  take(event) {
    const known = this.byUtterance.get(event.utterance);
    if (event.final && event.seq <= this.trimmedSeq) return null;
    if (known?.final) return this.pair && event.final ? this.second(known, event) : null;
    const entry = known ?? {
      voicing: "", own_voice: false, lines: {}, ...this.voicings.get(event.utterance),
    };
    const heardInOwnVoice = entry.own_voice;
    Object.assign(entry, event);
    entry.own_voice = Boolean(event.own_voice) || heardInOwnVoice;
    entry.lines[event.language] = event;
    this.byUtterance.set(event.utterance, entry);
    if (event.final) this.lastSeq = Math.max(this.lastSeq, event.seq);
    if (!known || event.final) this.place(entry);
    return entry;
  }

  /** The same words in the other language of two people who read here. */
  second(entry, event) {
    const before = entry.lines[event.language];
    if (before?.final) return null;
    entry.lines[event.language] = event;
    entry.synthetic ||= event.synthetic;
    if (event.translated && event.quality === "basic") Object.assign(entry, { translated: true, quality: "basic" });
    this.lastSeq = Math.max(this.lastSeq, event.seq);
    return entry;
  }

  place(entry) {
    const at = this.list.indexOf(entry);
    if (at >= 0) this.list.splice(at, 1);
    let index = this.list.length;
    const after = (other) => entry.final && (!other.final || other.seq > entry.seq);
    while (index > 0 && after(this.list[index - 1])) index -= 1;
    this.list.splice(index, 0, entry);
  }

  /** The entry that follows, or null. */
  next(entry) {
    return this.list[this.list.indexOf(entry) + 1] ?? null;
  }

  previous(entry) {
    return this.list[this.list.indexOf(entry) - 1] ?? null;
  }

  /** Removes a partial; finals stay. Returns the entry or null. */
  retract(utterance) {
    const entry = this.byUtterance.get(utterance);
    return entry && !entry.final ? this.remove(entry) : null;
  }

  /** What was being said when the connection went: the server says it again. */
  retractPartials() {
    return this.list.filter((entry) => !entry.final).map((entry) => this.remove(entry));
  }

  voice(utterance, state, ownVoice = false) {
    const entry = this.byUtterance.get(utterance);
    const before = entry ?? this.voicings.get(utterance);
    const now = { voicing: state, own_voice: ownVoice || Boolean(before?.own_voice) };
    if (entry) Object.assign(entry, now);
    else {
      this.voicings.set(utterance, now);
      if (this.voicings.size > 50) this.voicings.delete(this.voicings.keys().next().value);
    }
    return entry ?? null;
  }

  /** Lets go of the oldest finals beyond what is kept; returns them. */
  trim(kept = KEPT) {
    const gone = this.list.slice(0, Math.max(0, this.list.length - kept)).filter((e) => e.final);
    for (const entry of gone) {
      this.trimmedSeq = Math.max(this.trimmedSeq, entry.seq);
      this.remove(entry);
    }
    return gone;
  }

  remove(entry) {
    this.list.splice(this.list.indexOf(entry), 1);
    this.byUtterance.delete(entry.utterance);
    return entry;
  }
}
