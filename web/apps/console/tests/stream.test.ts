import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Api } from "../src/api";
import { follow } from "../src/stream";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A server whose connections say something at once and are closed after a while; when each was made. */
function connections(lasting: number) {
  const made: number[] = [];
  const began = Date.now();
  class Closing extends Api {
    override async request(): Promise<Response> {
      made.push(Date.now() - began);
      const body = new ReadableStream({
        start(controller) {
          controller.enqueue(new TextEncoder().encode('data: {"type":"snapshot","at":""}\n\n'));
          setTimeout(() => controller.close(), lasting);
        },
      });
      return new Response(body);
    }
  }
  const aborter = new AbortController();
  void follow(new Closing(""), { take() {}, connected() {}, refused() {} }, aborter.signal);
  const pauses = () => made.slice(1).map((at, nth) => at - (made[nth] ?? 0) - lasting);
  return { pauses, stop: () => aborter.abort() };
}

test("waits longer and longer for a server that closes every connection at once", async () => {
  const { pauses, stop } = connections(10);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(pauses().length).toBeLessThan(15);
  expect(Math.max(...pauses())).toBeGreaterThan(4_000);
  stop();
});

test("comes back soon to one whose connections last", async () => {
  const { pauses, stop } = connections(20_000);
  await vi.advanceTimersByTimeAsync(120_000);
  expect(pauses().length).toBeGreaterThan(3);
  expect(Math.max(...pauses())).toBeLessThan(1_000);
  stop();
});
