// The live stream of the control plane: read with `fetch`, resumed by the last id, for as long as the console is open.

import { type Api, ApiError, type Summary } from "./api";
import { SseReader } from "./sse";

export type Counts = Readonly<Record<string, number>>;

/** What the stream tells; docs/http.md has the table. */
export interface StreamEvent {
  readonly type: string;
  readonly at: string;
  readonly session?: Summary;
  readonly counts?: Counts;
  /** Of a snapshot: nothing was missed since the last connection. */
  readonly resumed?: boolean;
  readonly data?: Readonly<Record<string, unknown>>;
}

export interface Listener {
  take(event: StreamEvent): void;
  /** The connection is up, or down since some time. */
  connected(up: boolean): void;
  /** The token is no longer good. */
  refused(why: string): void;
}

/** Milliseconds without a byte after which the connection is dead: the server says something every 15 s. */
const SILENCE = 35_000;
const SHORTEST_PAUSE = 500;
const LONGEST_PAUSE = 10_000;
/** Milliseconds after which a connection is one, and no refusal in disguise. */
const STEADY = 5_000;

/** Follow the stream until the signal aborts. */
export async function follow(api: Api, listener: Listener, signal: AbortSignal): Promise<void> {
  let last = "";
  let pause = SHORTEST_PAUSE;
  while (!signal.aborted) {
    let since = Number.POSITIVE_INFINITY;
    try {
      for await (const event of connection(api, last, signal)) {
        since = Math.min(since, Date.now());
        if (event.id) last = event.id;
        listener.connected(true);
        listener.take(JSON.parse(event.data) as StreamEvent);
      }
    } catch (error) {
      if (error instanceof ApiError && (error.status === 401 || error.status === 403)) {
        listener.refused(error.message);
        return;
      }
    }
    if (signal.aborted) return;
    listener.connected(false);
    if (Date.now() - since >= STEADY) pause = SHORTEST_PAUSE;
    await sleep(pause * (0.5 + Math.random() / 2), signal);
    pause = Math.min(LONGEST_PAUSE, pause * 2);
  }
}

async function* connection(api: Api, last: string, outer: AbortSignal) {
  const aborter = new AbortController();
  const abort = () => aborter.abort();
  outer.addEventListener("abort", abort);
  globalThis.addEventListener?.("offline", abort); // the browser knows at once, and leaves the stream hanging
  let alarm = setTimeout(abort, SILENCE);
  try {
    const headers: Record<string, string> = last ? { "Last-Event-ID": last } : {};
    const response = await api.request("/api/stream", { headers, signal: aborter.signal });
    const body = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    const reader = new SseReader();
    for (;;) {
      const { value, done } = (await body?.read()) ?? { value: undefined, done: true };
      if (done || value === undefined) return;
      clearTimeout(alarm);
      alarm = setTimeout(abort, SILENCE);
      yield* reader.read(value).filter((event) => event.data !== "");
    }
  } finally {
    clearTimeout(alarm);
    outer.removeEventListener("abort", abort);
    globalThis.removeEventListener?.("offline", abort);
    aborter.abort();
  }
}

function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const wake = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", wake);
      resolve();
    };
    const timer = setTimeout(wake, milliseconds);
    signal.addEventListener("abort", wake);
  });
}
