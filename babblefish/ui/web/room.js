// The open room: connects what the server says to what the person sees, hears and presses.

import { api } from "./api.js";
import { Call } from "./call.js";
import { CaptionView } from "./caption-view.js";
import { $, iconAddress, show } from "./dom.js";
import { fillDevices, micTrouble } from "./join.js";
import { ownName } from "./languages.js";
import { Meter, MicError } from "./mic.js";
import { Roster } from "./roster.js";
import { Settings } from "./settings.js";
import { silentTrack } from "./sound.js";
import { banner, toast } from "./states.js";
import { explain, list, t } from "./strings.js";
import { Talk } from "./talk.js";
import { Transcript } from "./transcript.js";
import { MyVoice } from "./voice.js";
import { VoiceApi } from "./voice-api.js";
import { keepAwake } from "./wake.js";

let talk = null; // bound to the page's buttons once
let captions = null; // outlives a seat: what was read stays readable
let current = null;

export class Room {
  /** `page`: {code, info, seat, mic, speaker, remember(), ended(reason), rejoin()}. */
  constructor(page) {
    Object.assign(this, page);
    current = this;
    captions ??= new CaptionView((member) => member === current.seat.member);
    talk ??= bindTalk();
    this.voice = new MyVoice(this, new VoiceApi(this.code, () => this.seat.key));
    this.roster = new Roster(this.info, this.voice.entry);
    $("people").replaceChildren();
    $("room").classList.remove("over");
    $("room-name").textContent = this.info.name;
    this.hint();
    this.meter = new Meter(this.mic, $("talk-meter"), $("mute"));
    this.meter.gate = () => talk.live;
    this.mic.ended = () => this.micEnded();
    this.settings = new Settings(this.info, this.seat, this.speaker, {
      send: (event) => this.call?.send(event),
      read: (on) => captions.read(on),
      sizeChanged: () => captions.follow(),
      device: (id) => this.openMic(id),
      remember: () => {
        this.remember();
        this.hint();
      },
    });
    this.transcript = new Transcript(this.code, this.info, this.seat);
    $("leave").onclick = () => this.leave();
    this.handlers = {
      welcome: (event) => this.welcome(event),
      roster: (event) => this.people(event),
      speaking: (event) => this.roster.speak(event.member, event.active),
      transcript_policy: (event) => this.transcript.policy(event),
      caption: (event) => this.caption(event),
      retract: (event) => captions.retract(event.utterance),
      voicing: (event) => captions.voicing(event.utterance, event.state, event.own_voice),
      lag: (event) => this.lag(event.seconds),
      warn: (event) => toast(explain(event)),
      closed: (event) => this.ended(event.reason),
    };
  }

  start() {
    talk.set({ has: Boolean(this.mic.track), muted: this.seat.muted ?? false });
    this.meter.start();
    this.listDevices();
    this.connect();
    this.voice.start();
    keepAwake(true);
  }

  stop() {
    this.call?.stop();
    this.meter.stop();
    this.settings.close();
    this.voice.stop();
    this.transcript.close();
    talk.set({ has: false });
    keepAwake(false);
    banner(null);
    this.lag(0);
    this.roster.hush();
  }

  connect() {
    this.call = new Call(this.code, this.seat.key, this.outgoing, {
      state: (name, detail) => this.linkChanged(name, detail),
      event: (event) => this.handlers[event.type]?.(event),
      stream: (stream) => this.speaker.hear(stream),
      refused: (error) => this.reseat(error),
      after: () => captions.lastSeq,
    });
    this.call.start();
  }

  /** The server has forgotten this seat: back to it, and the captions stay. */
  async reseat(refusal) {
    banner(t("link.lost"), { text: t("link.retrying") });
    try {
      if (await this.rejoin(refusal)) this.connect();
    } catch (error) {
      setTimeout(() => this.reseat(refusal), (error.retryAfter || 3) * 1000);
    }
  }

  linkChanged(name, { seconds, again }) {
    $("room").dataset.link = name;
    if (name === "connected") {
      this.lost = false;
      banner(null);
      if (again) toast(t("link.back"), 2500);
    } else if (name === "waiting") {
      this.lost = true;
      this.roster.hush();
      this.lag(0);
      banner(t("link.lost"), { seconds, text: t("link.retrying"), retry: () => this.call.retryNow() });
    } else if (name === "connecting") {
      banner(this.lost ? t("link.lost") : t("link.connecting"), { text: this.lost ? t("link.retrying") : "" });
    }
  }

  // --- events ---

  welcome(event) {
    this.seat.member = event.member;
    $("room-name").textContent = event.room_name;
    captions.resumed();
    this.call.send({ type: "microphone", on: talk.live && !this.apart });
    this.settings.sendOriginalLevel();
  }

