import { memo, useState } from "react";
import type { Line } from "./api";
import { clock } from "./words";

interface EventsProps {
  readonly lines: readonly Line[];
  readonly decisive: Line | null;
}

/** Every event in words with its raw reason; what changed nothing can be left out. */
export const Events = memo(function Events({ lines, decisive }: EventsProps) {
  const [all, setAll] = useState(false);
  const shown = all ? lines : lines.filter((line) => line.ignored === null);
  return (
    <section className="events" aria-label="Events">
      <h3>
        Events
        <label>
          <input type="checkbox" checked={all} onChange={(event) => setAll(event.target.checked)} /> what was ignored,
          too
        </label>
      </h3>
      <ol>
        {shown.map((line, number) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: a journal only grows at its end
          <Entry key={number} line={line} decisive={line.at === decisive?.at && line.words === decisive.words} />
        ))}
      </ol>
    </section>
  );
});

interface EntryProps {
  readonly line: Line;
  readonly decisive: boolean;
}

const Entry = memo(
  function Entry({ line, decisive }: EntryProps) {
    return (
      <li data-decisive={decisive} data-ignored={line.ignored !== null}>
        <time title={line.at}>{clock(line.after_ms)}</time>
        <div>
          <p>
            {line.words}
            {line.led_to && (
              <span className="badge" data-state={line.led_to}>
                {line.led_to}
              </span>
            )}
          </p>
          {line.ignored !== null && <p className="soft">ignored: {line.ignored}</p>}
          {line.did.map((deed) => (
            <p className="soft" key={deed}>
              → {deed}
            </p>
          ))}
          {line.told_by && <p className="soft">told by {line.told_by}</p>}
        </div>
      </li>
    );
  },
  (one, other) => one.decisive === other.decisive && JSON.stringify(one.line) === JSON.stringify(other.line),
);
