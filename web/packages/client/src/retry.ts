/** How long to wait before trying again. */
import type { ReconnectPolicy } from "livekit-client";

/** Milliseconds before the first try. */
const FIRST = 300;
/**
 * Milliseconds before each other. With livekit-client's way back, which waits 2 s for nothing, this takes less than 3 s,
 * within which a network that is back is used.
 */
const NEXT = 600;
/**
 * Milliseconds after which livekit-client gives up and leaves the trying to us, who ask first whether anybody is there:
 * after some twenty WebSockets that failed, Chromium holds back the next one for up to 5 s.
 */
const GIVE_UP_AFTER = 10_000;

/** Milliseconds, give or take a quarter: not all pages are to come back to a restarted server at once. */
export function pauseBefore(tries: number): number {
  return (tries ? NEXT : FIRST) * (0.75 + Math.random() / 2);
}

/** For livekit-client, whose own pauses grow to 7 s: a network that is back should be used at once. */
export const RECONNECT_POLICY: ReconnectPolicy = {
  nextRetryDelayInMs: ({ retryCount, elapsedMs }) =>
    elapsedMs > GIVE_UP_AFTER ? null : retryCount && pauseBefore(retryCount - 1),
};
