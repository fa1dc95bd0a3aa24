// All sessions the console knows, kept current by the stream. No React in here.
//
// 1. The stream says what changes, the list what there was before; whichever came later (`seq`) wins.
// 2. Many changes a second are one new list a frame: readers see `rows` change, never be changed.

import type { Api, State, Summary } from "./api";
import { type Counts, follow, type StreamEvent } from "./stream";

export interface Filter {
  /** One of the states, "open" for those that have not ended, "" for all. */
  readonly state: State | "open" | "";
  /** A part of the room's or the agent's name, an id, or a part of the name of a user who is there. */
  readonly search: string;
}

export interface Row extends Summary {
  readonly seq: number;
  readonly until: string | null;
}

export interface View {
  /** Newest first, those that pass the filter. */
  readonly rows: readonly Row[];
  /** Those whose agent is kept waiting, whatever the filter. */
  readonly idle: readonly Row[];
  readonly counts: Counts;
  readonly connected: boolean;
  /** The list is being read for the first time, or again. */
  readonly loading: boolean;
  /** Why the console cannot go on; null while it can. */
  readonly refused: string | null;
  /** Grows with each change of any session. */
  readonly version: number;
}

const EMPTY: View = { rows: [], idle: [], counts: {}, connected: false, loading: true, refused: null, version: 0 };
/** What goes on: it is here whatever else is shown. */
const OPEN: Filter = { state: "open", search: "" };
/** Sessions in one answer: the most that the server gives. */
const PAGE = 200;
/** Ended sessions that are kept in the page: so many of those that are shown, and of the others; older ones are a search
 * away. */
const MOST_ENDED = 2_000;

export class Store {
  #rows = new Map<string, Row>();
  #order: Row[] = [];
  #view = EMPTY;
  #filter = OPEN;
  #listeners = new Set<() => void>();
  #scheduled = false;
  /** When there are more rows than this, they are sifted before the next frame: a hidden tab has none. */
  #many = MOST_ENDED;
  #reads = 0;
  /** Everything that goes on has been read. */
  #whole = false;
  #hearers = new Map<string, Set<() => void>>();

  constructor(
    private readonly api: Api,
    /** Calls back soon, at most once a frame. */
    private readonly frame: (work: () => void) => void = (work) => requestAnimationFrame(work),
  ) {}

