import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { Api, type Page } from "../src/api";
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
  reason: null,
  by: null,
  outcome: null,
  detail: null,
  opened_at: new Date(opened).toISOString(),
  live_at: null,
  ended_at: null,
  users: ["ann"],
  agent: "agent-1",
  report: 0,
});

function storeOf() {
  const frames: (() => void)[] = [];
  const store = new Store(new Api(""), (work) => frames.push(work));
  const settle = () => {
    for (const frame of frames.splice(0)) frame();
    return store.view();
  };
  return { store, settle, frames };
}

/** A server with these sessions. */
class Server extends Api {
  constructor(readonly rows: readonly Row[]) {
    super("");
  }

  override async page({ state, search }: Readonly<Record<string, string>>): Promise<Page> {
    const filter = { state: (state ?? "") as Row["state"], search: search ?? "" };
    return { sessions: this.rows.filter((each) => passes(each, filter)), cursor: null };
  }
}

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
    const server = new Server([{ ...row("a", 1, "holding"), users: [] }, row("b", 1), row("c", 1, "ended")]);
    const store = new Store(server, (work) => work());
    const ids = (rows: readonly Row[]) => rows.map(({ id }) => id);
    store.filter({ state: "ended", search: "c" });
    store.take({ type: "snapshot", at: "" });
    await vi.waitFor(() => expect(store.view().loading).toBe(false));
    expect(ids(store.view().rows)).toEqual(["c"]);
    expect(ids(store.view().idle)).toEqual(["a"]);
    store.filter({ state: "", search: "b" });
    expect(ids(store.view().rows)).toEqual(["b"]);
    expect(ids(store.view().idle)).toEqual(["a"]);
  });

  test("forgets what was purged", () => {
    const { store, settle } = storeOf();
    store.take({ type: "session.live", at: "", session: row("a", 1) });
    store.take({ type: "session.purged", at: "", session: row("a", 2) });
    expect(settle().rows).toEqual([]);
  });
});

test("a filter finds sessions by state and by any name", () => {
  expect(passes(row("a", 1, "ended"), { state: "open", search: "" })).toBe(false);
  expect(passes(row("a", 1, "holding"), { state: "open", search: "ANN" })).toBe(true);
  expect(passes(row("a", 1), { state: "holding", search: "" })).toBe(false);
  expect(passes(row("a", 1), { state: "", search: "nobody" })).toBe(false);
});

test("an agent without users is idle", () => {
  expect(isIdle({ ...row("a", 1, "holding"), users: [] })).toBe(true);
  expect(isIdle(row("a", 1))).toBe(false);
});
