// One participant's connection: WebRTC sound both ways, JSON events on a data channel.
//
// Keeps itself alive: pings, notices silence, connects again with growing pauses, and resumes
// after the last final caption. Knows nothing of what the events mean.

import { ApiError, api } from "./api.js";

const LABEL = "text";
const GATHERING_MS = 1000;
const OPENING_MS = [5000, 8000, 12000]; // a first attempt that stalls is soon followed by another
const PING_MS = 2000;
const SILENCE_MS = 6500;
const PAUSES_S = [0.5, 1, 2, 4, 6];
const FATAL = new Set(["member_key", "room_token", "seat"]);

export class Call {
  /**
   * `hooks`: state(name, detail), event(object), stream(MediaStream), refused(ApiError),
   * after() → newest caption number. States: "connecting", "connected", "waiting" (detail:
   * {seconds}), "closed".
   */
  constructor(code, key, track, hooks) {
    this.code = code;
    this.key = key;
    this.track = track;
    this.hooks = hooks;
    this.state = "closed";
    this.generation = 0;
    this.failures = 0;
    this.wasConnected = false;
    this.timers = new Set();
    this.onNetwork = () => this.networkChanged();
  }

  start() {
    addEventListener("online", this.onNetwork);
    addEventListener("pageshow", this.onNetwork);
    document.addEventListener("visibilitychange", this.onNetwork);
    this.connect();
  }

  /** Ends the call for good. */
  stop() {
    removeEventListener("online", this.onNetwork);
    removeEventListener("pageshow", this.onNetwork);
    document.removeEventListener("visibilitychange", this.onNetwork);
    this.drop();
    this.change("closed");
  }

  retryNow() {
    if (this.state === "waiting") this.connect();
  }

  send(event) {
    if (this.channel?.readyState !== "open" || this.state !== "connected") return false;
    this.channel.send(JSON.stringify(event));
    return true;
  }

  /** The microphone, or the silent track in its place. */
  async setTrack(track) {
    this.track = track;
    await this.sender?.replaceTrack(track).catch(() => {});
  }

  // --- one connection ---

  async connect() {
    this.drop();
    const generation = this.generation;
    const current = () => generation === this.generation;
    this.change("connecting");
    try {
      const pc = this.open(current);
      await pc.setLocalDescription(await pc.createOffer());
      await gathered(pc);
      if (!current()) return;
      const answer = await api.offer(this.code, this.key, pc.localDescription.sdp);
      if (!current()) return;
      await pc.setRemoteDescription(answer);
      this.later(patience(OPENING_MS, this.failures), () => this.state === "connecting" && this.lost());
    } catch (error) {
      if (!current()) return;
      if (error instanceof ApiError && FATAL.has(error.code)) {
        this.stop();
        this.hooks.refused(error);
      } else {
        this.lost(error.retryAfter);
      }
    }
  }

  open(current) {
    const pc = new RTCPeerConnection({ iceServers: [] });
    this.pc = pc;
    this.sender = pc.addTransceiver(this.track ?? "audio", { direction: "sendrecv" }).sender;
    pc.ontrack = ({ track, streams }) => {
      if (current()) this.hooks.stream(streams[0] ?? new MediaStream([track]));
    };
    pc.onconnectionstatechange = () => {
      if (current() && ["failed", "closed"].includes(pc.connectionState)) this.lost();
    };
    const channel = pc.createDataChannel(LABEL);
    this.channel = channel;
    channel.onopen = () => {
      if (!current()) return;
      channel.send(JSON.stringify({ type: "resume", after: this.hooks.after() }));
    };
    channel.onclose = () => current() && this.lost();
    channel.onmessage = ({ data }) => current() && this.message(data);
    return pc;
  }

  message(data) {
    this.heardAt = performance.now();
    let event;
    try {
      event = JSON.parse(data);
    } catch {
      return;
    }
    if (event === null || typeof event !== "object" || event.type === "pong") return;
    if (event.type === "welcome" && this.state !== "connected") {
      this.failures = 0;
      this.change("connected", { again: this.wasConnected });
      this.wasConnected = true;
      this.ping(0);
    }
    this.hooks.event(event);
  }

  ping(id) {
    if (performance.now() - this.heardAt > SILENCE_MS) {
      this.lost();
      return;
    }
    if (this.send({ type: "ping", id })) this.later(PING_MS, () => this.ping(id + 1));
  }

  lost(retryAfter = 0) {
    if (this.state === "closed") return;
    this.drop();
    const planned = patience(PAUSES_S, this.failures);
    this.failures += 1;
    const pause = Math.min(15, Math.max(retryAfter || 0, planned * (0.8 + Math.random() * 0.2)));
    this.change("waiting", { seconds: pause });
    this.later(pause * 1000, () => this.connect());
  }

  networkChanged() {
    if (document.visibilityState !== "visible") return;
    this.retryNow();
    if (this.state !== "connected") return;
    // Timers stood still in the background: ask for a sign of life before judging.
    const asked = performance.now();
    this.send({ type: "ping", id: 0 });
    this.later(2500, () => this.heardAt < asked && this.lost());
    this.heardAt = Math.max(this.heardAt, asked - SILENCE_MS + 2500);
  }

  drop() {
    this.generation += 1;
    for (const timer of this.timers) clearTimeout(timer);
    this.timers.clear();
    const { pc, channel } = this;
    this.pc = this.channel = this.sender = null;
    channel?.close();
    pc?.close();
  }

  later(milliseconds, action) {
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      action();
    }, milliseconds);
    this.timers.add(timer);
  }

  change(state, detail = {}) {
    this.state = state;
    this.hooks.state(state, detail);
  }
}

/** What the attempt after so many failures is given. */
const patience = (plan, failures) => plan[Math.min(failures, plan.length - 1)];

/** Every local candidate is found, or as many as a second brings: the server takes no trickle. */
function gathered(pc) {
  return new Promise((resolve) => {
    if (pc.iceGatheringState === "complete") return resolve();
    const timer = setTimeout(resolve, GATHERING_MS);
    pc.addEventListener("icegatheringstatechange", () => {
      if (pc.iceGatheringState !== "complete") return;
      clearTimeout(timer);
      resolve();
    });
  });
}
