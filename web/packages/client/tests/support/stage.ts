/** A session on a stage: a LiveKit room, a control plane and a browser that do what the test says, in virtual time. */
import { EventEmitter } from "node:events";
import { ConnectionError, type DisconnectReason, type Participant, type Room, RoomEvent, Track } from "livekit-client";
import { vi } from "vitest";
import {
  type ControlPlane,
  createSession,
  type EndAnswer,
  type Evidence,
  type PageEvent,
  parseRecord,
  type Session,
  type SessionOptions,
  type SessionRecord,
  type Standing,
  type TokenAnswer,
  type TokenRequest,
} from "../../src";
import { type Memory, transcript } from "../../src/transcript";

export const SESSION = "S_1";

/** A state object as the control plane writes it. */
export function written(state: SessionRecord["state"], seq: number, more: Partial<SessionRecord> = {}): SessionRecord {
  const now = new Date().toISOString();
  const record = parseRecord({ v: 1, session: SESSION, seq, state, since: now, now, ...more });
  if (record === null) throw new Error("no record");
  return record;
}

export function tokenFor(claims: { exp?: number; session?: string | null } = {}): string {
  const { exp = Date.now() / 1000 + 3600, session = SESSION } = claims;
  const attributes = session === null ? {} : { "roomkeeper.session": session };
  return `e30.${Buffer.from(JSON.stringify({ exp, video: { room: "tea" }, attributes })).toString("base64url")}.x`;
}

type Connecting = "connects" | "refused" | "unauthorized" | "not_found";

/** As much of livekit-client's Room as a session uses. */
export class FakeRoom extends EventEmitter {
  state: "disconnected" | "connected" | "reconnecting" = "disconnected";
  name = "tea";
  metadata = "";
  roomInfo = { sid: "RM_1" };
  canPlaybackAudio = true;
  /** What the next attempts to connect come to; the last one repeats. */
  readonly attempts: Connecting[] = ["connects"];
  /** Every token that it was connected with. */
  readonly tokens: string[] = [];
  readonly remoteParticipants = new Map<string, Participant>();
  readonly localParticipant = {
    identity: "user-1",
    isMicrophoneEnabled: false,
    audioTrackPublications: new Map(),
    setMicrophoneEnabled: vi.fn((on: boolean) => {
      this.localParticipant.isMicrophoneEnabled = on;
      return Promise.resolve(undefined);
    }),
    sendText: vi.fn(() => Promise.resolve({ id: "text" })),
  };
  readonly registerTextStreamHandler = vi.fn();
  readonly unregisterTextStreamHandler = vi.fn();
  readonly engine: Record<string, unknown> = {};
  /** Bytes that arrived; null: no media connection. */
  bytes: number | null = null;
  #flowing: ReturnType<typeof setInterval> | undefined;

  constructor() {
    super();
    const report = () => new Map([["pair", { type: "candidate-pair", nominated: true, bytesReceived: this.bytes }]]);
    const publisher = { getStats: () => Promise.resolve(this.bytes === null ? new Map() : report()) };
    this.engine.pcManager = { publisher };
  }

  async connect(url: string, token: string): Promise<void> {
    this.tokens.push(token);
    const outcome = this.attempts.length > 1 ? this.attempts.shift() : this.attempts[0];
    await Promise.resolve();
    if (outcome !== "connects") {
      this.emit(RoomEvent.Disconnected, undefined);
      const status = { refused: undefined, unauthorized: 401, not_found: 404 }[
        outcome as Exclude<Connecting, "connects">
      ];
      throw Object.assign(Object.create(ConnectionError.prototype), { status, message: `secret ${token}` });
    }
    Object.assign(this.engine, { url, token });
    this.state = "connected";
    this.emit(RoomEvent.Connected);
  }

  disconnect(): Promise<void> {
    this.drop(1 as DisconnectReason);
    return Promise.resolve();
  }

  /** End the connection for that reason. */
  drop(reason: DisconnectReason | undefined): void {
    if (this.state === "disconnected") return;
    const { localParticipant } = this;
    if (localParticipant.isMicrophoneEnabled) {
      localParticipant.isMicrophoneEnabled = false;
      const publication = { source: Track.Source.Microphone };
      this.emit(RoomEvent.LocalTrackUnpublished, publication, { ...localParticipant, isLocal: true });
    }
    this.state = "disconnected";
    this.remoteParticipants.clear();
    this.emit(RoomEvent.Disconnected, reason);
  }

