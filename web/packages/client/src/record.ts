/**
 * The session's state object, as everybody in the room sees it: in the room's metadata, on a data topic, or, while the
 * control plane is out of reach, in the agent's own attribute.
 */
import { STATES, type State } from "./generated.js";
import { objectIn, textIn } from "./json.js";

/** Key of the room metadata, name of the data topic and of the agent's attribute. */
export const RECORD_KEY = "roomkeeper";

const TEXTS = ["since", "now", "until", "reason", "by", "message", "detail"] as const;

export interface SessionRecord {
  readonly session: string;
  /**
   * Only grows; a smaller one is an old message that came late. 0 is not of the control plane, but of the token that made
   * the room: the session may not be stored yet, or be over.
   */
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
  const value = objectIn(raw);
  const { v, session, seq, provisional } = value;
  const state = STATES.find((each) => each === value.state);
  if (v !== 1 || typeof session !== "string" || typeof seq !== "number" || !state) return null;
  const texts = Object.fromEntries(TEXTS.map((key) => [key, textIn(value[key])]));
  return { session, seq, state, provisional: provisional === true, ...(texts as TextsOf<typeof TEXTS>) };
}

type TextsOf<Keys extends readonly string[]> = Record<Keys[number], string | null>;

/** Read the object out of a room's metadata, which other applications share. */
export function recordInMetadata(metadata: string | undefined): SessionRecord | null {
  return parseRecord(objectIn(metadata)[RECORD_KEY]);
}

/**
 * The later of two records of one writer. An end is never taken back, and a record of another session (a room's name was
 * used again) is not about this page.
 */
export function later(known: SessionRecord | null, seen: SessionRecord): SessionRecord {
  return known && (known.session !== seen.session || known.state === "ended" || seen.seq <= known.seq) ? known : seen;
}

/**
 * What counts when both the control plane and the agent have spoken: the control plane, except that an agent which says
 * that it is ending knows something that the control plane cannot know while the two are cut off.
 */
export function ruling(record: SessionRecord | null, provisional: SessionRecord | null): SessionRecord | null {
  return record && (isOver(record) || !isOver(provisional)) ? record : provisional;
}

function isOver(record: SessionRecord | null): boolean {
  return record?.state === "ending" || record?.state === "ended";
}
