import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Api, ApiError, type Page } from "../src/api";
import { isIdle, passes, type Row, Store } from "../src/store";

const row = (id: string, seq: number, state: Row["state"] = "live", opened = 0): Row => ({
  id,
  room: `room-${id}`,
  generation: 1,
  agent_name: "interviewer",
  state,
  since: "",
  until: null,
  seq,
  attendance: 0,
  reason: null,
  by: null,
  outcome: null,
  detail: null,
  opened_at: new Date(opened).toISOString(),
  live_at: null,
  ended_at: null,
  users: ["ann"],
  agent: "agent-1",
  idle_since: null,
  report: 0,
  purged_at: null,
});

const idle = (id: string, since = "2026-01-01T00:00:00Z"): Row => ({
  ...row(id, 1, "holding"),
  users: [],
  idle_since: since,
});

function storeOf(api = new Api("")) {
  const frames: (() => void)[] = [];
  const store = new Store(api, (work) => frames.push(work));
  const settle = () => {
    for (const frame of frames.splice(0)) frame();
    return store.view();
  };
  return { store, settle, frames };
}

/** A server with these sessions, on small pages. */
class Server extends Api {
  size = 2;
  /** What it answers instead. */
  fault: Error | null = null;
  /** Names by which it finds sessions, beside those in their lines. */
  aliases: Readonly<Record<string, string>> = {};
  asked = 0;

  constructor(public rows: readonly Row[]) {
    super("");
  }

  override async page({ state, search, cursor }: Readonly<Record<string, string>>): Promise<Page> {
    this.asked += 1;
    if (this.fault) throw this.fault;
    const filter = { state: (state ?? "") as Row["state"], search: search ?? "" };
    const found = new Set(search && this.aliases[search] ? [this.aliases[search]] : []);
    const all = this.rows.filter((each) => passes(each, filter, found));
    const next = Number(cursor ?? 0) + this.size;
    return { sessions: all.slice(next - this.size, next), cursor: next < all.length ? String(next) : null };
  }
}

const ids = (rows: readonly Row[]) => rows.map(({ id }) => id);
const SNAPSHOT = { type: "snapshot", at: "" };

