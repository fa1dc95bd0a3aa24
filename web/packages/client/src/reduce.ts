/** One pure step: what was known, and what happened, make what is known now. */
import { DisconnectReason } from "livekit-client";
import { type Happened, INITIAL, type Link, type Model } from "./model";
import { later } from "./record";
import { withLine } from "./transcript";
import { viewOf } from "./view";

type Facts = Omit<Model, "view">;

/**
 * Milliseconds without anything arriving that count as a lost network. An idle connection hears at least the answers to
 * its own STUN checks, which Chromium sends every 2.5 s (p2p_transport_channel, stable connections).
 */
export const STALL_MS = 3_000;

export function reduce(model: Model, happened: Happened): Model {
  const facts = learn(model, happened);
  if (facts === model) return model;
  // An end is final: facts still arrive (the last words' transcript), but never bring the conversation back.
  if (model.view.state === "ended") return { ...facts, view: model.view, endedAt: model.endedAt };
  const view = viewOf(facts);
  const at = "at" in happened ? happened.at : null;
  return {
    ...facts,
    view: sameView(model.view, view) ? model.view : view,
    liveAt: facts.liveAt ?? (view.state === "live" ? at : null),
    endedAt: view.state === "ended" ? at : null,
  };
}

export function replay(events: Iterable<Happened>): Model {
  let model = INITIAL;
  for (const each of events) model = reduce(model, each);
  return model;
}

function learn(model: Model, happened: Happened): Facts {
  switch (happened.type) {
    case "ConnectionBegun":
      return happened.quiet ? model : { ...model, link: { is: "connecting" }, agent: null, flow: null };
    case "RoomNamed":
      return { ...model, room: happened.room, session: happened.session ?? model.session };
    case "Connected":
    case "ConnectionRestored": {
      const connected: Facts = { ...model, link: { is: "connected" }, flow: null, stalledSince: null };
      return happened.sid === null ? connected : inRoom(connected, happened.at, happened.sid);
    }
    case "RoomSeen":
      return inRoom(model, happened.at, happened.sid);
    case "RoomAccepted": {
      if (model.link.is !== "astray" || model.link.sid !== happened.sid) return model;
      return { ...model, sid: happened.sid, link: { is: "connected" } };
    }
    case "ConnectionFailed":
      return withFailure(model, happened);
    case "ConnectionInterrupted":
      // The client goes through two kinds of reconnecting in either order: to the user they are one.
      if (model.link.is !== "connected" && model.link.is !== "astray") return model;
      return { ...model, link: { is: "interrupted", since: model.stalledSince ?? happened.at } };
    case "NetworkChanged":
      return { ...model, offlineSince: happened.online ? null : (model.offlineSince ?? happened.at) };
    case "Received":
      return withReceived(model, happened);
    case "Disconnected":
      return withDisconnect(model, happened);
    case "Left":
      return { ...model, link: { is: "left", reason: happened.reason }, agent: null };
    case "RecordSeen":
      return withRecord(model, happened);
    case "NothingKnown": {
      const { link } = model;
      if (link.is !== "closed" && link.is !== "astray") return model;
      const how = link.is === "closed" ? link.how : "deleted";
      return { ...model, link: { is: "unexplained", how, kept: happened.kept }, agent: null };
    }
    case "AgentSeen": {
      const { identity, activity } = happened;
      if (model.agent?.identity === identity && model.agent.activity === activity) return model;
      return { ...model, agent: { identity, activity }, agentWasHere: true };
    }
    case "AgentLeft":
      return model.agent === null ? model : { ...model, agent: null };
    case "LiveRecalled":
      return { ...model, liveAt: happened.at };
    case "EndRecalled":
      return { ...model, link: { is: "over", view: happened.view } };
    case "PlaybackChanged":
      return model.playbackAllowed === happened.allowed ? model : { ...model, playbackAllowed: happened.allowed };
    case "MicrophoneChanged": {
      const microphone = happened.on ? "on" : "off";
      return model.microphone === microphone ? model : { ...model, microphone };
    }
    case "MicrophoneFailed":
      return { ...model, microphone: "failed" };
    case "TypingChosen":
      return { ...model, microphone: "off" };
    case "QualityChanged":
      return model.quality === happened.quality ? model : { ...model, quality: happened.quality };
    case "LineChanged":
      return { ...model, lines: withLine(model.lines, happened.line) };
    case "EndRequested":
      return { ...model, endRequested: true };
    default:
      return happened satisfies never;
  }
}

function inRoom(facts: Facts, at: number, sid: string): Facts {
  if (facts.sid === null) return { ...facts, sid };
  if (facts.sid === sid || facts.link.is !== "connected") return facts;
  return { ...facts, link: { is: "astray", since: at, sid } };
}

function withFailure(model: Model, { at, failure }: Extract<Happened, { type: "ConnectionFailed" }>): Facts {
  if (failure === "not_found") return { ...model, link: { is: "closed", how: "not_found" }, agent: null };
  if (failure === "server" && model.link.is === "lost") return { ...model, link: { ...model.link, tried: at } };
  return { ...model, link: { is: "failed", failure }, agent: null };
}

function withReceived(model: Model, { at, total }: Extract<Happened, { type: "Received" }>): Facts {
  if (model.flow === null || model.flow.total !== total) {
    return { ...model, flow: { total, grewAt: at }, stalledSince: null };
  }
  if (model.stalledSince !== null || at - model.flow.grewAt < STALL_MS) return model;
  return { ...model, stalledSince: model.flow.grewAt };
}

function withDisconnect(model: Model, { at, reason }: Extract<Happened, { type: "Disconnected" }>): Facts {
  const { link } = model;
  // A connection that was never made ends with an event, too; its failure says more.
  if (link.is !== "connected" && link.is !== "interrupted" && link.is !== "astray") return model;
  return {
    ...model,
    link: linkAfter(reason, link.is === "connected" ? (model.stalledSince ?? at) : link.since, at),
    agent: null,
    flow: null,
    stalledSince: null,
  };
}

function linkAfter(reason: DisconnectReason | undefined, since: number, at: number): Link {
  switch (reason) {
    case DisconnectReason.DUPLICATE_IDENTITY:
      return { is: "taken_over" };
    case DisconnectReason.PARTICIPANT_REMOVED:
      return { is: "closed", how: "removed" };
    case DisconnectReason.ROOM_DELETED:
    case DisconnectReason.ROOM_CLOSED:
      return { is: "closed", how: "deleted" };
    default:
      // Gave up, shut down, left with the page, or never told: that is no end.
      return { is: "lost", since, tried: at };
  }
}

function withRecord(model: Model, { at, record, writer, fresh }: Extract<Happened, { type: "RecordSeen" }>): Facts {
  if (!record.provisional) {
    if (model.session !== null && model.session !== record.session) return model;
    const now = later(model.record, record);
    const clock = fresh && record.now !== null ? Date.parse(record.now) - at : Number.NaN;
    if (now === model.record && Number.isNaN(clock)) return model;
    return {
      ...model,
      record: now,
      session: record.session,
      clockAhead: Number.isNaN(clock) ? model.clockAhead : clock,
    };
  }
  // Another agent counts from its own beginning.
  const known = model.provisional?.writer === writer ? model.provisional.record : null;
  const now = later(known, record);
  return now === known ? model : { ...model, provisional: { writer, record: now } };
}

function sameView(a: Model["view"], b: Model["view"]): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