  /** Let media flow; or not any more. */
  flow(on: boolean): void {
    clearInterval(this.#flowing);
    if (!on) return;
    this.#flowing = setInterval(() => {
      this.bytes = (this.bytes ?? 0) + 1;
    }, 100);
  }

  agentJoins(attributes: Record<string, string> = { "lk.agent.state": "listening" }): void {
    const agent = { identity: "agent", sid: "PA_1", isAgent: true, attributes, isLocal: false };
    this.remoteParticipants.set("agent", agent as unknown as Participant);
    this.emit(RoomEvent.ParticipantConnected, agent);
  }

  agentLeaves(): void {
    const agent = this.remoteParticipants.get("agent");
    this.remoteParticipants.delete("agent");
    this.emit(RoomEvent.ParticipantDisconnected, agent);
  }

  /** The control plane writes its state into the room. */
  write(record: SessionRecord): void {
    this.metadata = JSON.stringify({ roomkeeper: { v: 1, ...record } });
    this.emit(RoomEvent.RoomMetadataChanged, this.metadata);
  }
}

export interface Stage {
  readonly session: Session;
  readonly room: FakeRoom;
  /** What the control plane answers. */
  readonly control: {
    standing: Standing;
    end: EndAnswer;
    readonly asked: string[];
    /** Kinds of evidence, and the evidence. */
    readonly told: string[];
    readonly evidence: Evidence[];
    /** What was asked to be ended, and with which token. */
    readonly ends: (readonly [session: string, token: string])[];
    reachable: boolean;
  };
  readonly tokens: { answer: TokenAnswer; readonly asked: TokenRequest[] };
  readonly browser: (event: PageEvent) => void;
  /** States of the view, in order, each once in a row. */
  readonly shown: string[];
  readonly memory: Map<string, string>;
}

/** Set the stage; `join` false: somebody else connects the room. */
export function stage(
  options: { join?: boolean; memory?: Map<string, string>; room?: string | null; livekit?: FakeRoom } = {},
): Stage {
  const {
    join = true,
    memory = new Map<string, string>(),
    room: named = null,
    livekit: room = new FakeRoom(),
  } = options;
  const control: Stage["control"] = {
    standing: { is: "unknown" },
    end: { is: "unknown" },
    asked: [],
    told: [],
    evidence: [],
    ends: [],
    reachable: true,
  };
  const plane: ControlPlane = {
    state: (id) => {
      control.asked.push(id);
      return Promise.resolve(control.standing);
    },
    end: (id, token) => {
      control.ends.push([id, token]);
      return Promise.resolve(control.end);
    },
    tell: (_id, _token, evidence) => {
      if (control.reachable) {
        control.told.push(evidence.what);
        control.evidence.push(evidence);
      }
      return Promise.resolve(control.reachable);
    },
  };
  const tokens: Stage["tokens"] = {
    answer: { is: "granted", serverUrl: "ws://127.0.0.1:1", token: tokenFor(), room: "tea" },
    asked: [],
  };
  const storage: Memory = {
    getItem: (key) => memory.get(key) ?? null,
    setItem: (key, value) => void memory.set(key, value),
  };
  let browser: ((event: PageEvent) => void) | undefined;
  const guest: NonNullable<SessionOptions["join"]> = {
    tokens: (request) => {
      tokens.asked.push(request);
      return Promise.resolve(tokens.answer);
    },
    identity: "user-1",
    name: "Ada",
    room: named,
    microphone: { on: true, deviceId: null },
  };
  const session = createSession({
    ...(join ? { join: guest } : {}),
    livekit: room as unknown as Room,
    control: plane,
    transcript: transcript(storage),
    page: (tell) => {
      browser = tell;
      return () => undefined;
    },
  });
  const shown: string[] = [];
  session.subscribe(() => {
    const { state } = session.snapshot().view;
    if (shown.at(-1) !== state) shown.push(state);
  });
  session.open();
  if (browser === undefined) throw new Error("the session does not watch its page");
  return { session, room, control, tokens, browser, shown, memory };
}
