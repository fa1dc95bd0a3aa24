/** What this tab remembers, so that loading the page again brings the same participant back to the same room. */
import type { Line } from "@roomkeeper/client";

export interface Visit {
  readonly room: string;
  readonly name: string;
  readonly microphone: { readonly on: boolean; readonly deviceId: string | null };
  readonly lines: readonly Line[];
  readonly liveAt: number | null;
}

const IDENTITY = "roomkeeper.identity";
const VISIT = "roomkeeper.visit";

/** Of this tab, for as long as it is open. */
export function identity(): string {
  const known = read(IDENTITY);
  if (known !== null) return known;
  const fresh = `user-${crypto.randomUUID().slice(0, 8)}`;
  write(IDENTITY, fresh);
  return fresh;
}

export function recallVisit(): Visit | null {
  const stored = read(VISIT);
  return stored === null ? null : (JSON.parse(stored) as Visit);
}

export function rememberVisit(visit: Visit | null): void {
  if (visit === null) sessionStorage.removeItem(VISIT);
  else write(VISIT, JSON.stringify(visit));
}

function read(key: string): string | null {
  return sessionStorage.getItem(key);
}

function write(key: string, value: string): void {
  sessionStorage.setItem(key, value);
}