describe("the store", () => {
  test("keeps the newest word about each session, newest session first, however they come", () => {
    const news = fc.array(
      fc.record({
        id: fc.constantFrom("a", "b", "c", "d"),
        seq: fc.nat(9),
        state: fc.constantFrom("live", "holding", "ended"),
      }),
      {
        maxLength: 40,
      },
    );
    fc.assert(
      fc.property(news, (events) => {
        const { store, settle } = storeOf();
        const latest = new Map<string, number>();
        for (const { id, seq, state } of events) {
          store.take({
            type: `session.${state}`,
            at: "",
            session: row(id, seq, state as Row["state"], id.charCodeAt(0)),
          });
          latest.set(id, Math.max(seq, latest.get(id) ?? 0));
        }
        store.filter({ state: "", search: "" });
        const { rows } = settle();
        expect(rows.map(({ id }) => id)).toEqual([...latest.keys()].sort().reverse());
        for (const { id, seq } of rows) expect(seq).toBe(latest.get(id));
      }),
    );
  });

  test("makes one list a frame of many changes", () => {
    const { store, frames } = storeOf();
    for (let seq = 0; seq < 200; seq += 1) store.take({ type: "session.live", at: "", session: row(`s${seq}`, seq) });
    expect(frames).toHaveLength(1);
  });

  test("forgets the oldest ended sessions when they become too many, and never what goes on", () => {
    const { store, settle } = storeOf();
    store.filter({ state: "", search: "" });
    store.take({ type: "session.live", at: "", session: row("open", 1, "live", 0) });
    for (let n = 1; n <= 2_500; n += 1)
      store.take({ type: "session.ended", at: "", session: row(`e${n}`, 1, "ended", n) });
    const { rows } = settle();
    expect(rows).toHaveLength(2_001);
    expect([rows[0]?.id, rows[1_999]?.id, rows[2_000]?.id]).toEqual(["e2500", "e501", "open"]);
    store.filter({ state: "open", search: "" });
    for (let n = 1; n <= 2_500; n += 1)
      store.take({ type: "session.ended", at: "", session: row(`f${n}`, 1, "ended", 3_000 + n) });
    settle();
    store.filter({ state: "", search: "" });
    expect(settle().rows).toHaveLength(2_001);
  });

  test("forgets them in a hidden tab, too, which has no frames", () => {
    const { store, settle } = storeOf();
    for (let n = 1; n <= 5_000; n += 1)
      store.take({ type: "session.ended", at: "", session: row(`e${n}`, 1, "ended", n) });
    store.filter({ state: "ended", search: "e1" });
    expect(settle().rows.map(({ id }) => id)).not.toContain("e1");
  });

  test("keeps an old ended session that is searched for", () => {
    const { store, settle } = storeOf();
    store.filter({ state: "ended", search: "needle" });
    store.take({ type: "session.ended", at: "", session: row("needle", 1, "ended", 0) });
    for (let n = 1; n <= 2_500; n += 1)
      store.take({ type: "session.ended", at: "", session: row(`e${n}`, 1, "ended", n) });
    expect(settle().rows.map(({ id }) => id)).toEqual(["needle"]);
  });

  test("says whenever a session is to be read again, until it is not shown any more", () => {
    const { store } = storeOf();
    let heard = 0;
    const stop = store.hear("a", () => {
      heard += 1;
    });
    store.take({ type: "session.live", at: "", session: row("a", 1) });
    store.take({ type: "session.live", at: "", session: row("b", 1) });
    store.take({ type: "snapshot", at: "", resumed: true });
    expect(heard).toBe(1);
    store.take({ type: "snapshot", at: "" });
    expect(heard).toBe(2);
    stop();
    store.take({ type: "session.live", at: "", session: row("a", 2) });
    expect(heard).toBe(2);
  });

  test("knows every idle agent, whatever is shown", async () => {
    const server = new Server([idle("a"), row("b", 1), row("c", 1, "ended")]);
    const store = new Store(server, (work) => work());
    store.filter({ state: "ended", search: "c" });
    store.take({ type: "snapshot", at: "" });
    await vi.waitFor(() => expect(store.view().loading).toBe(false));
    expect(ids(store.view().rows)).toEqual(["c"]);
    expect(ids(store.view().idle)).toEqual(["a"]);
    store.filter({ state: "", search: "b" });
    expect(ids(store.view().rows)).toEqual(["b"]);
    expect(ids(store.view().idle)).toEqual(["a"]);
  });

  test("keeps of what was purged the line that is left, whatever comes late", () => {
    const { store, settle } = storeOf();
    store.filter({ state: "", search: "" });
    const before: Row = { ...row("a", 2, "ended"), attendance: 3, parked: 1 };
    const left: Row = { ...row("a", 2, "ended"), room: "a", users: [], agent: null, purged_at: "2026-01-01T00:00:00Z" };
    store.take({ type: "session.ended", at: "", session: before });
    store.take({ type: "session.purged", at: "", session: left });
    store.take({ type: "session.ended", at: "", session: before });
    expect(settle().rows).toEqual([left]);
  });

  test("takes the word that knows best who is there, of those about one state", () => {
    const { store, settle } = storeOf();
    const there = (attendance: number, ...users: string[]): Row => ({ ...row("a", 1), attendance, users });
    store.filter({ state: "", search: "" });
    store.take({ type: "session.changed", at: "", session: there(2, "ann", "bob") });
    store.take({ type: "session.live", at: "", session: there(1, "ann") });
    expect(settle().rows[0]?.users).toEqual(["ann", "bob"]);
    store.take({ type: "session.holding", at: "", session: { ...there(0), seq: 2 } });
    expect(settle().rows[0]?.users).toEqual([]);
  });

  test("shows what the server finds by a name that is not in its line", async () => {
    const server = new Server([row("a", 1), row("b", 1)]);
    server.aliases = { RM_1: "a" };
    const store = new Store(server, (work) => work());
    store.filter({ state: "open", search: "RM_1" });
    await vi.waitFor(() => expect(ids(store.view().rows)).toEqual(["a"]));
    store.filter({ state: "open", search: "RM_2" });
    expect(store.view().rows).toEqual([]);
  });

  test("shows the idle, and those of which something was given up", async () => {
    const store = new Store(new Server([idle("a"), row("b", 1), { ...idle("c"), state: "ended" }]), (work) => work());
    store.filter({ state: "idle", search: "" });
    await vi.waitFor(() => expect(store.view().loading).toBe(false));
    expect(ids(store.view().rows)).toEqual(["a"]);
    store.filter({ state: "parked", search: "" });
    expect(store.view().rows).toEqual([]);
    store.take({ type: "session.live", at: "", session: { ...row("b", 1), parked: 2 } as Row });
    expect(ids(store.view().rows)).toEqual(["b"]);
    store.take({ type: "session.ended", at: "", session: row("b", 2, "ended") });
    expect(store.view().rows[0]?.parked).toBe(2); // the stream does not say, so it is as it was
  });

  test("knows what the clocks differ by, and does not follow the network's whims", () => {
    const { store } = storeOf();
    const told = (skew: number) => {
      store.take({ type: "counts", at: new Date(Date.now() + skew).toISOString(), counts: {} });
      return store.view().skew;
    };
    const first = told(60_000);
    expect(Math.abs(first - 60_000)).toBeLessThan(1_000);
    expect(told(60_400)).toBe(first);
    expect(told(-5_000)).toBeLessThan(-3_000);
  });

  test("says when there are older sessions than are kept", async () => {
    const many = Array.from({ length: 2_002 }, (_, n) => row(`e${n}`, 1, "ended", n));
    const server = new Server(many);
    server.size = 200;
    const { store, settle } = storeOf(server);
    store.filter({ state: "ended", search: "" });
    await vi.waitFor(() => expect(store.view().loading).toBe(false));
    expect(store.view().cut).toBe(true);
    expect(settle().rows).toHaveLength(2_000);
    store.filter({ state: "ended", search: "e200" });
    await vi.waitFor(() => expect(store.view().loading).toBe(false));
    expect(store.view().cut).toBe(false);
  });
});

