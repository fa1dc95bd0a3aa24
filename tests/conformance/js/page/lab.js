// What a test drives in a page: one Room of the published livekit-client, everything it emits in a
// list, and ears that say which tone a participant's track carries and for how long it was silent.
import * as livekit from 'livekit-client';

const SILENCE = 0.01; // peak below which 2.7 ms of audio count as silent; the tones peak at 0.3

/** Room events as `{name, args}` in the order of their arrival, arguments reduced to JSON. */
const events = [];
const waiting = new Set();
const ears = new Map(); // participant identity -> Ear

function record(name, ...args) {
  const event = { name, args: args.map(plain), at: performance.now() };
  events.push(event);
  for (const check of waiting) check(event);
}

/** Reduce an event argument to what a test compares: identities, sids, texts. */
function plain(value) {
  if (value instanceof livekit.Participant) return value.identity;
  if (value instanceof livekit.TrackPublication) return value.trackSid;
  if (value instanceof livekit.Track) return value.kind;
  if (value instanceof Uint8Array) return new TextDecoder().decode(value);
  if (value instanceof Error) return value.message;
  if (Array.isArray(value)) return value.map(plain);
  return value === undefined ? null : value;
}

/** Listens to one audio track: its tone by FFT, its silence by a worklet that sees every sample. */
class Ear {
  static async open(track) {
    const ear = new Ear();
    ear.track = track;
    ear.element = track.attach(); // Chrome feeds WebAudio from a remote track only while an element plays it
    ear.context = new AudioContext();
    await ear.context.audioWorklet.addModule('silence.js');
    const source = ear.context.createMediaStreamSource(new MediaStream([track.mediaStreamTrack]));
    ear.analyser = ear.context.createAnalyser();
    ear.analyser.fftSize = 4096; // 11.7 Hz a bin at 48 kHz
    ear.analyser.smoothingTimeConstant = 0;
    ear.silence = new AudioWorkletNode(ear.context, 'silence', { processorOptions: { threshold: SILENCE } });
    ear.silence.port.onmessage = ({ data }) => ear.answer(data);
    source.connect(ear.analyser);
    source.connect(ear.silence);
    return ear;
  }

  /** The loudest frequency in Hz, 0 in silence. */
  tone() {
    const bins = new Float32Array(this.analyser.frequencyBinCount);
    this.analyser.getFloatFrequencyData(bins);
    const loudest = bins.reduce((best, level, bin) => (level > bins[best] ? bin : best), 0);
    return bins[loudest] > -50 ? (loudest * this.context.sampleRate) / this.analyser.fftSize : 0;
  }

  /** Seconds of the longest silence since the last call. */
  longestSilence() {
    return new Promise((resolve) => {
      this.answer = resolve;
      this.silence.port.postMessage('report');
    });
  }

  /** What Chrome's receiver counted: packets, concealed samples, and the transport's protocol. */
  async stats() {
    const report = [...(await this.track.receiver.getStats()).values()];
    const inbound = report.find((entry) => entry.type === 'inbound-rtp');
    const pair = report.find((entry) => entry.type === 'candidate-pair' && entry.nominated);
    const local = report.find((entry) => entry.id === pair?.localCandidateId);
    const remote = report.find((entry) => entry.id === pair?.remoteCandidateId);
    return { ...inbound, protocol: local?.protocol, tcpType: remote?.tcpType };
  }

  close() {
    this.track.detach();
    return this.context.close();
  }
}

async function listen(track, _publication, participant) {
  if (track.kind !== 'audio') return;
  await ears.get(participant.identity)?.close();
  ears.set(participant.identity, await Ear.open(track));
  record('listening', participant);
}

const lab = {
  livekit,
  events,
  record,

  /** Join a room; `room` are Room options, `connect` those of connect(). */
  async join(url, token, { room = {}, connect = {} } = {}) {
    lab.room = new livekit.Room(room);
    for (const name of Object.values(livekit.RoomEvent)) lab.room.on(name, (...args) => record(name, ...args));
    lab.room.on('trackSubscribed', listen);
    await lab.room.connect(url, token, connect);
  },

  /** The first event of that name from index `since` on whose arguments start with `args` (null: any). */
  until(name, args = [], since = 0) {
    const fits = (event) =>
      event.name === name &&
      args.every((want, i) => want === null || JSON.stringify(want) === JSON.stringify(event.args[i]));
    const seen = events.slice(since).find(fits);
    if (seen) return seen;
    return new Promise((resolve) => {
      const check = (event) => {
        if (!fits(event)) return;
        waiting.delete(check);
        resolve(event);
      };
      waiting.add(check);
    });
  },

  /** Names of the events since index `since`, with their first argument, without those that come at any time. */
  story(since = 0) {
    const noise = ['activeDeviceChanged', 'activeSpeakersChanged', 'connectionQualityChanged', 'dcBufferStatusChanged', 'listening'];
    return events.slice(since).filter(({ name }) => !noise.includes(name)).map(({ name, args }) => [name, args[0] ?? null]);
  },

  /** Publish the browser's microphone (which plays the tests' WAV file). */
  speak() {
    const raw = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    return lab.room.localParticipant.setMicrophoneEnabled(true, raw);
  },

  /** Publish a tone of `hz` made in the page as a microphone track; the track's sid. */
  async hum(hz) {
    const context = new AudioContext();
    const oscillator = new OscillatorNode(context, { frequency: hz });
    const out = context.createMediaStreamDestination();
    oscillator.connect(new GainNode(context, { gain: 0.3 })).connect(out);
    oscillator.start();
    const track = out.stream.getAudioTracks()[0];
    const publication = await lab.room.localParticipant.publishTrack(track, { source: 'microphone' });
    return publication.trackSid;
  },

  /** Publish a moving picture. */
  async show() {
    const canvas = Object.assign(document.createElement('canvas'), { width: 320, height: 180 });
    const pen = canvas.getContext('2d');
    setInterval(() => pen.fillRect(Math.random() * 320, Math.random() * 180, 9, 9), 100);
    const track = canvas.captureStream(10).getVideoTracks()[0];
    const publication = await lab.room.localParticipant.publishTrack(track, { source: 'camera' });
    return publication.trackSid;
  },

  tone: (identity) => ears.get(identity)?.tone() ?? 0,
  longestSilence: (identity) => ears.get(identity).longestSilence(),
  stats: (identity) => ears.get(identity).stats(),
};

window.lab = lab;