  people(event) {
    this.roster.update(event.people, this.seat.member);
    const me = event.people.find((person) => person.id === this.seat.member);
    captions.sharedBy(me?.also ? [me.hears, me.also] : null);
    show($("room-locked"), event.locked);
    this.floor(me?.may_speak ?? true);
  }

  /** Whether the host lets this person be heard. */
  floor(may) {
    if (may === this.maySpeak) return;
    const before = this.maySpeak;
    this.maySpeak = may;
    if (!may) talk.set({ has: false });
    else if (before === false) {
      toast(t("room.maySpeak"), 12000);
      talk.set({ has: Boolean(this.mic.track), muted: true });
    }
  }

  caption(event) {
    captions.caption(event);
    if (event.final) this.transcript.said();
  }

  lag(seconds) {
    show($("lag"), seconds >= 1);
    $("lag-text").textContent = t("room.lag", { seconds: Math.round(seconds) });
    $("lag").title = t("room.lagHint", { seconds: Math.round(seconds) });
  }

  hint() {
    const read = [this.seat.hears, this.seat.also].filter(Boolean);
    const language = list(read.map((code) => ownName(this.info, code)));
    $("captions-empty-hint").textContent = t("room.emptyHint", { language });
  }

  // --- microphone ---

  /** What the room gets of the microphone. */
  get outgoing() {
    return (this.apart ? null : this.mic.track) ?? silentTrack();
  }

  /** Keeps the microphone on but from the room, while somebody records their voice. */
  async setApart(on) {
    if (on === Boolean(this.apart)) return;
    this.apart = on;
    if (!on) talk.notify(); // mutes before it is sent again
    await this.call?.setTrack(this.outgoing);
    if (on && this.apart) talk.notify();
  }

  talkChanged({ has, muted, held, live: wanted }) {
    const live = wanted && !this.apart;
    if (this.mic.track) this.mic.track.enabled = live || Boolean(this.apart);
    if (live !== this.wasLive) this.call?.send({ type: "microphone", on: live });
    this.wasLive = live;
    if (has && this.seat.muted !== muted) {
      this.seat.muted = muted;
      this.remember();
    }
    drawTalk({ has, muted, held });
  }

  async micPressed() {
    if (this.maySpeak === false) return toast(t("room.presentersOnly"));
    if (talk.has) return talk.toggle();
    await this.openMic();
  }

  async openMic(device) {
    try {
      await this.mic.open(device);
    } catch (error) {
      const code = error instanceof MicError ? error.code : "failed";
      if (code === "closed") return; // the room was left meanwhile
      const { title, help } = micTrouble(code);
      toast(`${title}. ${help}`, 12000);
      return;
    }
    this.speaker.unlock(true);
    this.seat.microphone = true;
    this.remember();
    await this.call.setTrack(this.outgoing);
    talk.set({ has: this.maySpeak !== false, muted: talk.has ? talk.muted : false });
    this.listDevices();
  }

  async micEnded() {
    await this.call.setTrack(silentTrack());
    talk.set({ has: false });
    toast(t("mic.stopped"), 12000);
  }

  listDevices() {
    fillDevices($("room-device"), $("room-device-field"), this.mic).then(() => {
      if (!this.mic.track) show($("room-device-field"), false);
    });
  }

  leave() {
    const { key } = this.seat;
    this.ended("left");
    api.leave(this.code, key).catch(() => {});
  }
}

function bindTalk() {
  const bound = new Talk((now) => current.talkChanged(now));
  bound.bindButton($("talk"));
  bound.bindSpace(() => document.documentElement.dataset.view === "room" && !$("settings").open);
  $("mute").addEventListener("click", () => current.micPressed());
  return bound;
}

function drawTalk({ has, muted, held }) {
  const bar = $("room").querySelector(".bar");
  bar.classList.toggle("muted", has && muted && !held);
  bar.classList.toggle("on-air", has && (!muted || held));
  bar.classList.toggle("no-mic", !has);
  $("mute-icon").setAttribute("href", iconAddress(has && !muted ? "mic" : "mic-off"));
  const label = t(has ? (muted ? "room.unmute" : "room.mute") : "room.micOn");
  $("mute").setAttribute("aria-label", label);
  $("mute").title = label;
  $("mute").setAttribute("aria-pressed", String(has && muted));
  const words = has ? (muted ? (held ? "room.holding" : "room.hold") : "room.live") : "room.listening";
  $("talk-text").textContent = t(words);
  $("talk").disabled = !has || !muted;
  $("talk").title = has && muted ? t("room.holdHint") : "";
}
