/** A conversation that goes on, in virtual time. */
import { afterEach, beforeEach, expect, vi } from "vitest";
import type { View } from "../../src";
import { type Stage, stage, written } from "./stage";

/** Give each test of a file a clock of its own, and a browser that is answered at once. */
export function inVirtualTime(): void {
  beforeEach(() => {
    vi.useFakeTimers({ now: Date.UTC(2026, 0, 1) });
    vi.stubGlobal("fetch", () => Promise.resolve(new Response("OK")));
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });
}

export const pass = (milliseconds: number) => vi.advanceTimersByTimeAsync(milliseconds);
export const view = ({ session }: Stage): View => session.snapshot().view;
export const ended = written("ended", 9, { reason: "completed", by: "agent", message: "Thank you!" });

/** Begin a conversation, as the control plane knows. */
export async function talk(): Promise<Stage> {
  const scene = stage();
  await pass(1);
  scene.room.flow(true);
  scene.room.agentJoins();
  scene.control.standing = { is: "known", record: written("live", 2) };
  scene.room.write(written("live", 2));
  await pass(1_000);
  expect(view(scene)).toMatchObject({ state: "live", agent: "listening" });
  scene.shown.length = 0;
  return scene;
}
