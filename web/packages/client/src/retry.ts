/** How long to wait before trying again. */
import type { ReconnectPolicy } from "livekit-client";

/** Milliseconds before the first, second, … try; the last one repeats. */
const PAUSES = [300, 500, 1_000, 1_500, 2_000, 3_000];
/** Of a pause, by how much it varies, so that not all pages come back to a restarted server at once. */
const SPREAD = 0.3;
/** Milliseconds after which livekit-client gives up and leaves the trying to us, who ask the session's state first. */
const GIVE_UP_AFTER = 30_000;

/** Milliseconds; `tries` is how often it was tried already. */
export function pauseBefore(tries: number): number {
  return (PAUSES[tries] ?? 3_000) * (1 + SPREAD * (2 * Math.random() - 1));
}

/** For livekit-client, whose own pauses grow to 7 s: a network that is back should be used at once. */
export const RECONNECT_POLICY: ReconnectPolicy = {
  nextRetryDelayInMs: ({ retryCount, elapsedMs }) =>
    elapsedMs > GIVE_UP_AFTER ? null : retryCount && pauseBefore(retryCount - 1),
};
