// A session as swim-lanes: who and what was there, from when to when. Pure.

import type { Epoch, JournalEvent, Line, State } from "./api";

export interface Span {
  /** Milliseconds since the Unix epoch; `to` is null while it goes on. */
  readonly from: number;
  readonly to: number | null;
  /** What it is, such as a state's name; picks the colour. */
  readonly kind: string;
  /** For the tooltip and for screen readers. */
  readonly words: string;
}

export interface Lane {
  readonly name: string;
  readonly spans: readonly Span[];
}

interface Open {
  lane: string;
  /** The room that it is over with; empty for what outlives rooms. */
  room: string;
  from: number;
  to: number | null;
  kind: string;
  words: string;
}

/** Draw up the lanes of a session: its state first, then rooms, agents' epochs, people and recordings as they came. */
export function lanesOf(
  events: readonly JournalEvent[],
  timeline: readonly Line[],
  epochs: readonly Epoch[] = [],
): Lane[] {
  const spans = new Map<string, Open>();
  for (const event of events) take(spans, event, epochs);
  const lanes = new Map<string, Span[]>([["state", statesOf(timeline)]]);
  for (const { lane, room: _, ...span } of spans.values()) lanes.set(lane, [...(lanes.get(lane) ?? []), span]);
  return [...lanes].map(([name, found]) => ({ name, spans: found }));
}

function statesOf(timeline: readonly Line[]): Span[] {
  const spans: { -readonly [field in keyof Span]: Span[field] }[] = [];
  const first = timeline[0];
  if (first) spans.push({ from: Date.parse(first.at), to: null, kind: "waiting", words: "waiting" });
  for (const line of timeline) {
    if (line.led_to === null) continue;
    const at = Date.parse(line.at);
    const last = spans.at(-1);
    if (last?.kind === line.led_to) continue;
    if (last) last.to = at;
    spans.push({ from: at, to: null, kind: line.led_to, words: `${line.led_to}: ${line.words}` });
  }
  const last = spans.at(-1);
  if (last?.kind === ("ended" satisfies State)) last.to = last.from;
  return spans;
}

function take(spans: Map<string, Open>, event: JournalEvent, epochs: readonly Epoch[]): void {
  const { at } = event;
  const sid = text(event.sid);
  const job = text(event.job);
  const egress = text(event.egress);
  switch (event.type) {
    case "RoomStarted":
      begin(spans, sid, { lane: "room", room: sid, from: at, kind: "room", words: sid });
      break;
    case "RoomFinished":
      finish(spans, sid, at, "ended");
      for (const [key, span] of spans) if (span.room === sid) finish(spans, key, at, "");
      break;
    case "ParticipantJoined":
      join(spans, event, text(event.room_sid), at);
      break;
    case "RoomSeen":
      for (const seen of people(event.people)) join(spans, seen, sid, at);
      break;
    case "ParticipantLeft":
    case "ParticipantAborted":
      join(spans, event, text(event.room_sid), at);
      finish(spans, sid, at, text(event.raw));
      break;
    case "EgressStarted":
      begin(spans, egress, { lane: "recording", room: latest(spans), from: at, kind: "recording", words: egress });
      break;
    case "EgressEnded":
      finish(spans, egress, at, "ended");
      break;
    case "AgentAttached":
      attach(spans, job, at, text(event.identity), epochs);
      break;
    case "AgentLost":
      finish(spans, job, at, typeof event.exit === "number" ? `lost, exit ${event.exit}` : "lost");
      break;
    case "LeaseExpired":
      finish(spans, job, at, "lease expired");
      break;
    case "AgentDone":
      finish(spans, job, at, "done");
      break;
  }
}

/** A job's time in its epoch, whether its agent ever joins the room or not. */
function attach(spans: Map<string, Open>, job: string, from: number, identity: string, epochs: readonly Epoch[]): void {
  const known = spans.get(job);
  if (known && known.to !== null) {
    spans.delete(job);
    spans.set(`${job} until ${known.to}`, known);
  }
  const epoch = epochs.find((each) => each.job === job);
  const fenced = epoch?.standing === "fenced";
  const words = `${identity}, job ${job}${fenced ? ", never in charge" : ""}`;
  const lane = epoch ? `epoch ${epoch.number}` : "no epoch";
  begin(spans, job, { lane, room: "", from, kind: fenced ? "fenced" : "epoch", words });
}

function join(spans: Map<string, Open>, who: Readonly<Record<string, unknown>>, room: string, from: number): void {
  const kind = text(who.kind);
  const identity = text(who.identity);
  begin(spans, text(who.sid), {
    lane: identity,
    room: room || latest(spans),
    from,
    kind: kind === "agent" ? "agent" : "person",
    words: `${kind} ${identity}`,
  });
}

function begin(spans: Map<string, Open>, key: string, span: Omit<Open, "to">): void {
  if (key && !spans.has(key)) spans.set(key, { ...span, to: null });
}

/** The room that was made last. */
function latest(spans: Map<string, Open>): string {
  return [...spans.values()].findLast((span) => span.kind === "room")?.room ?? "";
}

function finish(spans: Map<string, Open>, key: string, at: number, raw: string): void {
  const span = spans.get(key);
  if (!span || span.to !== null) return;
  span.to = at;
  if (raw) span.words += ` · ${raw}`;
}

function people(value: unknown): Readonly<Record<string, unknown>>[] {
  return Array.isArray(value) ? value : [];
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
