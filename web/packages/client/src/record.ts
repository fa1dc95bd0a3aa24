/**
 * The session's state object, as everybody in the room sees it: in the room's metadata, on a data topic, or, while the
 * control plane is out of reach, in the agent's own attribute.
 */

import { STATES, type State } from "./generated";

/** Key of the room metadata, name of the data topic and of the agent's attribute. */
export const RECORD_KEY = "roomkeeper";

export interface SessionRecord {
  readonly session: string;
  /** Only grows; a smaller one is an old message that came late. */
  readonly seq: number;
  readonly state: State;
  /** ISO 8601, like the other times. */
  readonly since: string | null;
  /** The control plane's clock when this was written. */
  readonly now: string | null;
  readonly until: string | null;
  readonly reason: string | null;
  readonly by: string | null;
  readonly message: string | null;
  readonly detail: string | null;
  /** Written by the agent, not by the control plane. */
  readonly provisional: boolean;
}

/** Read the object from JSON text or from a parsed value; null when it is not one. */
export function parseRecord(raw: unknown): SessionRecord | null {
  const value = typeof raw === "string" ? parseJson(raw) : raw;
  if (!isObject(value)) return null;
  const state = STATES.find((each) => each === value.state);
  if (value.v !== 1 || typeof value.session !== "string" || typeof value.seq !== "number" || state === undefined) {
    return null;
  }
  return {
    session: value.session,
    seq: value.seq,
    state,
    since: text(value.since),
    now: text(value.now),
    until: text(value.until),
    reason: text(value.reason),
    by: text(value.by),
    message: text(value.message),
    detail: text(value.detail),
    provisional: value.provisional === true,
  };
}

/** Read the object out of a room's metadata, which other applications share. */
export function recordInMetadata(metadata: string | undefined): SessionRecord | null {
  const value = parseJson(metadata ?? "");
  return isObject(value) ? parseRecord(value[RECORD_KEY]) : null;
}

/**
 * The later of two records of one writer. An end is never taken back, and a record of another session (a room's name was
 * used again) is not about this page.
 */
export function later(known: SessionRecord | null, seen: SessionRecord): SessionRecord {
  if (known === null) return seen;
  if (known.session !== seen.session || known.state === "ended") return known;
  return seen.seq > known.seq ? seen : known;
}

/**
 * What counts when both the control plane and the agent have spoken: the control plane, except that an agent which says
 * that it is ending knows something that the control plane cannot know while the two are cut off.
 */
export function ruling(record: SessionRecord | null, provisional: SessionRecord | null): SessionRecord | null {
  if (record === null || provisional === null) return record ?? provisional;
  if (record.state === "ended" || record.state === "ending") return record;
  return provisional.state === "ended" || provisional.state === "ending" ? provisional : record;
}

function parseJson(raw: string): unknown {
  try {
    return JSON.parse(raw);
  } catch {
    return null;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function text(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}
