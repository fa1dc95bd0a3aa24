import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Api, ApiError, type Details, type Explanation } from "../src/api";
import { type Everything, watch } from "../src/watching";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A session of a server, and what is shown of it. */
class Desk extends Api {
  details = { id: "S_1", state: "live", report: 0, purged_at: null, deliveries: [], deeds: [] } as unknown as Details;
  journal = 1;
  fault: Error | null = null;
  /** What was asked for, and when. */
  asked: string[] = [];
  shown: Everything | null = null;
  problem: unknown = null;
  heard = new Map<string, () => void>();
  #began = Date.now();

  constructor() {
    super("");
  }

  override show = async (id: string) => {
    this.#ask(`show ${id}`);
    return this.details;
  };

  override explain = async (id: string) => {
    this.#ask(`explain ${id}`);
    if (this.details.purged_at) throw new ApiError(410, "gone");
    return { events: Array.from({ length: this.journal }) } as unknown as Explanation;
  };

  #ask(what: string) {
    this.asked.push(`${Math.round((Date.now() - this.#began) / 100) / 10} ${what}`);
    if (this.fault) throw this.fault;
  }

  watch(name = "S_1") {
    const hear = (id: string, listener: () => void) => {
      this.heard.set(id, listener);
      return () => void this.heard.delete(id);
    };
    const show = (shown: Everything) => {
      [this.shown, this.problem] = [shown, null];
    };
    const fail = (problem: unknown) => {
      this.problem = problem;
    };
    return watch(this, { hear }, name, { show, fail });
  }

  change(details: Partial<Details>) {
    this.details = { ...this.details, ...details };
  }

  /** What is asked for while time goes by. */
  async during(milliseconds: number): Promise<string[]> {
    this.asked = [];
    await vi.advanceTimersByTimeAsync(milliseconds);
    return this.asked;
  }
}

describe("a session that is watched", () => {
  test("is read at once, when the stream speaks of it, and seldom by itself", async () => {
    const desk = new Desk();
    desk.watch();
    expect(await desk.during(9_000)).toEqual(["0 show S_1", "0 explain S_1"]);
    desk.heard.get("S_1")?.();
    expect(await desk.during(9_000)).toEqual(["9 show S_1", "9 explain S_1"]);
    expect(await desk.during(9_000)).toEqual(["19 show S_1", "19 explain S_1"]);
  });

  test("is rendered anew only if its journal has grown", async () => {
    const desk = new Desk();
    desk.watch();
    await desk.during(0);
    const first = desk.shown?.explanation;
    await desk.during(10_000);
    expect(desk.shown?.explanation).toBe(first);
    desk.journal += 1;
    await desk.during(10_000);
    expect(desk.shown?.explanation?.events).toHaveLength(2);
  });

  test("is read for its details while it settles, wholly when that is over, and then no more", async () => {
    const desk = new Desk();
    desk.change({ state: "ended" });
    desk.watch();
    expect(await desk.during(4_000)).toEqual(["0 show S_1", "0 explain S_1", "3 show S_1"]);
    desk.heard.get("S_1")?.();
    expect(await desk.during(1_000)).toEqual(["4 show S_1", "4 explain S_1"]);
    desk.change({ report: 1 });
    expect(await desk.during(60_000)).toEqual(["7 show S_1", "7 show S_1", "7 explain S_1"]);
  });

  test("stays as it was shown while it cannot be read, and is tried again less and less often", async () => {
    const desk = new Desk();
    desk.watch();
    await desk.during(9_000);
    desk.fault = new TypeError("no network");
    const tries = await desk.during(40_000);
    expect(tries.filter((each) => each.includes("show")).map((each) => Number(each.split(" ")[0]))).toEqual([
      10, 10.5, 11.5, 13.5, 17.5, 25.5, 35.5, 45.5,
    ]);
    expect(desk.problem).toBe(desk.fault);
    expect(desk.shown).not.toBeNull();
    desk.fault = null;
    await desk.during(10_000);
    expect(desk.problem).toBeNull();
  });

  test("is read wholly after a failure, although it settles", async () => {
    const desk = new Desk();
    desk.change({ state: "ended" });
    desk.watch();
    await desk.during(1_000);
    desk.fault = new ApiError(503, "busy");
    desk.heard.get("S_1")?.();
    await desk.during(100);
    desk.fault = null;
    expect(await desk.during(1_000)).toEqual(["1.5 show S_1", "1.5 explain S_1"]);
  });

  test("that there is not is not asked for again", async () => {
    const desk = new Desk();
    desk.fault = new ApiError(404, "none");
    desk.watch();
    expect(await desk.during(60_000)).toHaveLength(2);
    expect(desk.problem).toBe(desk.fault);
  });

  test("is heard of by its id, however the address names it", async () => {
    const desk = new Desk();
    const { stop } = desk.watch("tea");
    await desk.during(0);
    expect([...desk.heard.keys()]).toEqual(["S_1"]);
    desk.heard.get("S_1")?.();
    expect(await desk.during(1_000)).toEqual(["0.7 show S_1", "0.7 explain S_1"]);
    stop();
    expect(desk.heard.size).toBe(0);
    expect(await desk.during(60_000)).toEqual([]);
  });

  test("that is purged is shown without what was said, and read no more", async () => {
    const desk = new Desk();
    desk.change({ state: "ended", report: 1 });
    desk.watch();
    await desk.during(1_000);
    desk.change({ purged_at: "now" });
    desk.heard.get("S_1")?.();
    expect(await desk.during(60_000)).toHaveLength(2);
    expect(desk.shown).toEqual({ details: desk.details, explanation: null });
    expect(desk.problem).toBeNull();
  });

  test("is not shown any more once it is stopped", async () => {
    const desk = new Desk();
    const { stop } = desk.watch("tea");
    vi.advanceTimersByTime(0); // the answers are on their way
    stop();
    await desk.during(60_000);
    expect(desk.shown).toBeNull();
    expect(desk.heard.size).toBe(0);
  });
});
