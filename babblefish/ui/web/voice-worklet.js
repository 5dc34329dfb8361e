// Runs on the browser's audio thread: hands the microphone's samples over, a tenth of a second at
// a time. Knows nothing of recordings.

/* global AudioWorkletProcessor, registerProcessor, sampleRate */

class Tap extends AudioWorkletProcessor {
  constructor() {
    super();
    this.buffer = new Float32Array(Math.round(sampleRate / 10));
    this.filled = 0;
    this.open = true;
    this.port.onmessage = () => {
      this.flush();
      this.open = false;
      this.port.postMessage(null); // that was all
    };
  }

  process([input]) {
    const samples = input[0];
    for (let at = 0; samples && at < samples.length;) {
      const count = Math.min(samples.length - at, this.buffer.length - this.filled);
      this.buffer.set(samples.subarray(at, at + count), this.filled);
      this.filled += count;
      at += count;
      if (this.filled === this.buffer.length) this.flush();
    }
    return this.open;
  }

  flush() {
    if (this.filled > 0) this.port.postMessage(this.buffer.slice(0, this.filled));
    this.filled = 0;
  }
}

registerProcessor("tap", Tap);
