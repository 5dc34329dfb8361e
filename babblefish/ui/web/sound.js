// What comes out of the phone: the room's sound, a test sound, and silence to send.
//
// Everything plays through one <audio> element: the browser's echo canceller then knows it, and
// the tap that joined has unlocked it.

let context = null;

/** The shared AudioContext; started as soon as the browser lets it. */
export function audioContext() {
  context ??= new (window.AudioContext ?? window.webkitAudioContext)();
  if (context.state !== "running") context.resume().catch(() => {});
  return context;
}

/** A track that carries silence, for people who only listen. */
export function silentTrack() {
  try {
    return audioContext().createMediaStreamDestination().stream.getAudioTracks()[0];
  } catch {
    return null; // the connection then offers sound without sending any
  }
}

export class Speaker {
  /** `blocked(bool)` tells whether the browser waits for a tap before it plays. */
  constructor(element, blocked) {
    this.element = element;
    this.blocked = blocked;
    this.room = null;
    element.volume = 0.5;
    this.adjustable = element.volume === 0.5; // phones with hardware volume only ignore it
    element.volume = 1;
  }

  set volume(level) {
    this.element.volume = level;
  }

  /** Silences the room for a moment, or lets it be heard again. */
  hush(on) {
    this.element.muted = on;
  }

  /** Call within a tap: afterwards the element may play without one. */
  unlock(recording) {
    if ("audioSession" in navigator) {
      navigator.audioSession.type = recording ? "play-and-record" : "playback";
    }
    const silence = silentTrack(); // also wakes the AudioContext of the level meter
    if (!this.element.srcObject && silence) this.element.srcObject = new MediaStream([silence]);
    this.play();
  }

  hear(stream) {
    this.room = stream;
    this.element.srcObject = stream;
    this.play();
  }

  async play() {
    try {
      await this.element.play();
      this.blocked(false);
    } catch (error) {
      if (error.name === "NotAllowedError") this.blocked(true);
    }
  }

  /** Three soft notes; resolves when they are over. */
  async test() {
    const ctx = audioContext();
    const out = ctx.createMediaStreamDestination();
    const start = ctx.currentTime + 0.15;
    [523.25, 659.25, 783.99].forEach((pitch, index) => note(ctx, out, pitch, start + index * 0.22));
    this.element.srcObject = out.stream;
    await this.play();
    await new Promise((resolve) => setTimeout(resolve, 1300));
    if (this.room) this.hear(this.room);
  }
}

function note(ctx, out, pitch, at) {
  const tone = ctx.createOscillator();
  const level = ctx.createGain();
  tone.type = "triangle";
  tone.frequency.value = pitch;
  level.gain.setValueAtTime(0, at);
  level.gain.linearRampToValueAtTime(0.35, at + 0.02);
  level.gain.exponentialRampToValueAtTime(0.001, at + 0.5);
  tone.connect(level).connect(out);
  tone.start(at);
  tone.stop(at + 0.55);
}