  /** Keep current until the signal aborts. */
  run(signal: AbortSignal): Promise<void> {
    return follow(
      this.api,
      {
        take: (event) => this.take(event),
        connected: (connected) => connected !== this.#view.connected && this.#show({ connected }),
        refused: (refused) => this.#show({ refused, connected: false }),
      },
      signal,
    );
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly view = (): View => this.#view;

  /** Call back whenever what is shown of a session is to be read again: the stream spoke of it, or may have missed it.
   * @returns stops that.
   */
  hear(id: string, listener: () => void): () => void {
    const hearers = this.#hearers.get(id) ?? new Set();
    this.#hearers.set(id, hearers.add(listener));
    return () => {
      hearers.delete(listener);
      if (hearers.size === 0) this.#hearers.delete(id);
    };
  }

  /** Show other sessions; those of a state or name that is not here yet are read from the server. */
  filter(filter: Filter): void {
    this.#filter = filter;
    this.#changed();
    void this.#read(filter);
  }

  /** Take one event of the stream. */
  take(event: StreamEvent): void {
    if (event.counts) this.#show({ counts: event.counts });
    if (event.session) this.#tell(event.session.id);
    if (event.type === "snapshot" && event.resumed !== true) {
      this.#rows.clear();
      this.#order = [];
      this.#whole = false;
      for (const id of this.#hearers.keys()) this.#tell(id);
      void this.#read(this.#filter);
    }
    if (event.type === "session.purged" && event.session) this.#forget(event.session.id);
    else if (event.session) this.#put(event.session as Row);
  }

  /** Read what is to be shown, and what goes on unless it is here. */
  async #read(filter: Filter): Promise<void> {
    this.#reads += 1;
    const mine = this.#reads;
    const isCurrent = () => mine === this.#reads;
    this.#show({ loading: true });
    try {
      await this.#pages(filter, isCurrent);
      if (isCurrent() && !this.#whole && !isOpen(filter)) await this.#pages(OPEN, isCurrent);
      this.#whole ||= isCurrent();
    } catch {
      // The stream finds out whether the server is gone or the token bad, and says so.
    } finally {
      if (isCurrent()) this.#show({ loading: false });
    }
  }

  async #pages(filter: Filter, isWanted: () => boolean): Promise<void> {
    let cursor: string | null = "";
    let left = filter.state === "" || filter.state === "ended" ? MOST_ENDED : Number.POSITIVE_INFINITY;
    while (cursor !== null && left > 0 && isWanted()) {
      const query: Record<string, string> = { limit: String(PAGE) };
      if (filter.state) query.state = filter.state;
      if (filter.search) query.search = filter.search;
      if (cursor) query.cursor = cursor;
      const page = await this.api.page(query);
      for (const session of page.sessions) this.#put(session as Row);
      left -= page.sessions.length;
      cursor = page.cursor;
    }
  }

  #put(row: Row): void {
    const known = this.#rows.get(row.id);
    if (known && known.seq > row.seq) return;
    this.#rows.set(row.id, row);
    const at = place(this.#order, row);
    if (known) this.#order[at] = row;
    else this.#order.splice(at, 0, row);
    if (this.#order.length > this.#many) this.#sift();
    this.#changed();
  }

  #tell(id: string): void {
    for (const listener of this.#hearers.get(id) ?? []) listener();
  }

  #forget(id: string): void {
    const known = this.#rows.get(id);
    if (!known) return;
    this.#rows.delete(id);
    this.#order.splice(place(this.#order, known), 1);
    this.#changed();
  }

  #changed(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.frame(() => {
      this.#scheduled = false;
      const rows = this.#sift();
      this.#show({ rows, idle: this.#order.filter(isIdle), version: this.#view.version + 1 });
    });
  }

  /** Say which rows pass the filter; ended sessions that are too many are forgotten, the oldest first. */
  #sift(): Row[] {
    const rows: Row[] = [];
    const kept: Row[] = [];
    let [shown, others] = [MOST_ENDED, MOST_ENDED];
    for (const row of this.#order) {
      const passing = passes(row, this.#filter);
      const room = row.state !== "ended" || (passing ? shown-- : others--) > 0;
      if (room) kept.push(row);
      else this.#rows.delete(row.id);
      if (room && passing) rows.push(row);
    }
    this.#order = kept;
    this.#many = kept.length + MOST_ENDED;
    return rows;
  }

  #show(part: Partial<View>): void {
    this.#view = { ...this.#view, ...part };
    for (const listener of this.#listeners) listener();
  }
}

/** Where a row stands, or would stand, among others that are newest first. */
function place(order: readonly Row[], row: Row): number {
  let low = 0;
  let high = order.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const other = order[middle];
    if (other && isBefore(other, row)) low = middle + 1;
    else high = middle;
  }
  return low;
}

function isBefore(one: Row, other: Row): boolean {
  return one.opened_at === other.opened_at ? one.id > other.id : one.opened_at > other.opened_at;
}

function isOpen(filter: Filter): boolean {
  return filter.state === "open" && filter.search === "";
}

/** Whether a session is to be shown. */
export function passes(row: Row, filter: Filter): boolean {
  if (filter.state === "open" ? row.state === "ended" : filter.state !== "" && row.state !== filter.state) return false;
  const wanted = filter.search.toLowerCase();
  return (
    wanted === "" ||
    [row.room, row.agent_name, row.id, ...row.users].some((name) => name.toLowerCase().includes(wanted))
  );
}

/** Whether an agent is kept waiting for users who may never come: it costs, and nobody is talking to it. */
export function isIdle(row: Row): boolean {
  return row.agent !== null && row.state !== "ended" && row.users.length === 0;
}
