// All sessions the console knows, kept current by the stream. No React in here.
//
// 1. The stream says what changes, the list what there was before; whichever came later (`seq`, `attendance`) wins.
// 2. Many changes a second are one new list a frame: readers see `rows` change, never be changed.

import { type Api, ApiError, type Page, type State, type Summary } from "./api";
import { type Counts, follow, type StreamEvent } from "./stream";

export interface Filter {
  /** One of the states, "open" for those that have not ended, "idle" for those of them whose agent is kept waiting,
   * "parked" for those of which something was given up, "" for all. */
  readonly state: State | "open" | "idle" | "parked" | "";
  /** A part of the room's or the agent's name, an id, or a part of the name of a user who is there. */
  readonly search: string;
}

export interface Row extends Summary {
  readonly until: string | null;
  /** How many of its deliveries and actions were given up, when its line was last read from the list. */
  readonly parked?: number;
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
  /** There are older ones that pass the filter. */
  readonly cut: boolean;
  /** Milliseconds by which the server's clock is ahead of the browser's. */
  readonly skew: number;
  /** Why the console cannot go on; null while it can. */
  readonly refused: string | null;
  /** Grows with each change of any session. */
  readonly version: number;
}

const EMPTY: View = {
  rows: [],
  idle: [],
  counts: {},
  connected: false,
  loading: true,
  cut: false,
  skew: 0,
  refused: null,
  version: 0,
};
/** What goes on: it is here whatever else is shown. */
const OPEN: Filter = { state: "open", search: "" };
/** Sessions in one answer: the most that the server gives. */
const PAGE = 200;
/** Ended sessions that are kept in the page: so many of those that are shown, and of the others; older ones are a search
 * away. */
