/**
 * What the page knows and what it shows. Rules of this file: `Happened` is past tense, values are never changed in
 * place, and times (milliseconds since the epoch) come in with what happened.
 */
import type { DisconnectReason } from "livekit-client";
import type { Author, Outcome } from "./generated";
import type { SessionRecord } from "./record";
import type { Line } from "./transcript";

export type AgentActivity = "listening" | "thinking" | "speaking";

/** Why the page cannot go on without its user. */
export type Obstacle = "microphone" | "duplicate_tab" | "token" | "server";

/** Why a connection was not made; `gone` when the session has ended, `not_found` when its room has. */
export type ConnectFailure = "token" | "server" | "not_found" | "gone";

/** What the page shows; what everything else hangs on. */
export type View =
  | { readonly state: "connecting" }
  | { readonly state: "waiting"; readonly agentWasHere: boolean }
  | {
      readonly state: "live";
      readonly agent: AgentActivity;
      readonly needsGesture: boolean;
      readonly until: string | null;
    }
  | { readonly state: "reconnecting"; readonly since: number }
  | { readonly state: "recovering"; readonly since: string | null }
  | { readonly state: "holding"; readonly until: string | null }
  | { readonly state: "ending" }
  | Ended
  | { readonly state: "blocked"; readonly cause: Obstacle };

export interface Ended {
  readonly state: "ended";
  /** One of `REASONS`; null when nobody has said why. */
  readonly reason: string | null;
  readonly by: Author | null;
  readonly outcome: Outcome | null;
  /** For the user, in words. */
  readonly message: string;
  readonly detail: string | null;
}

export type Happened =
  | { readonly type: "ConnectionBegun"; readonly at: number }
  | { readonly type: "RoomNamed"; readonly room: string }
  | { readonly type: "Connected"; readonly at: number }
  | { readonly type: "ConnectionFailed"; readonly at: number; readonly failure: ConnectFailure }
  | { readonly type: "ConnectionInterrupted"; readonly at: number }
  | { readonly type: "ConnectionRestored"; readonly at: number }
  | { readonly type: "NetworkChanged"; readonly at: number; readonly online: boolean }
  | { readonly type: "Disconnected"; readonly at: number; readonly reason: DisconnectReason | undefined }
  | { readonly type: "RecordSeen"; readonly at: number; readonly record: SessionRecord; readonly writer: string }
  | {
      readonly type: "AgentSeen";
      readonly at: number;
      readonly identity: string;
      readonly activity: AgentActivity | "initializing";
    }
  | { readonly type: "AgentLeft"; readonly at: number }
  | { readonly type: "PlaybackChanged"; readonly allowed: boolean }
  | { readonly type: "MicrophoneChanged"; readonly on: boolean }
  | { readonly type: "MicrophoneFailed" }
  | { readonly type: "TypingChosen" }
  | { readonly type: "QualityChanged"; readonly weak: boolean }
  | { readonly type: "LineChanged"; readonly at: number; readonly line: Line }
  | { readonly type: "EndRequested"; readonly at: number };

export type Link =
  | { readonly is: "connecting" }
  | { readonly is: "connected" }
  | { readonly is: "interrupted"; readonly since: number }
  | { readonly is: "failed"; readonly failure: ConnectFailure }
  | { readonly is: "disconnected"; readonly reason: DisconnectReason | undefined };

/** Everything that was told, and the view that follows from it. */
export interface Model {
  readonly view: View;
  readonly room: string | null;
  readonly link: Link;
  readonly offlineSince: number | null;
  readonly record: SessionRecord | null;
  readonly provisional: { readonly writer: string; readonly record: SessionRecord } | null;
  readonly agent: { readonly identity: string; readonly activity: AgentActivity | "initializing" } | null;
  readonly agentWasHere: boolean;
  readonly playbackAllowed: boolean;
  readonly microphone: "on" | "off" | "failed";
  readonly weakConnection: boolean;
  readonly endRequested: boolean;
  readonly lines: readonly Line[];
  /** When the agent was first there, and when the view became `ended`. */
  readonly liveAt: number | null;
  readonly endedAt: number | null;
}

export const INITIAL: Model = {
  view: { state: "connecting" },
  room: null,
  link: { is: "connecting" },
  offlineSince: null,
  record: null,
  provisional: null,
  agent: null,
  agentWasHere: false,
  playbackAllowed: true,
  microphone: "off",
  weakConnection: false,
  endRequested: false,
  lines: [],
  liveAt: null,
  endedAt: null,
};
