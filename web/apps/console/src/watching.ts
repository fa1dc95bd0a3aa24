// One session kept current: read again whenever the stream speaks of it, and unasked for what no stream tells. No React.

import { type Api, ApiError, type Details, type Explanation } from "./api";
import { type Reading, reading } from "./reading";
import { isSettling } from "./settling";
import type { Store } from "./store";

export interface Everything {
  readonly details: Details;
  /** Null when what was said has been deleted. */
  readonly explanation: Explanation | null;
}

export interface Watcher {
  show(everything: Everything): void;
  /** It cannot be read, or not now. */
  fail(error: unknown): void;
}

/** Milliseconds between two readings of a session that changes all the time. */
const CALM = 700;
/** Milliseconds after which a session that goes on is read unasked: recordings and browsers make no event. */
const SELDOM = 10_000;
/** Milliseconds between two looks at what is still to come of a session that ended. */
const OFTEN = 3_000;
/** Milliseconds after the first failure; doubled each time, up to the longest. */
const SHORTEST_PAUSE = 500;
const LONGEST_PAUSE = 10_000;

/** Keep a session current until it is stopped.
 * @param name - its id, or another name by which the server finds it.
 */
export function watch(api: Api, store: Pick<Store, "hear">, name: string, watcher: Watcher): Reading {
  let id = name;
  let known: Everything | null = null;
  /** There may be more in the journal than what is known. */
  let behind = true;
  let pause = SHORTEST_PAUSE;
  let stopped = false;
  const reader = reading(read, CALM);
  let deafen = store.hear(id, reader.ask);

  async function read(asked: boolean): Promise<number> {
    behind ||= asked || known === null || !isSettling(known.details);
    const all = behind;
    try {
      const [details, explanation] = await Promise.all([api.show(id), all ? explain(api, id) : known?.explanation]);
      if (stopped) return Number.POSITIVE_INFINITY;
      if (details.id !== id) {
        deafen();
        id = details.id;
        deafen = store.hear(id, reader.ask);
      }
      known = { details, explanation: details.purged_at === null ? kept(known?.explanation, explanation) : null };
      behind = false;
      pause = SHORTEST_PAUSE;
      watcher.show(known);
      if (details.state !== "ended") return SELDOM;
      if (isSettling(details)) return OFTEN;
      return all ? Number.POSITIVE_INFINITY : 0;
    } catch (error) {
      if (!stopped) watcher.fail(error);
      if (error instanceof ApiError && error.isFinal) return Number.POSITIVE_INFINITY;
      const wait = pause;
      pause = Math.min(LONGEST_PAUSE, pause * 2);
      return wait;
    }
  }

  return {
    ask: reader.ask,
    stop() {
      stopped = true;
      deafen();
      reader.stop();
    },
  };
}

async function explain(api: Api, id: string): Promise<Explanation | null> {
  try {
    return await api.explain(id);
  } catch (error) {
    if (error instanceof ApiError && error.status === 410) return null;
    throw error;
  }
}

/** The one that is known, unless the journal has grown: then nothing is rendered again. */
function kept(known: Explanation | null | undefined, told: Explanation | null | undefined): Explanation | null {
  return (known && known.events.length === told?.events.length ? known : told) ?? null;
}
