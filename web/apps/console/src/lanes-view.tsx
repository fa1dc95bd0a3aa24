import { memo } from "react";
import type { Lane } from "./lanes";
import { clock } from "./words";

interface LanesProps {
  readonly lanes: readonly Lane[];
  /** Milliseconds since the Unix epoch. */
  readonly from: number;
  readonly to: number;
}

/** Units of the drawing's width; its height is in pixels. */
const WIDTH = 1000;
const HEIGHT = 26;
const MOST_TICKS = 5;

/** The swim-lanes, over one axis of time. */
export const Lanes = memo(function Lanes({ lanes, from, to }: LanesProps) {
  const until = Math.max(to, ...lanes.flatMap((lane) => lane.spans.map((span) => span.to ?? to)));
  const x = (at: number) => (WIDTH * Math.max(0, at - from)) / Math.max(1, until - from);
  const ticks = Math.max(2, Math.min(MOST_TICKS, 1 + Math.floor((until - from) / 1000))); // no second twice
  return (
    <section className="lanes" aria-label="Who was there when">
      {lanes.map((lane) => (
        <div className="lane" key={lane.key}>
          <span className="name">{lane.name}</span>
          <svg
            viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
            preserveAspectRatio="none"
            role="img"
            aria-label={`${lane.name}: ${lane.spans.map((span) => `${span.words}, from ${clock(span.from - from)} to ${span.to === null ? "now" : clock(span.to - from)}`).join("; ")}`}
          >
            {lane.spans.map((span) => (
              <rect
                key={`${span.from}/${span.words}`}
                data-kind={span.kind}
                x={x(span.from)}
                width={Math.max(2, x(span.to ?? until) - x(span.from))}
                y="4"
                height={HEIGHT - 8}
                rx="3"
              >
                <title>{`${span.words} · ${clock(span.from - from)} – ${span.to === null ? "now" : clock(span.to - from)}`}</title>
              </rect>
            ))}
          </svg>
        </div>
      ))}
      <div className="lane axis" aria-hidden="true">
        <span className="name" />
        <ol>
          {Array.from({ length: ticks }, (_, tick) => clock(((until - from) * tick) / (ticks - 1))).map(
            (time, tick) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: the ticks of an axis are their places
              <li key={tick}>{time}</li>
            ),
          )}
        </ol>
      </div>
    </section>
  );
});
