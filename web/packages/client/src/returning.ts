/**
 * The way back: what to do when the connection is lost, closed or went astray, one step after the other, for as long as
 * the session lives. The control plane is asked first: with a token of before, joining may make a room anew that was
 * deleted, with a new agent that remembers nothing.
 */
import type { Standing } from "./control";
import type { Happened, Link, Model } from "./model";
import { recordInMetadata } from "./record";
import { Pause, pauseBefore } from "./retry";

/** Milliseconds between two questions about a room that was closed. */
const CLOSED_EVERY_MS = 500;
/** Milliseconds to wait for a closure's reason; the control plane may have to infer it from two looks at the room. */
const CLOSED_LIMIT_MS = { deleted: 30_000, not_found: 30_000, removed: 8_000 } as const;
/** Milliseconds for a room that was made anew to be adopted by the session. */
const ASTRAY_LIMIT_MS = 10_000;

export interface Ways {
  model(): Model;
  tell(happened: Happened): void;
  /** Ask how the session stands; what is known is told by then. */
  ask(): Promise<Standing>;
  /** Join; `fresh` with a new token. Never rejects. */
  join(fresh: boolean): Promise<void>;
  /** Whether joining is possible at all. */
  possible(): boolean;
  leave(): Promise<void>;
  /** The room's metadata. */
  metadata(): string | undefined;
}

type Trouble = Extract<Link, { is: "lost" | "closed" | "astray" | "failed" }>;

export class Returning {
  readonly #ways: Ways;
  readonly #clock: () => number;
  readonly #pause = new Pause();
  #busy = false;
  #stopped = false;
  #tries = 0;

  constructor(ways: Ways, clock: () => number) {
    this.#ways = ways;
    this.#clock = clock;
  }

  /** Look whether there is something to do, and do it. Call it after every change. */
  attend(): void {
    this.#stopped = false;
    if (!this.#busy && this.#trouble() !== null) void this.#work();
  }

  /** Do not wait with the next try: something changed for the better, or the user asks for it. */
  hurry(): void {
    this.#tries = 0;
    this.#pause.cut();
  }

  stop(): void {
    this.#stopped = true;
    this.#pause.cut();
  }

  /** What is to be put right; null when nothing is. */
  #trouble(): Trouble | null {
    const { view, link, endRequested } = this.#ways.model();
    if (this.#stopped || view.state === "ended") return null;
    switch (link.is) {
      case "closed":
      case "astray":
        return link;
      case "lost":
        return endRequested || !this.#ways.possible() ? null : link;
      case "failed":
        return link.failure === "token" || endRequested || !this.#ways.possible() ? null : link;
      default:
        return null;
    }
  }

  async #work(): Promise<void> {
    this.#busy = true;
    this.#tries = 0;
    let kind: Trouble["is"] | null = null;
    let begunAt = this.#clock();
    try {
      for (let trouble = this.#trouble(); trouble !== null; trouble = this.#trouble()) {
        if (trouble.is !== kind) {
          this.#tries = 0;
          kind = trouble.is;
          begunAt = this.#clock();
        }
        // Also before the first try to get back in: a page that is going away must not be seen to return.
        await this.#pause.take(pauseFor(trouble, this.#tries));
        this.#tries += 1;
        const still = this.#trouble();
        if (still?.is === kind) await this.#step(still, this.#clock() - begunAt);
      }
    } finally {
      this.#busy = false;
    }
  }

  async #step(trouble: Trouble, elapsed: number): Promise<void> {
    const standing = await this.#ways.ask();
    if (this.#trouble()?.is !== trouble.is) return;
    switch (trouble.is) {
      case "lost":
      case "failed":
        return this.#ways.join(false);
      case "closed":
        if (standing.is === "unknown") this.#giveUp(false);
        else if (elapsed > CLOSED_LIMIT_MS[trouble.how]) this.#giveUp(true);
        else if (trouble.how === "not_found" && standing.is === "known") await this.#ways.join(true);
        return;
      case "astray":
        return this.#findOut(trouble.sid, standing, elapsed);
    }
  }

  /** Is this the session's new room, or one that nobody wanted? */
  async #findOut(sid: string, standing: Standing, elapsed: number): Promise<void> {
    const written = recordInMetadata(this.#ways.metadata());
    const { session } = this.#ways.model();
    if (written !== null && written.session === session && written.state !== "ended") {
      this.#ways.tell({ type: "RoomAccepted", at: this.#clock(), sid });
    } else if (standing.is === "unknown") {
      this.#giveUp(false);
      await this.#ways.leave();
    } else if (elapsed > ASTRAY_LIMIT_MS) {
      await this.#ways.leave();
    }
  }

  #giveUp(kept: boolean): void {
    this.#ways.tell({ type: "NothingKnown", at: this.#clock(), kept });
  }
}

function pauseFor(trouble: Trouble, tries: number): number {
  if (trouble.is === "lost" || trouble.is === "failed") return pauseBefore(tries, Math.random());
  return tries === 0 ? 0 : CLOSED_EVERY_MS;
}
