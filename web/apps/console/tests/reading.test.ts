import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { reading } from "../src/reading";

const NEVER = Number.POSITIVE_INFINITY;
const CALM = 700;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Reads that each take a while; when each began, and whether it was asked for. */
function reader(pause: number, takes = 0) {
  const began = Date.now();
  const reads: [number, boolean][] = [];
  const read = vi.fn(async (asked: boolean) => {
    reads.push([Math.round((Date.now() - began) / 10) * 10, asked]); // a timer of 0 takes a millisecond
    if (takes > 0) await new Promise((resolve) => setTimeout(resolve, takes));
    return pause;
  });
  return { reads, ...reading(read, CALM) };
}

test("reads at once, and not again unless asked", async () => {
  const { reads, ask } = reader(NEVER);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(reads).toEqual([[0, true]]);
  ask();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(reads).toEqual([
    [0, true],
    [60_000, true],
  ]);
});

test("reads by itself after as long as the last reading said", async () => {
  const { reads } = reader(3_000);
  await vi.advanceTimersByTimeAsync(7_000);
  expect(reads).toEqual([
    [0, true],
    [3_000, false],
    [6_000, false],
  ]);
});

test("makes one reading of much that happens at once", async () => {
  const { reads, ask } = reader(NEVER);
  await vi.advanceTimersByTimeAsync(100);
  for (let each = 0; each < 50; each += 1) ask();
  await vi.advanceTimersByTimeAsync(5_000);
  expect(reads).toEqual([
    [0, true],
    [CALM, true],
  ]);
});

test("does not wait for ever when it is asked all the time", async () => {
  const { reads, ask } = reader(NEVER);
  for (let each = 0; each < 300; each += 1) {
    ask();
    await vi.advanceTimersByTimeAsync(10);
  }
  expect(reads.map(([at]) => at)).toEqual([0, CALM, 2 * CALM, 3 * CALM, 4 * CALM]);
});

test("reads one at a time, and once more what changed meanwhile", async () => {
  const { reads, ask } = reader(NEVER, 100);
  await vi.advanceTimersByTimeAsync(50);
  ask();
  ask();
  await vi.advanceTimersByTimeAsync(49);
  expect(reads).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(reads).toEqual([
    [0, true],
    [CALM, true],
  ]);
});

test("is asked before its own time, which then begins anew", async () => {
  const { reads, ask } = reader(10_000);
  await vi.advanceTimersByTimeAsync(9_000);
  ask();
  await vi.advanceTimersByTimeAsync(11_000);
  expect(reads).toEqual([
    [0, true],
    [9_000, true],
    [19_000, false],
  ]);
});

test("stops, also in the middle of a reading", async () => {
  const { reads, ask, stop } = reader(100, 5_000);
  await vi.advanceTimersByTimeAsync(1_000);
  ask();
  stop();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(reads).toEqual([[0, true]]);
  ask();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(reads).toHaveLength(1);
});

test("spends a fifth of the time at most on what takes long", async () => {
  const { reads, ask } = reader(NEVER, 400);
  for (let each = 0; each < 600; each += 1) {
    ask();
    await vi.advanceTimersByTimeAsync(10);
  }
  expect(reads.map(([at]) => at)).toEqual([0, 2_000, 4_000, 6_000]);
});
