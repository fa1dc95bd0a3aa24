import { useEffect, useState } from "react";
import { clock } from "./format";
import { useWords } from "./words";

/** The time, now and each second from now on; milliseconds since the epoch. */
export function useNow(): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return now;
}

/** Milliseconds before the limit from which on the time is marked. */
const SOON_MS = 120_000;

interface Props {
  /** Milliseconds since the epoch, by this browser's clock like the other. */
  readonly since: number;
  /** When the time limit ends the conversation; null when there is none. */
  readonly until: number | null;
}

/** How long the conversation has been going on, and how long it may. */
export function Elapsed({ since, until }: Props) {
  const { conversation } = useWords();
  const now = useNow();
  const elapsed = clock(now - since);
  const soon = until !== null && until - now < SOON_MS;
  return (
    <span className={soon ? "elapsed soon" : "elapsed"} role="timer" aria-label={conversation.time}>
      {until === null ? elapsed : conversation.ofLimit(elapsed, clock(until - since))}
    </span>
  );
}
