/** Collects what this browser saw for the session's journal, and hands it over when that is possible. */
import type { Evidence } from "./control";

/** Kept while the network is gone; the oldest make room. */
const KEPT = 40;
/** Sent in a minute; the control plane takes 60. */
const A_MINUTE = 40;

export class Witness {
  readonly #clock: () => number;
  readonly #send: (evidence: Evidence) => Promise<boolean>;
  readonly #waiting: Evidence[] = [];
  #sent: number[] = [];
  #sending = false;

  /**
   * @param clock - Milliseconds since the epoch.
   * @param send - Resolves to whether it need not be sent again.
   */
  constructor(clock: () => number, send: (evidence: Evidence) => Promise<boolean>) {
    this.#clock = clock;
    this.#send = send;
  }

  /** Note what was seen, and send it if possible. Never a message of livekit-client: those may carry the token. */
  note(what: string, data: Evidence["data"] = {}): void {
    this.#waiting.push({ what, data, said_at: this.#clock() });
    if (this.#waiting.length > KEPT) this.#waiting.shift();
    void this.flush();
  }

  /** Send this now, since there may be no later. */
  noteLast(what: string): void {
    void this.#send({ what, data: {}, said_at: this.#clock() });
  }

  /** Send what waits, in order, until that fails. */
  async flush(): Promise<void> {
    if (this.#sending) return;
    this.#sending = true;
    try {
      for (;;) {
        const [first] = this.#waiting;
        this.#sent = this.#sent.filter((at) => at > this.#clock() - 60_000);
        if (first === undefined || this.#sent.length >= A_MINUTE || !(await this.#send(first))) return;
        this.#sent.push(this.#clock());
        const index = this.#waiting.indexOf(first);
        if (index !== -1) this.#waiting.splice(index, 1);
      }
    } finally {
      this.#sending = false;
    }
  }
}
