/**
 * What the page knows and what it shows. Rules of this file: `Happened` is past tense, values are never changed in
 * place, and times (milliseconds since the epoch, by this browser's clock) come in with what happened.
 */
import type { DisconnectReason } from "livekit-client";
import type { Author, Outcome } from "./generated.js";
import type { SessionRecord } from "./record.js";

export type Speaker = "user" | "agent";

/** Of the conversation in writing. */
export interface Line {
  readonly id: string;
  readonly speaker: Speaker;
  readonly text: string;
  /** Still growing or still being corrected when false. */
  readonly final: boolean;
  readonly typed: boolean;
}

export type AgentActivity = "listening" | "thinking" | "speaking";

/** Of this browser's media connection, as the server measures it; told by pages that show it. */
export type Quality = "unknown" | "excellent" | "good" | "poor" | "lost";

/** Why the page cannot go on without its user. */
export type Obstacle = "microphone" | "duplicate_tab" | "token" | "server";

/** Why a connection was not made; `not_found` when its room has gone. */
export type ConnectFailure = "token" | "server" | "not_found";

/** What the page shows; what everything else hangs on. */
export type View =
  | { readonly state: "connecting" }
  | { readonly state: "waiting"; readonly agentWasHere: boolean }
  | {
      readonly state: "live";
      readonly agent: AgentActivity;
      /** The browser plays no sound until the user touches the page. */
      readonly needsGesture: boolean;
      /** When the time limit ends the session; ISO 8601 by the control plane's clock. */
      readonly until: string | null;
    }
  /** This browser's network; milliseconds since the epoch. */
  | { readonly state: "reconnecting"; readonly since: number }
  /** The agent's; ISO 8601 by the control plane's clock. */
  | { readonly state: "recovering"; readonly since: string | null }
  | { readonly state: "holding"; readonly until: string | null }
  | { readonly state: "ending" }
  | Ended
  | { readonly state: "blocked"; readonly cause: Obstacle };

export interface Ended {
  readonly state: "ended";
  /** One of the table of reasons; null when nobody has said why. */
  readonly reason: string | null;
  /** Who ended it, such as `user`; a later version may know others. */
  readonly by: Author | (string & {}) | null;
  readonly outcome: Outcome | null;
  /** For the user, in words. */
  readonly message: string;
  readonly detail: string | null;
}

/** How a room was closed on us: for all, or for this participant alone. */
export type Closure = "deleted" | "removed" | "not_found";

export type Happened =
  /** `quiet` when the page tries by itself what it already shows as lost. */
  | { readonly type: "ConnectionBegun"; readonly at: number; readonly quiet: boolean }
  | { readonly type: "RoomNamed"; readonly at: number; readonly room: string; readonly session: string | null }
  /** With the room's sid, once the server has told it. */
  | { readonly type: "Connected"; readonly at: number; readonly sid: string | null }
  | { readonly type: "RoomSeen"; readonly at: number; readonly sid: string }
  /** The session lives, in a room that was made anew for it. */
  | { readonly type: "RoomAccepted"; readonly at: number }
  | { readonly type: "ConnectionFailed"; readonly at: number; readonly failure: ConnectFailure }
  | { readonly type: "ConnectionInterrupted"; readonly at: number }
  | { readonly type: "ConnectionRestored"; readonly at: number; readonly sid: string | null }
  | { readonly type: "NetworkChanged"; readonly at: number; readonly online: boolean }
  /** Whatever arrived so far on the media connection; only that it changes counts. */
  | { readonly type: "Received"; readonly at: number; readonly total: number }
  | { readonly type: "Disconnected"; readonly at: number; readonly reason: DisconnectReason | undefined }
  /** The user left: by pressing End where the end is not theirs to make, or with someone else's button. */
  | { readonly type: "Left"; readonly at: number; readonly reason: "user_ended" | "user_left" }
  /** `fresh` when it was written just now, so that its `now` tells the time. */
  | {
      readonly type: "RecordSeen";
      readonly at: number;
      readonly record: SessionRecord;
      readonly writer: string;
      readonly fresh: boolean;
    }
  /** Asked about a closed room, nobody knows of a session there, or of its end. */
  | { readonly type: "NothingKnown"; readonly at: number; readonly kept: boolean }
  | {
      readonly type: "AgentSeen";
      readonly at: number;
      readonly identity: string;
      readonly activity: AgentActivity | "initializing";
    }
  | { readonly type: "AgentLeft"; readonly at: number }
  | { readonly type: "PlaybackChanged"; readonly at: number; readonly allowed: boolean }
  | { readonly type: "MicrophoneChanged"; readonly at: number; readonly on: boolean }
  | { readonly type: "MicrophoneFailed"; readonly at: number }
  | { readonly type: "QualityChanged"; readonly at: number; readonly quality: Quality }
  | { readonly type: "LinesChanged"; readonly at: number; readonly lines: readonly Line[] }
  /** What a tab remembers of before the page was loaded again. */
  | { readonly type: "Recalled"; readonly at: number; readonly known: Partial<Model> }
  | { readonly type: "EndRequested"; readonly at: number };

