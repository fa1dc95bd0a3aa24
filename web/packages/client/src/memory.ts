/** What a tab remembers of a session, so that loading the page again changes nothing for its user. */
import type { Ended, Model } from "./model";
import type { Line } from "./transcript";

export interface Remembered {
  readonly sid: string | null;
  readonly session: string | null;
  readonly lines: readonly Line[];
  readonly liveAt: number | null;
  /** An end is final, so that nobody need be asked again. */
  readonly ended: { readonly at: number; readonly view: Ended } | null;
}

/** Keeps what `Remembered` says for one room; `sessionStorage` is such a place. */
export type Memory = Pick<Storage, "getItem" | "setItem" | "removeItem">;

const key = (room: string) => `roomkeeper.room.${room}`;

export function remember(memory: Memory, model: Model): void {
  if (model.room === null) return;
  const { view, sid, session, lines, liveAt, endedAt } = model;
  const ended = view.state === "ended" ? { at: endedAt ?? 0, view } : null;
  try {
    memory.setItem(key(model.room), JSON.stringify({ sid, session, lines, liveAt, ended } satisfies Remembered));
  } catch {
    // Full or forbidden: then a reload begins with an empty transcript.
  }
}

export function recall(memory: Memory, room: string): Remembered | null {
  try {
    const known = JSON.parse(memory.getItem(key(room)) ?? "null") as Remembered | null;
    // A line that was growing when the page went away will not grow any more.
    return known === null ? null : { ...known, lines: known.lines.map((line) => ({ ...line, final: true })) };
  } catch {
    return null;
  }
}

const IDENTITY = "roomkeeper.identity";

/** The identity of this tab for as long as it is open, so that a reload is the same participant coming back. */
export function tabIdentity(memory: Memory): string {
  const known = memory.getItem(IDENTITY);
  if (known !== null) return known;
  const fresh = `user-${crypto.randomUUID().slice(0, 8)}`;
  memory.setItem(IDENTITY, fresh);
  return fresh;
}
