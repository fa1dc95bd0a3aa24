/** What this tab remembers, so that loading the page again brings the same participant back to the same room. */
export interface Visit {
  /** That it began with; null: none. */
  readonly invite: string | null;
  readonly room: string;
  readonly name: string;
  readonly microphone: { readonly on: boolean; readonly deviceId: string | null };
}

const VISIT = "roomkeeper.visit";

export function recallVisit(): Visit | null {
  const stored = sessionStorage.getItem(VISIT);
  return stored === null ? null : (JSON.parse(stored) as Visit);
}

export function rememberVisit(visit: Visit | null): void {
  if (visit === null) sessionStorage.removeItem(VISIT);
  else sessionStorage.setItem(VISIT, JSON.stringify(visit));
}
