// Records the microphone as a WAV file, 16 bit, one channel, at the browser's own rate.
//
// Takes samples from an AudioWorklet, so that no browser's choice of codec matters. Knows nothing
// of the room; whoever records keeps the microphone from it meanwhile.

import { audioContext } from "./sound.js";

export const LONGEST_S = 30;
const WORKLET = "/web/voice-worklet.js";
const FLUSH_MS = 500;

let loaded = null;

export class Recorder {
  /** `full()`: called once when the longest recording is reached. */
  constructor(stream, full) {
    this.stream = stream;
    this.full = full;
    this.parts = [];
    this.count = 0;
  }

  get seconds() {
    return this.count / (this.context?.sampleRate ?? 48000);
  }

  async start() {
    this.context = audioContext();
    await this.context.resume();
    loaded ??= this.context.audioWorklet.addModule(WORKLET).catch((error) => {
      loaded = null; // asked for again at the next try
      throw error;
    });
    await loaded;
    const options = { numberOfInputs: 1, numberOfOutputs: 1, channelCount: 1, channelCountMode: "explicit" };
    this.tap = new AudioWorkletNode(this.context, "tap", options);
    this.source = this.context.createMediaStreamSource(this.stream);
    this.sink = this.context.createMediaStreamDestination(); // something has to ask for samples
    this.over = new Promise((resolve) => (this.ended = resolve));
    this.tap.port.onmessage = ({ data }) => (data ? this.take(data) : this.ended());
    this.source.connect(this.tap).connect(this.sink);
  }

  take(samples) {
    const most = LONGEST_S * this.context.sampleRate;
    if (this.count >= most) return;
    this.parts.push(samples);
    this.count += samples.length;
    if (this.count >= most) this.full();
  }

  /** Ends it; the recording as a Blob. */
  async stop() {
    if (!this.tap) return wav([], 48000);
    this.tap.port.postMessage("end");
    await Promise.race([this.over, new Promise((resolve) => setTimeout(resolve, FLUSH_MS))]);
    this.drop();
    return wav(this.parts, this.context.sampleRate);
  }

  /** Ends it and forgets what was recorded. */
  drop() {
    this.source?.disconnect();
    this.tap?.disconnect();
    for (const track of this.sink?.stream.getTracks() ?? []) track.stop();
  }
}

/** Float32Arrays of samples in -1 … 1 → a WAV file. */
export function wav(parts, rate) {
  const count = parts.reduce((sum, part) => sum + part.length, 0);
  const view = new DataView(new ArrayBuffer(44 + 2 * count));
  const word = (at, text) => [...text].forEach((c, i) => view.setUint8(at + i, c.charCodeAt(0)));
  word(0, "RIFF");
  view.setUint32(4, 36 + 2 * count, true);
  word(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  word(36, "data");
  view.setUint32(40, 2 * count, true);
  let at = 44;
  for (const part of parts) {
    for (const sample of part) {
      view.setInt16(at, Math.round(Math.max(-1, Math.min(1, sample)) * 32767), true);
      at += 2;
    }
  }
  return new Blob([view], { type: "audio/wav" });
}
