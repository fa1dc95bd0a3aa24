// A session as swim-lanes: the control plane's spans, one lane after the other. Pure.

import type { LaneSpan } from "./api";

export interface Span {
  /** Milliseconds since the Unix epoch; `to` is null while it goes on. */
  readonly from: number;
  readonly to: number | null;
  /** What it is, such as a state's name; picks the colour. */
  readonly kind: string;
  /** For the tooltip and for screen readers. */
  readonly words: string;
}

export interface Lane {
  readonly key: string;
  readonly name: string;
  readonly spans: readonly Span[];
}

/** Sort spans into lanes, in the order in which these began; somebody who is named like a lane of ours has their own. */
export function lanesOf(told: readonly LaneSpan[]): Lane[] {
  const lanes = new Map<string, { key: string; name: string; spans: Span[] }>();
  for (const { lane, from, to, kind, words } of told) {
    const key = kind === "person" || kind === "agent" ? `who ${lane}` : lane;
    const spans = lanes.get(key)?.spans ?? [];
    spans.push({ from: Date.parse(from), to: to === null ? null : Date.parse(to), kind, words });
    lanes.set(key, { key, name: lane, spans });
  }
  return [...lanes.values()];
}
