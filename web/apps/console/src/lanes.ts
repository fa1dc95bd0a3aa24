// A session as swim-lanes: who and what was there, from when to when. Pure.

import type { JournalEvent, Line, State } from "./api";

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
  from: number;
  to: number | null;
  kind: string;
  words: string;
}

/** Draw up the lanes of a session: its state first, then the room, people, agents and recordings as they came. */
export function lanesOf(events: readonly JournalEvent[], timeline: readonly Line[]): Lane[] {
  const spans = new Map<string, Open>();
  for (const event of events) take(spans, event);
  const lanes = new Map<string, Span[]>([["state", statesOf(timeline)]]);
  for (const { lane, ...span } of spans.values()) lanes.set(lane, [...(lanes.get(lane) ?? []), span]);
  return [...lanes].map(([name, found]) => ({ name, spans: found }));
}

function statesOf(timeline: readonly Line[]): Span[] {
  const spans: Open[] = [];
  const first = timeline[0];
  if (first) spans.push({ lane: "state", from: Date.parse(first.at), to: null, kind: "waiting", words: "waiting" });
  for (const line of timeline) {
    if (line.led_to === null) continue;
    const at = Date.parse(line.at);
    const last = spans.at(-1);
    if (last?.kind === line.led_to) continue;
    if (last) last.to = at;
    spans.push({ lane: "state", from: at, to: null, kind: line.led_to, words: `${line.led_to}: ${line.words}` });
  }
  const last = spans.at(-1);
  if (last?.kind === ("ended" satisfies State)) last.to = last.from;
  return spans.map(({ lane: _, ...span }) => span);
}

function take(spans: Map<string, Open>, event: JournalEvent): void {
  const sid = text(event.sid);
  switch (event.type) {
    case "RoomStarted":
      begin(spans, sid, "room", event.at, "room", sid);
      break;
    case "RoomFinished":
      finish(spans, sid, event.at, "ended");
      for (const [key, span] of spans)
        if (span.lane !== "room" && span.to === null && key) finish(spans, key, event.at, "");
      break;
    case "ParticipantJoined":
      join(spans, event, event.at);
      break;
    case "RoomSeen":
      for (const seen of people(event.people)) join(spans, seen, event.at);
      break;
    case "ParticipantLeft":
    case "ParticipantAborted":
      join(spans, event, event.at);
      finish(spans, sid, event.at, text(event.raw));
      break;
    case "EgressStarted":
      begin(spans, text(event.egress), "recording", event.at, "recording", text(event.egress));
      break;
    case "EgressEnded":
      finish(spans, text(event.egress), event.at, "ended");
      break;
  }
}

function join(spans: Map<string, Open>, who: Readonly<Record<string, unknown>>, at: number): void {
  const kind = text(who.kind);
  begin(
    spans,
    text(who.sid),
    text(who.identity),
    at,
    kind === "agent" ? "agent" : "person",
    `${kind} ${text(who.identity)}`,
  );
}

function begin(spans: Map<string, Open>, key: string, lane: string, from: number, kind: string, words: string): void {
  if (key && !spans.has(key)) spans.set(key, { lane, from, to: null, kind, words });
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