type WithoutTime<Event> = Event extends Happened ? Omit<Event, "at"> : never;

/** Say what happened just now. */
export type Tell = (happened: WithoutTime<Happened>) => void;

export type Link =
  | { readonly is: "connecting" }
  | { readonly is: "connected" }
  /** livekit-client tries to get back. */
  | { readonly is: "interrupted"; readonly since: number }
  /** livekit-client gave up, for a reason in its own words; this page tries, last at `tried`. */
  | { readonly is: "lost"; readonly since: number; readonly tried: number; readonly reason: string }
  /** Connected, but to another room than before: perhaps an empty one that an old token made anew. */
  | { readonly is: "astray"; readonly since: number; readonly sid: string }
  /** Closed by the server; whether that is the end is being asked. */
  | { readonly is: "closed"; readonly how: Closure }
  /** Closed, and nobody knows more; `kept` when a session is, so that it may be tried again. */
  | { readonly is: "unexplained"; readonly how: Closure; readonly kept: boolean }
  | { readonly is: "failed"; readonly failure: "token" | "server" }
  | { readonly is: "taken_over" }
  | { readonly is: "left"; readonly reason: "user_ended" | "user_left" };

/** Everything that was told, and the view that follows from it. */
export interface Model {
  readonly view: View;
  readonly room: string | null;
  /** Of the room, `RM_…`, to notice another one of the same name. */
  readonly sid: string | null;
  /** `S_…`, from the token or the first record. */
  readonly session: string | null;
  readonly link: Link;
  readonly offlineSince: number | null;
  /** What arrived, and when that last grew. */
  readonly flow: { readonly total: number; readonly grewAt: number } | null;
  readonly stalledSince: number | null;
  readonly record: SessionRecord | null;
  readonly provisional: { readonly writer: string; readonly record: SessionRecord } | null;
  /** Milliseconds by which the control plane's clock is ahead of this browser's. */
  readonly clockAhead: number;
  readonly agent: { readonly identity: string; readonly activity: AgentActivity | "initializing" } | null;
  /** When it was missed first, while the record still has it; for a moment it may only be about to be said why. */
  readonly agentMissed: number | null;
  readonly agentWasHere: boolean;
  readonly playbackAllowed: boolean;
  readonly microphone: "on" | "off" | "failed";
  readonly quality: Quality;
  readonly endRequested: boolean;
  readonly lines: readonly Line[];
  /** When the agent was first there, and when the view became `ended`. */
  readonly liveAt: number | null;
  readonly endedAt: number | null;
}

export const INITIAL: Model = {
  view: { state: "connecting" },
  room: null,
  sid: null,
  session: null,
  link: { is: "connecting" },
  offlineSince: null,
  flow: null,
  stalledSince: null,
  record: null,
  provisional: null,
  clockAhead: 0,
  agent: null,
  agentMissed: null,
  agentWasHere: false,
  playbackAllowed: true,
  microphone: "off",
  quality: "unknown",
  endRequested: false,
  lines: [],
  liveAt: null,
  endedAt: null,
};
