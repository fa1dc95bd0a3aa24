/** One pure step: what was known, and what happened, make what is known now. */
import { DisconnectReason } from "livekit-client";
import { type Happened, INITIAL, type Link, type Model } from "./model.js";
import { later } from "./record.js";
import { viewOf } from "./view.js";

type Type = Happened["type"];
type Event<T extends Type> = Extract<Happened, { type: T }>;
type Facts = Partial<Model>;

/**
 * Milliseconds without anything arriving that count as a lost network. An idle connection hears at least the answers to
 * its own STUN checks, which Chromium sends every 2.5 s (p2p_transport_channel, stable connections).
 */
export const STALL_MS = 3_000;

/**
 * Milliseconds for the record to say why an agent left. A lost one is removed from the room before its successor comes,
 * which is no time to say that it has gone.
 */
export const MOMENT_MS = 1_000;

const NOTHING: Facts = {};

/** What is new about the facts. */
const LEARN: { readonly [T in Type]: (model: Model, happened: Event<T>) => Facts } = {
  ConnectionBegun: (_, { quiet }) => (quiet ? NOTHING : { link: { is: "connecting" }, agent: null, flow: null }),
  RoomNamed: (model, { room, session }) => ({ room, session: session ?? model.session }),
  Connected: connected,
  ConnectionRestored: connected,
  RoomSeen: inRoom,
  RoomAccepted: ({ link }) => (link.is === "astray" ? { sid: link.sid, link: { is: "connected" } } : NOTHING),
  ConnectionFailed({ link }, { at, failure }) {
    if (failure === "not_found") return { link: { is: "closed", how: failure }, agent: null };
    if (failure === "server" && link.is === "lost") return { link: { ...link, tried: at } };
    return { link: { is: "failed", failure }, agent: null };
  },
  // The client goes through two kinds of reconnecting in either order: to the user they are one.
  ConnectionInterrupted: ({ link, stalledSince }, { at }) =>
    link.is === "connected" || link.is === "astray"
      ? { link: { is: "interrupted", since: stalledSince ?? at } }
      : NOTHING,
  NetworkChanged: ({ offlineSince, link }, { at, online }) => ({
    offlineSince: online ? null : (offlineSince ?? at),
    // What was tried without a network tells nothing of the server.
    ...(link.is === "lost" && { link: { ...link, tried: link.since } }),
  }),
  Received({ flow, stalledSince }, { at, total }) {
    if (flow?.total !== total) return { flow: { total, grewAt: at }, stalledSince: null };
    return { stalledSince: stalledSince ?? (at - flow.grewAt < STALL_MS ? null : flow.grewAt) };
  },
  Disconnected: disconnected,
  Left: (_, { reason }) => ({ link: { is: "left", reason }, agent: null }),
  RecordSeen: recordSeen,
  NothingKnown({ link }, { kept }) {
    if (link.is !== "closed" && link.is !== "astray") return NOTHING;
    return { link: { is: "unexplained", how: link.is === "closed" ? link.how : "deleted", kept }, agent: null };
  },
  AgentSeen: (_, { identity, activity }) => ({
    agent: { identity, activity },
    agentMissed: null,
    agentWasHere: true,
  }),
  AgentLeft({ agent, agentMissed, record }, { at }) {
    const since = agentMissed ?? at;
    return { agentMissed: since, agent: record?.state === "live" && at - since <= MOMENT_MS ? agent : null };
  },
  PlaybackChanged: (_, { allowed }) => ({ playbackAllowed: allowed }),
  MicrophoneChanged: (_, { on }) => ({ microphone: on ? "on" : "off" }),
  MicrophoneFailed: () => ({ microphone: "failed" }),
  QualityChanged: (_, { quality }) => ({ quality }),
  LinesChanged: (_, { lines }) => ({ lines }),
  Recalled: (_, { known }) => known,
  EndRequested: () => ({ endRequested: true }),
};

export function reduce(model: Model, happened: Happened): Model {
  const learn = LEARN[happened.type] as (model: Model, happened: Happened) => Facts;
  const learnt = learn(model, happened);
  if (Object.entries(learnt).every(([key, value]) => same(model[key as keyof Model], value))) return model;
  const facts: Model = { ...model, ...learnt };
  // An end is final: facts still arrive (the last words' transcript), but never bring the conversation back.
  if (facts.view.state === "ended") return facts;
  const view = viewOf(facts);
  return {
    ...facts,
    view: same(model.view, view) ? model.view : view,
    liveAt: facts.liveAt ?? (view.state === "live" ? happened.at : null),
    endedAt: view.state === "ended" ? happened.at : null,
  };
}

export function replay(events: Iterable<Happened>): Model {
  return [...events].reduce(reduce, INITIAL);
}

function connected(model: Model, happened: Event<"Connected" | "ConnectionRestored">): Facts {
  // livekit-client also says so of a connection on which nothing arrives yet: what stands still does until something does.
  const known: Facts = { link: { is: "connected" } };
  return { ...known, ...inRoom({ ...model, ...known }, happened) };
}

function inRoom(
  { sid: before, link }: Model,
  { at, sid }: Event<"Connected" | "ConnectionRestored" | "RoomSeen">,
): Facts {
  if (!before) return { sid };
  return sid && before !== sid && link.is === "connected" ? { link: { is: "astray", since: at, sid } } : NOTHING;
}

/**
 * What becomes of the link, by the number that LiveKit's protocol has for the reason; any other is no end: gave up, shut
 * down, left with the page, never told.
 */
const BECOMES: { readonly [reason: number]: Link } = {
  2: { is: "taken_over" }, // DUPLICATE_IDENTITY
  4: { is: "closed", how: "removed" }, // PARTICIPANT_REMOVED
  5: { is: "closed", how: "deleted" }, // ROOM_DELETED
  10: { is: "closed", how: "deleted" }, // ROOM_CLOSED
};

function disconnected({ link, stalledSince }: Model, { at, reason = 0 }: Event<"Disconnected">): Facts {
  // A connection that was never made ends with an event, too; its failure says more.
  if (link.is !== "connected" && link.is !== "interrupted" && link.is !== "astray") return NOTHING;
  const since = link.is === "connected" ? (stalledSince ?? at) : link.since;
  return {
    link: BECOMES[reason] ?? { is: "lost", since, tried: at, reason: DisconnectReason[reason] },
    agent: null,
    flow: null,
    stalledSince: null,
  };
}

function recordSeen(model: Model, { at, record, writer, fresh }: Event<"RecordSeen">): Facts {
  if (record.provisional) {
    // Another agent counts from its own beginning.
    const known = model.provisional?.writer === writer ? model.provisional.record : null;
    return { provisional: { writer, record: later(known, record) } };
  }
  if (model.session && model.session !== record.session) return NOTHING;
  return {
    record: later(model.record, record),
    session: record.session,
    // What was said before is no news of the clock: an application may write the metadata, too. Nor is what is no time.
    clockAhead:
      (fresh && (record.now ?? "") > (model.record?.now ?? "") && Date.parse(record.now ?? "") - at) ||
      model.clockAhead,
  };
}

function same(a: unknown, b: unknown): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}
