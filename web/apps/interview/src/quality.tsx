import type { Quality } from "@roomkeeper/react";
import { useWords } from "./words";

const BARS: Readonly<Record<Quality, number>> = { unknown: 0, excellent: 3, good: 3, poor: 1, lost: 0 };

/** How good the user's own connection is: as bars, and in words where it matters. */
export function ConnectionQuality({ quality }: { quality: Quality }) {
  const { conversation } = useWords();
  if (quality === "unknown") return null;
  const fine = BARS[quality] > 1;
  return (
    <span className={fine ? "quality" : "quality weak"}>
      <svg viewBox="0 0 16 16" aria-hidden="true" focusable="false">
        {[0, 1, 2].map((bar) => (
          <rect
            key={bar}
            className={bar < BARS[quality] ? "lit" : ""}
            x={1 + bar * 5}
            y={9 - bar * 4}
            width="4"
            height={6 + bar * 4}
            rx="1"
          />
        ))}
      </svg>
      <span className={fine ? "visually-hidden" : ""}>{conversation.quality[quality]}</span>
    </span>
  );
}
