import { useEffect, useState } from "react";
import { clock } from "./words";

/** How long the conversation has been going on. */
export function Elapsed({ since }: { since: number }) {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return (
    <span className="elapsed" role="timer" aria-label="Time">
      {clock(now - since)}
    </span>
  );
}
