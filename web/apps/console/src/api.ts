// The control plane's HTTP interface, as far as the console needs it; docs/http.md describes it.

export type State = "waiting" | "live" | "holding" | "recovering" | "ending" | "ended";

/** One line of a list of sessions. Times are ISO 8601, UTC. */
export interface Summary {
  readonly id: string;
  readonly room: string;
  readonly generation: number;
  readonly agent_name: string;
  readonly state: State;
  readonly since: string;
  /** Version of what everybody sees, and of who is there. */
  readonly seq: number;
  readonly attendance: number;
  readonly reason: string | null;
  readonly by: string | null;
  readonly outcome: "finished" | "abandoned" | "failed" | null;
  readonly detail: string | null;
  readonly opened_at: string;
  readonly live_at: string | null;
  readonly ended_at: string | null;
  readonly users: readonly string[];
  readonly agent: string | null;
  /** Since when an agent has been kept while no user is there. */
  readonly idle_since: string | null;
  /** Revision of the last report; 0 before the first. */
  readonly report: number;
  /** When its personal data was deleted. */
  readonly purged_at: string | null;
}

export interface Delivery {
  readonly id: string;
  readonly receiver: string;
  readonly type: string;
  readonly tries: number;
  readonly error: string | null;
  readonly due_at: string | null;
  readonly delivered_at: string | null;
  readonly parked_at: string | null;
}

/** Something that a session asked for and that is not done yet, alarms included. */
export interface Deed {
  readonly key: string;
  readonly kind: string;
  readonly tries: number;
  readonly error: string | null;
  readonly parked_at: string | null;
}

export interface Details extends Summary {
  readonly origin: string;
  readonly policy: Readonly<Record<string, unknown>>;
  readonly deliveries: readonly Delivery[];
  readonly deeds: readonly Deed[];
}

/** One event in words. */
export interface Line {
  readonly at: string;
  readonly after_ms: number;
  readonly event: string;
  readonly words: string;
  readonly told_by: string | null;
  readonly led_to: State | null;
  readonly did: readonly string[];
  readonly ignored: string | null;
}

/** An event as the journal holds it; `at` in milliseconds since the Unix epoch. */
export interface JournalEvent {
  readonly type: string;
  readonly at: number;
  readonly [field: string]: unknown;
}

/** Something that was there for a while; `to` is null while it goes on. */
export interface LaneSpan {
  readonly lane: string;
  readonly kind: string;
  readonly from: string;
  readonly to: string | null;
  readonly words: string;
}

export interface Explanation {
  readonly summary: string;
  readonly because: string | null;
  readonly findings: readonly string[];
  readonly decisive: Line | null;
  readonly timeline: readonly Line[];
  readonly lanes: readonly LaneSpan[];
  readonly events: readonly JournalEvent[];
}

export interface Page {
  readonly sessions: readonly Summary[];
  readonly cursor: string | null;
}

/** An answer that is none: the status, and what the server says about it. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
    this.name = "ApiError";
  }

  /** Whether asking again is of no use. */
  get isFinal(): boolean {
    return this.status < 500 && this.status !== 429;
  }
}

export class Api {
  constructor(readonly token: string) {}

  /** Send a request with the operator's token.
   * @throws ApiError the server refused; TypeError it cannot be reached.
   */
  async request(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    headers.set("Authorization", `Bearer ${this.token}`);
    const response = await fetch(path, { ...init, headers, cache: "no-store" });
    if (!response.ok) throw new ApiError(response.status, await problem(response));
    return response;
  }

  page(query: Readonly<Record<string, string>>): Promise<Page> {
    return this.#json(`/api/sessions?${new URLSearchParams(query)}`);
  }

  show(id: string): Promise<Details> {
    return this.#json(`/api/sessions/${encodeURIComponent(id)}`);
  }

  /** Why it went as it did, with everything that happened.
   * @throws ApiError 410: it was purged.
   */
  explain(id: string): Promise<Explanation> {
    return this.#json(`/api/sessions/${encodeURIComponent(id)}/explain?events=1`);
  }

  /** The report as it would be built now.
   * @throws ApiError the session has not ended, or was purged.
   */
  report(id: string): Promise<unknown> {
    return this.#json(`/api/sessions/${encodeURIComponent(id)}/report`);
  }

  async end(id: string, detail: string): Promise<void> {
    const body = JSON.stringify({ reason: "operator_ended", detail: detail || undefined });
    const headers = { "Content-Type": "application/json" };
    await this.request(`/api/sessions/${encodeURIComponent(id)}/end`, { method: "POST", body, headers });
  }

  async redeliver(id: string): Promise<void> {
    await this.request(`/api/sessions/${encodeURIComponent(id)}/redeliver`, { method: "POST" });
  }

  async #json<T>(path: string): Promise<T> {
    return (await (await this.request(path)).json()) as T;
  }
}

async function problem(response: Response): Promise<string> {
  try {
    const { title, detail } = (await response.json()) as { title?: string; detail?: string };
    return detail ?? title ?? response.statusText;
  } catch {
    return response.statusText || `HTTP ${response.status}`;
  }
}
