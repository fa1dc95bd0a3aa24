// Reading something again and again: whenever somebody says that it changed, and by itself after a while. No React.

export interface Reading {
  /** It has changed: read it soon. What is being read now counts all the same, and is read once more. */
  readonly ask: () => void;
  readonly stop: () => void;
}

/** Of the time at most one part in so many is spent reading: what takes long costs the server, too. */
const SHARE = 5;

/** Read at once, then whenever asked, one at a time and never more often than every `calm` milliseconds.
 * @param read - reads; `asked` is false if nobody said that anything changed. Returns after how many milliseconds to
 *   read again unasked, `Infinity` for never, and does not throw.
 */
export function reading(read: (asked: boolean) => Promise<number>, calm: number): Reading {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let asked = true;
  let busy = false;
  let stopped = false;
  let next = Number.NEGATIVE_INFINITY;

  const later = (pause: number) => {
    clearTimeout(timer);
    if (!stopped && pause !== Number.POSITIVE_INFINITY) timer = setTimeout(go, pause);
  };
  const soon = () => later(Math.max(0, next - Date.now()));

  async function go(): Promise<void> {
    const wasAsked = asked;
    const began = Date.now();
    [asked, busy] = [false, true];
    const pause = await read(wasAsked);
    busy = false;
    next = began + Math.max(calm, SHARE * (Date.now() - began));
    if (asked) soon();
    else later(pause);
  }

  soon();
  return {
    ask() {
      asked = true;
      if (!busy) soon();
    },
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