describe("a list whose reading fails", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  function broken(...rows: Row[]) {
    const server = new Server(rows);
    server.fault = new TypeError("no network");
    return { server, store: new Store(server, (work) => work()) };
  }

  test("is read on until it is whole", async () => {
    const { server, store } = broken(row("a", 1), row("b", 1), row("c", 1));
    store.filter({ state: "open", search: "" });
    await vi.advanceTimersByTimeAsync(3_000);
    expect([server.asked, store.view().loading]).toEqual([3, true]); // at 0, 0.5 and 1.5 s
    server.fault = null;
    await vi.advanceTimersByTimeAsync(1_000);
    expect(ids(store.view().rows)).toEqual(["c", "b", "a"]);
    expect(store.view().loading).toBe(false);
  });

  test("is not asked for again when the server does not take the question", async () => {
    const { server, store } = broken();
    server.fault = new ApiError(400, "no such state");
    store.filter({ state: "open", search: "" });
    await vi.advanceTimersByTimeAsync(60_000);
    expect([server.asked, store.view().loading]).toEqual([1, false]);
  });

  test("is read at once when the stream goes on, and not twice when it is whole", async () => {
    const { server, store } = broken(row("a", 1));
    store.filter({ state: "open", search: "" });
    store.take(SNAPSHOT);
    await vi.advanceTimersByTimeAsync(16_000);
    server.fault = null;
    store.take({ ...SNAPSHOT, resumed: true });
    await vi.advanceTimersByTimeAsync(0);
    expect(ids(store.view().rows)).toEqual(["a"]);
    const { asked } = server;
    store.take({ ...SNAPSHOT, resumed: true });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(server.asked).toBe(asked);
  });

  test("shows what was there before, until it is known what is gone", async () => {
    const { server, store } = broken();
    for (const id of ["a", "b", "c"]) store.take({ type: "session.live", at: "", session: row(id, 5) });
    store.filter({ state: "open", search: "" });
    store.take(SNAPSHOT);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(ids(store.view().rows)).toEqual(["c", "b", "a"]);
    store.take({ type: "session.live", at: "", session: row("c", 6) }); // heard of since
    [server.fault, server.rows] = [null, [row("a", 1)]]; // another database, which counts anew
    await vi.advanceTimersByTimeAsync(10_000);
    expect(store.view().rows.map(({ id, seq }) => [id, seq])).toEqual([
      ["c", 6],
      ["a", 1],
    ]);
  });
});

test("a filter finds sessions by state and by any name", () => {
  expect(passes(row("a", 1, "ended"), { state: "open", search: "" })).toBe(false);
  expect(passes(row("a", 1, "holding"), { state: "open", search: "ANN" })).toBe(true);
  expect(passes(row("a", 1), { state: "holding", search: "" })).toBe(false);
  expect(passes(row("a", 1), { state: "", search: "nobody" })).toBe(false);
});

test("an agent that is kept for no user is idle, until the session has ended", () => {
  expect(isIdle(idle("a"))).toBe(true);
  expect(isIdle(row("a", 1))).toBe(false);
  expect(isIdle({ ...idle("a"), state: "ended" })).toBe(false);
});
