// Measures the longest run of render quanta (128 samples) whose peak stays under a threshold.
class Silence extends AudioWorkletProcessor {
  constructor({ processorOptions: { threshold } }) {
    super();
    this.threshold = threshold;
    this.run = this.longest = 0;
    this.port.onmessage = () => {
      this.port.postMessage((this.longest * 128) / sampleRate);
      this.longest = this.run = 0;
    };
  }

  process([[samples]]) {
    const heard = samples?.some((sample) => Math.abs(sample) > this.threshold);
    this.run = heard ? 0 : this.run + 1;
    this.longest = Math.max(this.longest, this.run);
    return true;
  }
}

registerProcessor('silence', Silence);
