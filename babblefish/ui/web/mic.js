// The microphone: asks for it, measures how loud it is, says why it cannot be had.

import { audioContext } from "./sound.js";

const FLOOR_DB = -55;
const CEILING_DB = -12;
const ANSWER_MS = 5000; // without a question to the person, an answer takes a fraction of this

export class MicError extends Error {
  /** `code`: "denied", "none", "busy", "insecure", "failed", or "closed" meanwhile. */
  constructor(code) {
    super(code);
    this.code = code;
  }
}

export class Mic {
  constructor() {
    this.stream = null;
    this.device = "";
    this.closed = 0; // how often, so that opening notices
    this.ended = () => {};
  }

  get track() {
    return this.stream?.getAudioTracks()[0] ?? null;
  }

  /** True when it can be opened without the browser asking. */
  static async allowed() {
    try {
      return (await navigator.permissions.query({ name: "microphone" })).state === "granted";
    } catch {
      return false;
    }
  }

  /** Who asks again before the browser has answered waits for the same answer. */
  open(device = this.device) {
    if (this.opening?.device !== device) {
      const opening = { device };
      this.opening = opening;
      opening.answer = this.ask(device).finally(() => {
        if (this.opening === opening) this.opening = null;
      });
    }
    return this.opening.answer;
  }

  async ask(device) {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new MicError(window.isSecureContext ? "failed" : "insecure");
    }
    const audio = {
      echoCancellation: true,
      noiseSuppression: true,
      autoGainControl: true,
      channelCount: { ideal: 1 },
    };
    if (device) audio.deviceId = { ideal: device };
    const closed = this.closed;
    const stream = await sound({ audio, video: false });
    if (closed !== this.closed) {
      stop(stream);
      throw new MicError("closed");
    }
    this.release();
    this.stream = stream;
    this.device = this.track.getSettings?.().deviceId ?? device;
    this.track.onended = () => {
      this.close();
      this.ended();
    };
    this.measure();
  }

  close() {
    this.closed += 1;
    this.opening = null;
    this.release();
  }

  release() {
    this.source?.disconnect();
    this.source = this.analyser = null;
    if (this.track) this.track.onended = null;
    if (this.stream) stop(this.stream);
    this.stream = null;
  }

  measure() {
    const ctx = audioContext();
    this.analyser = ctx.createAnalyser();
    this.analyser.fftSize = 1024;
    this.samples = new Float32Array(this.analyser.fftSize);
    this.source = ctx.createMediaStreamSource(this.stream);
    this.source.connect(this.analyser);
  }

  /** Loudness now, 0 (silence) to 1. */
  level() {
    if (!this.analyser) return 0;
    this.analyser.getFloatTimeDomainData(this.samples);
    let power = 0;
    for (const sample of this.samples) power += sample * sample;
    const decibel = 10 * Math.log10(power / this.samples.length + 1e-12);
    return Math.min(1, Math.max(0, (decibel - FLOOR_DB) / (CEILING_DB - FLOOR_DB)));
  }

  /** [{id, label}] of the microphones the browser shows. */
  static async devices() {
    const all = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
    return all
      .filter((device) => device.kind === "audioinput" && device.deviceId)
      .filter((device) => device.deviceId !== "communications")
      .map((device) => ({ id: device.deviceId, label: device.label }));
  }
}

/** The browser's stream. Now and then a request is lost in the browser: then it is made again. */
async function sound(wanted) {
  try {
    for (let tries = 0; tries < 2; tries += 1) {
      const stream = await answered(navigator.mediaDevices.getUserMedia(wanted));
      if (stream) return stream;
    }
  } catch (error) {
    throw new MicError(reason(error));
  }
  throw new MicError("busy");
}

/** What `request` comes to; null when nobody is being asked and there is no answer all the same. */
async function answered(request) {
  let given = false;
  let timer;
  const silence = new Promise((resolve) => {
    timer = setInterval(async () => {
      if (!(await Mic.allowed()) || given) return;
      given = true;
      request.then(stop, () => {});
      resolve(null);
    }, ANSWER_MS);
  });
  try {
    return await Promise.race([request, silence]);
  } finally {
    given = true;
    clearInterval(timer);
  }
}

function stop(stream) {
  for (const track of stream.getTracks()) track.stop();
}

function reason(error) {
  switch (error.name) {
    case "NotAllowedError":
    case "SecurityError":
      return "denied";
    case "NotFoundError":
    case "OverconstrainedError":
      return "none";
    case "NotReadableError":
    case "AbortError":
      return "busy";
    default:
      return "failed";
  }
}

/** Which words explain how to allow the microphone on this device. */
export function platform() {
  const agent = navigator.userAgent;
  if (/iPhone|iPad|iPod/.test(agent) || (/Macintosh/.test(agent) && navigator.maxTouchPoints > 1)) {
    return "ios";
  }
  return /Android/.test(agent) ? "android" : "desktop";
}

/** Draws `mic`'s level on elements of class "meter" until stopped; falls slower than it rises. */
export class Meter {
  constructor(mic, ...elements) {
    this.mic = mic;
    this.elements = elements;
    this.shown = 0;
    this.gate = () => true;
    this.heard = () => {};
  }

  start() {
    if (this.timer) return;
    this.timer = setInterval(() => this.draw(), 50);
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
    this.paint(0);
  }

  draw() {
    const level = this.gate() ? this.mic.level() : 0;
    this.shown = Math.max(level, this.shown * 0.82);
    this.heard(level);
    this.paint(this.shown);
  }

  paint(level) {
    const text = level.toFixed(2);
    if (text === this.painted) return;
    this.painted = text;
    for (const element of this.elements) element.style.setProperty("--level", text);
  }
}
