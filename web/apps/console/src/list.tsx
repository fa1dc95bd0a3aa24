import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useDeferredValue, useEffect, useRef, useState } from "react";
import type { State } from "./api";
import { useNow } from "./now";
import { type Filter, isIdle, type Row, type Store, type View } from "./store";
import { length } from "./words";

const STATES: readonly State[] = ["waiting", "live", "holding", "recovering", "ending", "ended"];
/** Pixels; as `.row` in the styles. */
const ROW = 56;

/** All sessions that pass the filter; only the rows in view are in the document. */
export function List({ store, view, chosen }: { readonly store: Store; readonly view: View; readonly chosen: string }) {
  const [filter, setFilter] = useState<Filter>({ state: "open", search: "" });
  const search = useDeferredValue(filter.search);
  useEffect(() => store.filter({ state: filter.state, search }), [store, filter.state, search]);
  const scroller = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({
    count: view.rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW,
    overscan: 8,
    getItemKey: (index) => view.rows[index]?.id ?? index,
  });
  const now = useNow() + view.skew;
  const { idle } = view;
  return (
    <nav className="list" aria-label="Sessions">
      <div className="filters">
        <input
          type="search"
          placeholder="Room, agent, id, or user who is there"
          aria-label="Search"
          value={filter.search}
          onChange={(event) => setFilter({ ...filter, search: event.target.value })}
        />
        <fieldset className="states">
          <legend className="hidden">State</legend>
          <Choice name="open" filter={filter} choose={setFilter} />
          {STATES.map((state) => (
            <Choice key={state} name={state} count={view.counts[state]} filter={filter} choose={setFilter} />
          ))}
          <Choice name="idle" count={idle.length} filter={filter} choose={setFilter} />
          <Choice name="parked" filter={filter} choose={setFilter} />
          <Choice name="" filter={filter} choose={setFilter} />
        </fieldset>
        <p className="sum" role="status">
          {view.rows.length} {view.loading ? "so far…" : view.cut ? "newest shown, search for older ones" : "shown"}
          {idle.length > 0 && ` · ${idle.length} agents without users, ${length(idleTime(idle, now))} in all`}
        </p>
      </div>
      <div className="rows" ref={scroller}>
        <ul style={{ height: rows.getTotalSize() }}>
          {rows.getVirtualItems().map(({ index, start, key }) => {
            const row = view.rows[index];
            return row && <Entry key={key} row={row} top={start} now={now} chosen={row.id === chosen} />;
          })}
        </ul>
      </div>
    </nav>
  );
}

function idleTime(rows: readonly Row[], now: number): number {
  return rows.reduce((sum, row) => sum + Math.max(0, now - Date.parse(row.idle_since ?? "")), 0);
}

interface ChoiceProps {
  readonly name: Filter["state"];
  readonly count?: number | undefined;
  readonly filter: Filter;
  choose(filter: Filter): void;
}

function Choice({ name, count, filter, choose }: ChoiceProps) {
  return (
    <label className="choice" data-state={name}>
      <input
        type="radio"
        name="state"
        checked={filter.state === name}
        onChange={() => choose({ ...filter, state: name })}
      />
      <span>
        {name || "all"} {count !== undefined && <b>{count}</b>}
      </span>
    </label>
  );
}

interface EntryProps {
  readonly row: Row;
  readonly top: number;
  readonly now: number;
  readonly chosen: boolean;
}

const Entry = memo(
  function Entry({ row, top, now, chosen }: EntryProps) {
    const until = row.state === "ended" && row.ended_at ? Date.parse(row.ended_at) : now;
    const parked = row.parked ?? 0;
    return (
      <li className="row" style={{ transform: `translateY(${top}px)` }}>
        <a href={`#/${encodeURIComponent(row.id)}`} aria-current={chosen}>
          <span className="badge" data-state={row.state} data-outcome={row.outcome}>
            {row.state === "ended" ? row.reason : row.state}
          </span>
          <span className="room">{row.room}</span>
          <span className="who">
            {row.agent_name || "agent"} · {whoIs(row, now)}
          </span>
          <span className="time">
            {parked > 0 && (
              <span className="parked" role="img" aria-label={`${parked} given up`} title={`${parked} given up`}>
                ✕{parked}{" "}
              </span>
            )}
            {length(until - Date.parse(row.opened_at))}
          </span>
        </a>
      </li>
    );
  },
  (one, other) =>
    one.row === other.row &&
    one.top === other.top &&
    one.chosen === other.chosen &&
    (one.now === other.now || one.row.state === "ended"),
);

/** Who is there, or what else is to be known of a session without users. */
function whoIs(row: Row, now: number): string {
  if (row.purged_at !== null) return "what was said was deleted";
  if (isIdle(row)) return `idle ${length(now - Date.parse(row.idle_since ?? ""))}`;
  return row.users.join(", ") || "nobody";
}
