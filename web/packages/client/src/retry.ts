/** How long to wait before trying again. */
import type { ReconnectPolicy } from "livekit-client";

/** Milliseconds before the first, second, … try; the last one repeats. */
const PAUSES = [300, 500, 1_000, 1_500, 2_000, 3_000];
/** Of a pause, by how much it varies, so that not all pages come back to a restarted server at once. */
const SPREAD = 0.3;
/** Milliseconds after which livekit-client gives up and leaves the trying to us, who ask the session's state first. */
const GIVE_UP_AFTER = 30_000;

/** Milliseconds; `tries` is how often it was tried already, `random` from 0 to 1. */
export function pauseBefore(tries: number, random: number): number {
  const pause = PAUSES[Math.min(tries, PAUSES.length - 1)] ?? 0;
  return pause * (1 + SPREAD * (2 * random - 1));
}

/** For livekit-client, whose own pauses grow to 7 s: a network that is back should be used at once. */
export const RECONNECT_POLICY: ReconnectPolicy = {
  nextRetryDelayInMs: ({ retryCount, elapsedMs }) =>
    elapsedMs > GIVE_UP_AFTER ? null : retryCount === 0 ? 0 : pauseBefore(retryCount - 1, Math.random()),
};

/** A wait that can be cut short. */
export class Pause {
  #end: (() => void) | null = null;

  /** Wait that many milliseconds, or until `cut` is called. */
  async take(milliseconds: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#end = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#end = null;
  }

  readonly cut = (): void => this.#end?.();
}
