/** The three calls of the control plane that a participant's token is good for. */
import { parseRecord, type SessionRecord } from "./record";

/** `unknown` when there is no such session, or no control plane; `unreachable` when nobody could say. */
export type Standing =
  | { readonly is: "known"; readonly record: SessionRecord }
  | { readonly is: "unknown" }
  | { readonly is: "unreachable" };

export type EndAnswer = Standing | { readonly is: "refused" };

export interface Evidence {
  /** Such as `offline`. */
  readonly what: string;
  readonly data: Readonly<Record<string, string | number | boolean>>;
  /** Milliseconds since the epoch. */
  readonly said_at: number;
}

export interface ControlPlane {
  /** Ask how a session stands; `id` is its own or the name of its room. */
  state(id: string, token: string): Promise<Standing>;
  /** Ask to end it; refused when the policy lets others do that. */
  end(id: string, token: string): Promise<EndAnswer>;
  /** Hand over what the browser saw, also while the page goes away. Resolves to whether it need not be sent again. */
  tell(id: string, token: string, evidence: Evidence): Promise<boolean>;
}

/** Milliseconds. */
const TIMEOUT_MS = 4_000;

/** The control plane at an address, usually `/api` of the page's own server. */
export function controlPlane(base: string): ControlPlane {
  const call = (id: string, what: string, token: string, init: RequestInit = {}) =>
    fetch(`${base}/sessions/${encodeURIComponent(id)}/${what}`, {
      ...init,
      // sendBeacon takes no headers, and an address is no place for a token: it ends in logs.
      headers: { Authorization: `Bearer ${token}`, ...(init.body ? { "Content-Type": "application/json" } : {}) },
      cache: "no-store",
    });
  return {
    async state(id, token) {
      try {
        return await standingIn(await call(id, "state", token, { signal: AbortSignal.timeout(TIMEOUT_MS) }));
      } catch {
        return { is: "unreachable" };
      }
    },
    async end(id, token) {
      const body = JSON.stringify({ reason: "user_ended" });
      try {
        const signal = AbortSignal.timeout(TIMEOUT_MS);
        const response = await call(id, "end", token, { method: "POST", body, keepalive: true, signal });
        return response.status === 403 ? { is: "refused" } : await standingIn(response);
      } catch {
        return { is: "unreachable" };
      }
    },
    async tell(id, token, evidence) {
      try {
        const body = JSON.stringify(evidence);
        const { status } = await call(id, "evidence", token, { method: "POST", body, keepalive: true });
        return status < 500 && status !== 429;
      } catch {
        return false;
      }
    },
  };
}

async function standingIn(response: Response): Promise<Standing> {
  if (response.status >= 500 || response.status === 429) return { is: "unreachable" };
  const record = response.ok || response.status === 410 ? parseRecord(await response.json().catch(() => null)) : null;
  return record === null ? { is: "unknown" } : { is: "known", record };
}
