/** Collects what this browser saw for the session's journal, and hands it over when that is possible. */
import type { Evidence } from "./control.js";

/** Kept while the network is gone, where the oldest make room; and sent in a minute, of which the control plane takes 60. */
const MOST = 40;

export interface Witness {
  /** Note what was seen, and send it if possible. Never a message of livekit-client: those may carry the token. */
  note(what: string, data?: Evidence["data"]): void;
  /** Send this now, since there may be no later. */
  noteLast(what: string): void;
  /** Send what waits, in order, until that fails. */
  flush(): Promise<void>;
}

/**
 * @param clock - Milliseconds since the epoch.
 * @param send - Resolves to whether it need not be sent again. Never rejects.
 */
export function witness(clock: () => number, send: (evidence: Evidence) => Promise<boolean>): Witness {
  const waiting: Evidence[] = [];
  let sent: number[] = [];
  let sending = false;

  const flush = async () => {
    if (sending) return;
    sending = true;
    for (let first = waiting[0]; first; first = waiting[0]) {
      sent = sent.filter((at) => at > clock() - 60_000);
      if (sent.length >= MOST || !(await send(first))) break;
      sent.push(clock());
      if (waiting[0] === first) waiting.shift(); // else it made room meanwhile
    }
    sending = false;
  };
  return {
    note(what, data = {}) {
      waiting.push({ what, data, said_at: clock() });
      if (waiting.length > MOST) waiting.shift();
      void flush();
    },
    noteLast: (what) => void send({ what, data: {}, said_at: clock() }),
    flush,
  };
}
