/** The three calls of the control plane that a participant's token is good for. */
import { type Answer, call } from "./http.js";
import { parseRecord, type SessionRecord } from "./record.js";

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

/** The control plane at an address, usually `/api` of the page's own server. */
export function controlPlane(base: string): ControlPlane {
  const ask = (id: string, what: string, token: string, body?: object) =>
    call(`${base}/sessions/${encodeURIComponent(id)}/${what}`, token, body);
  return {
    state: async (id, token) => standingIn(await ask(id, "state", token)),
    end: async (id, token) => {
      const answer = await ask(id, "end", token, { reason: "user_ended" });
      return answer?.status === 403 ? { is: "refused" } : standingIn(answer);
    },
    tell: async (id, token, evidence) => (await ask(id, "evidence", token, evidence)) !== null,
  };
}

function standingIn(answer: Answer | null): Standing {
  if (!answer) return { is: "unreachable" };
  const record = parseRecord(answer.body); // what comes with a refusal is none, but for the end that comes with 410
  return record ? { is: "known", record } : { is: "unknown" };
}
