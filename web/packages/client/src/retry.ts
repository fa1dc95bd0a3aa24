/** How long to wait before trying again. */
import type { ReconnectPolicy } from "livekit-client";

/**
 * Milliseconds before the first, second, … try; after these, before each. The longest and livekit-client's way back,
 * which waits 2 s for nothing, take less than 3 s together, within which a network that is back is used.
 */
const PAUSES = [300, 500];
const LONGEST = 600;
/** Of a pause, by how much it varies, so that not all pages come back to a restarted server at once. */
const SPREAD = 0.25;
/** Milliseconds after which livekit-client gives up and leaves the trying to us, who ask the session's state first. */
const GIVE_UP_AFTER = 30_000;

/** Milliseconds; `tries` is how often it was tried already. */
export function pauseBefore(tries: number): number {
  return (PAUSES[tries] ?? LONGEST) * (1 + SPREAD * (2 * Math.random() - 1));
}

/** For livekit-client, whose own pauses grow to 7 s: a network that is back should be used at once. */
export const RECONNECT_POLICY: ReconnectPolicy = {
  nextRetryDelayInMs: ({ retryCount, elapsedMs }) =>
    elapsedMs > GIVE_UP_AFTER ? null : retryCount && pauseBefore(retryCount - 1),
};
