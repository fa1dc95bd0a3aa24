/**
 * The way back: what to do when the connection is lost, closed or went astray, one step after the other, for as long as
 * the session lives. The control plane is asked first: with a token of before, joining may make a room anew that was
 * deleted, with a new agent that remembers nothing.
 */
import type { Room } from "livekit-client";
import type { Standing } from "./control.js";
import type { Link, Model, Tell } from "./model.js";
import { recordInMetadata } from "./record.js";
import { pauseBefore } from "./retry.js";

/** Milliseconds between two questions about a room that was closed. */
const CLOSED_EVERY_MS = 500;
/** Milliseconds to wait for a closure's reason; the control plane may have to infer it from two looks at the room. */
const CLOSED_LIMIT_MS = 30_000;
/** The same where LiveKit has named one. */
const REMOVED_LIMIT_MS = 8_000;
/** Milliseconds for a room that was made anew to be adopted by the session. */
const ASTRAY_LIMIT_MS = 10_000;

export interface Ways {
  readonly room: Room;
  readonly latest: () => Model;
  readonly clock: () => number;
  readonly tell: Tell;
  /** Ask how the session stands; what is known is told by then. */
  ask(): Promise<Standing>;
  /** Join; `fresh` with a new token. Never rejects. */
  join(fresh: boolean): Promise<void>;
  /** Whether joining is possible at all. */
  possible(): boolean;
  leave(): Promise<void>;
}

type Trouble = Extract<Link, { is: "lost" | "closed" | "astray" | "failed" }>;

export interface Returning {
  /** Look whether there is something to do, and do it. Call it after every change. */
  attend(): void;
  /** Do not wait with the next try: something changed for the better, or the user asks for it. */
  hurry(): void;
  stop(): void;
}

export function returning({ room, latest, clock, tell, ask, join, possible, leave }: Ways): Returning {
  let busy = false;
  let stopped = false;
  let tries = 0;
  let cutPause = () => {};

  /** What is to be put right; null when nothing is. */
  const troubleNow = (): Trouble | null => {
    const { view, link, endRequested } = latest();
    if (stopped || view.state === "ended") return null;
    if (link.is === "closed" || link.is === "astray") return link;
    const joinable = link.is === "lost" || (link.is === "failed" && link.failure !== "token");
    return joinable && !endRequested && possible() ? link : null;
  };

  const pause = (milliseconds: number) =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      cutPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });

  const giveUp = (kept: boolean) => tell({ type: "NothingKnown", kept });

  const step = async (trouble: Trouble, elapsed: number) => {
    const standing = await ask();
    if (troubleNow()?.is !== trouble.is) return;
    const unknown = standing.is === "unknown";
    if (trouble.is === "closed") {
      const { how } = trouble;
      if (unknown || elapsed > (how === "removed" ? REMOVED_LIMIT_MS : CLOSED_LIMIT_MS)) giveUp(!unknown);
      else if (how === "not_found" && standing.is === "known") await join(true);
    } else if (trouble.is === "astray") {
      // Is this the session's new room, or one that nobody wanted?
      const written = recordInMetadata(room.metadata);
      if (written && written.session === latest().session && written.state !== "ended") {
        tell({ type: "RoomAccepted" });
      } else if (unknown || elapsed > ASTRAY_LIMIT_MS) {
        if (unknown) giveUp(false);
        await leave();
      }
    } else await join(false);
  };

  const work = async () => {
    busy = true;
    let kind: Trouble["is"] | null = null;
    let begunAt = 0;
    for (let trouble = troubleNow(); trouble; trouble = troubleNow()) {
      if (trouble.is !== kind) {
        tries = 0;
        kind = trouble.is;
        begunAt = clock();
      }
      // Also before the first try to get back in: a page that is going away must not be seen to return.
      const joins = kind === "lost" || kind === "failed";
      await pause(joins ? pauseBefore(tries) : tries && CLOSED_EVERY_MS);
      tries += 1;
      const still = troubleNow();
      if (still?.is === kind) await step(still, clock() - begunAt);
    }
    busy = false;
  };

  const hurry = () => {
    tries = 0;
    cutPause();
  };
  return {
    attend() {
      stopped = false;
      if (!busy) void work();
    },
    hurry,
    stop() {
      stopped = true;
      cutPause();
    },
  };
}
