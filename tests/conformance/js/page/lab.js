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
  constructor(track) {
    this.track = track;
    track.attach(); // Chrome feeds WebAudio from a remote track only while an element plays it
    this.context = new AudioContext();
    this.analyser = this.context.createAnalyser();
    this.analyser.fftSize = 4096; // 11.7 Hz a bin at 48 kHz
    this.analyser.smoothingTimeConstant = 0;
  }

  async open() {
    await this.context.audioWorklet.addModule('silence.js');
    this.silence = new AudioWorkletNode(this.context, 'silence', { processorOptions: { threshold: SILENCE } });
    this.silence.port.onmessage = ({ data }) => this.answer(data);
    const source = this.context.createMediaStreamSource(new MediaStream([this.track.mediaStreamTrack]));
    source.connect(this.analyser);
    source.connect(this.silence);
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

/**
 * Listen to the audio of everybody. The room's state is looked at, not its events: after a full reconnect
 * livekit-client 2.23 holds events back for up to two seconds, and gives them out at the next reconnect only
 * (Room.emitWhenConnected while RTCEngine.pendingReconnect).
 */
function listen() {
  for (const participant of lab.room?.remoteParticipants.values() ?? []) {
    for (const { track } of participant.audioTrackPublications.values()) {
      if (!track || ears.get(participant.identity)?.track === track) continue;
      ears.get(participant.identity)?.close();
      const ear = new Ear(track);
      ears.set(participant.identity, ear);
      ear.open().then(() => record('listening', participant));
    }
  }
}

/** Equal as JSON, whatever the order of an object's keys. */
function same(one, other) {
  if (typeof one !== 'object' || typeof other !== 'object' || !one || !other) return one === other;
  const keys = Object.keys(one);
  return keys.length === Object.keys(other).length && keys.every((key) => same(one[key], other[key]));
}

const lab = {
  livekit,
  events,
  record,

  /** Join a room; `room` are Room options, `connect` those of connect(). */
  async join(url, token, { room = {}, connect = {} } = {}) {
    lab.token = token;
    lab.room = new livekit.Room(room);
    for (const name of Object.values(livekit.RoomEvent)) lab.room.on(name, (...args) => record(name, ...args));
    await lab.room.connect(url, token, connect);
  },

  /** The first event of that name from index `since` on whose arguments start with `args` (null: any). */
  until(name, args = [], since = 0) {
    const fits = (event) =>
      event.name === name &&
      args.every((want, i) => want === null || same(want, event.args[i]));
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

setInterval(listen, 50);
window.lab = lab;