const MOST_ENDED = 2_000;
/** Milliseconds between two tries to read a page of the list: doubled each time, up to the longest. */
const SHORTEST_PAUSE = 500;
const LONGEST_PAUSE = 10_000;
/** Milliseconds that the server's clock may seem to move by. */
const JITTER = 1_000;

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
  /** What was here before the stream missed something, and was not heard of since. */
  #stale = new Set<string>();
  /** What the server found by a name that is not in its line, such as a job's id. */
  #found = new Set<string>();
  #hearers = new Map<string, Set<() => void>>();

  constructor(
    private readonly api: Api,
    /** Calls back soon, at most once a frame. */
    private readonly frame: (work: () => void) => void = (work) => requestAnimationFrame(work),
  ) {}

  /** Keep current until the signal aborts. */
  run(signal: AbortSignal): Promise<void> {
    signal.addEventListener("abort", () => this.#stopReading());
    return follow(
      this.api,
      {
        take: (event) => this.take(event),
        connected: (connected) => connected !== this.#view.connected && this.#show({ connected }),
        refused: (refused) => {
          this.#stopReading();
          this.#show({ refused, connected: false });
        },
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
    this.#found.clear();
    this.#changed();
    void this.#read(filter);
  }

  /** Take one event of the stream. */
  take(event: StreamEvent): void {
    if (event.counts) this.#show({ counts: event.counts, skew: this.#skew(Date.parse(event.at) - Date.now()) });
    if (event.session) {
      this.#tell(event.session.id);
      this.#put(event.session as Row);
    }
    if (event.type !== "snapshot") return;
    if (event.resumed !== true) {
      this.#whole = false;
      this.#stale = new Set(this.#rows.keys());
      for (const id of this.#hearers.keys()) this.#tell(id);
    }
    if (!this.#whole) void this.#read(this.#filter);
  }

  /** Read what is to be shown, and what goes on unless it is here; until both are, or something else is wanted. */
  async #read(filter: Filter): Promise<void> {
    this.#reads += 1;
    const mine = this.#reads;
    const isCurrent = () => mine === this.#reads;
    this.#show({ loading: true, cut: false });
    const cut = await this.#pages(filter, isCurrent);
    if (!this.#whole && !isOpen(filter)) await this.#pages(OPEN, isCurrent);
    if (!isCurrent()) return;
    this.#whole = true;
    for (const id of this.#stale) this.#forget(id);
    this.#stale.clear();
    this.#show({ loading: false, cut });
  }

  #stopReading(): void {
    this.#reads += 1;
  }

  /** Read page by page; returns whether there are more than are kept. */
  async #pages(filter: Filter, isWanted: () => boolean): Promise<boolean> {
    const query: Record<string, string> = { limit: String(PAGE) };
    if (filter.state) query.state = filter.state === "idle" ? "open" : filter.state;
    if (filter.search) query.search = filter.search;
    const mayEnd = filter.state === "" || filter.state === "ended" || filter.state === "parked";
    let left = mayEnd ? MOST_ENDED : Number.POSITIVE_INFINITY;
    while (left > 0) {
      const page = await this.#page(query, isWanted);
      if (page === null) return false;
      for (const session of page.sessions) {
        if (filter.search) this.#found.add(session.id);
        this.#put(session as Row);
      }
      if (page.cursor === null) return false;
      left -= page.sessions.length;
      query.cursor = page.cursor;
    }
    return true;
  }

  /** Read a page, and again until it is there; null if it is not wanted any more, or refused. */
  async #page(query: Readonly<Record<string, string>>, isWanted: () => boolean): Promise<Page | null> {
    for (let pause = SHORTEST_PAUSE; isWanted(); pause = Math.min(LONGEST_PAUSE, pause * 2)) {
      try {
        const page = await this.api.page(query);
        return isWanted() ? page : null;
      } catch (error) {
        // What cannot be asked is not asked again; that a token is no longer good, the stream says.
        if (error instanceof ApiError && error.isFinal) return null;
        await new Promise((resolve) => setTimeout(resolve, pause));
      }
    }
    return null;
  }

  #put(told: Row): void {
    const known = this.#rows.get(told.id);
    if (known && isAfter(known, told) && !this.#stale.has(told.id)) return;
    this.#stale.delete(told.id);
    const keeps = told.parked === undefined && told.purged_at === null && known?.parked;
    const row = keeps ? { ...told, parked: keeps } : told;
    const at = place(this.#order, known ?? row);
    this.#rows.set(row.id, row);
    if (known) this.#order[at] = row;
    else this.#order.splice(at, 0, row);
    if (this.#order.length > this.#many) this.#sift();
    this.#changed();
  }

  /** What the clocks differ by; what the network takes to say so changes nothing. */
  #skew(told: number): number {
    const known = this.#view.skew;
    return Math.abs(told - known) > JITTER ? told : known;
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
      const passing = passes(row, this.#filter, this.#found);
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
  return (filter.state === "open" || filter.state === "idle") && filter.search === "";
}

/** Whether a line is later than another of its session; what is left of a purged one is the last. */
function isAfter(one: Row, other: Row): boolean {
  if ((one.purged_at === null) !== (other.purged_at === null)) return one.purged_at !== null;
  return one.seq === other.seq ? one.attendance > other.attendance : one.seq > other.seq;
}

/** Whether a session is to be shown; `found` are those that the server knows by what is searched for. */
export function passes(row: Row, filter: Filter, found: ReadonlySet<string> = new Set()): boolean {
  const wanted = filter.search.toLowerCase();
  const names = [row.room, row.agent_name, row.id, ...row.users];
  return (
    isIn(row, filter.state) &&
    (wanted === "" || found.has(row.id) || names.some((name) => name.toLowerCase().includes(wanted)))
  );
}

function isIn(row: Row, state: Filter["state"]): boolean {
  switch (state) {
    case "":
      return true;
    case "open":
      return row.state !== "ended";
    case "idle":
      return isIdle(row);
    case "parked":
      return (row.parked ?? 0) > 0;
    default:
      return row.state === state;
  }
}

/** Whether an agent is kept waiting for users who may never come: it costs, and nobody is talking to it. */
export function isIdle(row: Row): boolean {
  return row.idle_since !== null && row.state !== "ended";
}
