import { useCallback, useEffect, useRef, useState } from "react";
import type { Api, Details, Explanation, Timeline } from "./api";
import { Deliveries } from "./deliveries";
import { EndForm } from "./end-form";
import { Events } from "./events";
import { lanesOf } from "./lanes";
import { Lanes } from "./lanes-view";
import { useNow } from "./now";
import { isSettling } from "./settling";
import type { Store } from "./store";
import { transcriptOf } from "./transcript";
import { Transcript } from "./transcript-view";
import { length } from "./words";

interface Everything extends Timeline {
  readonly details: Details;
  readonly explanation: Explanation;
}

/** Milliseconds between two readings of a session that changes all the time. */
const CALM = 700;
/** Milliseconds between two looks at what is still to come of a session that ended: the stream does not tell. */
const AGAIN = 3_000;

interface SessionProps {
  readonly api: Api;
  readonly id: string;
  readonly store: Store;
}

/** One session: why on top, then who was there when, the talk, every event, and the report's deliveries. */
export function SessionPage({ api, id, store }: SessionProps) {
  const { everything, problem, fail, reload } = useSession(api, id, store);
  const now = useNow();
  if (problem !== null && everything === null) {
    return (
      <main className="nothing">
        <p role="alert">{problem}</p>
      </main>
    );
  }
  if (everything === null) return <main className="nothing" aria-busy="true" />;
  const { details, explanation, timeline, events } = everything;
  const began = Date.parse(details.opened_at);
  const over = details.ended_at ? Date.parse(details.ended_at) : now;
  const finished = details.state === "ended";
  return (
    <main className="session" aria-labelledby="room">
      <header>
        <h2 id="room">{details.room}</h2>
        <span className="badge" data-state={details.state} data-outcome={details.outcome}>
          {finished ? details.reason : details.state}
        </span>
        <p className="facts">
          <code>{details.id}</code> · {details.agent_name || "agent"} · {length(over - began)}
        </p>
        <div className="actions">
          {!finished && <EndForm end={(detail) => api.end(id, detail)} />}
          {finished && (
            <button
              type="button"
              onClick={() => api.report(id).then((report) => download(`${id}.report`, report), fail)}
            >
              Download report
            </button>
          )}
          <button type="button" onClick={() => download(id, everything)}>
            Download JSON
          </button>
        </div>
      </header>
      {problem !== null && <p role="alert">{problem}</p>}
      <section className="why" aria-label="Why">
        <p className="summary">{explanation.summary}</p>
        {explanation.because && <p>{explanation.because}</p>}
        {explanation.findings.length > 0 && (
          <ul>
            {explanation.findings.map((finding) => (
              <li key={finding}>{finding}</li>
            ))}
          </ul>
        )}
      </section>
      <Lanes lanes={lanesOf(events, timeline, details.epochs)} from={began} to={Math.max(over, began + 1000)} />
      <div className="halves">
        <Transcript said={transcriptOf(events)} began={began} />
        <Events lines={timeline} decisive={explanation.decisive} />
      </div>
      <Deliveries
        deliveries={details.deliveries}
        redeliver={async () => {
          await api.redeliver(id);
          reload();
        }}
      />
    </main>
  );
}

/** Read a session, and again whenever the stream speaks of it, and while its report is on its way. */
function useSession(api: Api, id: string, store: Store) {
  const [asked, setAsked] = useState(0);
  const [everything, setEverything] = useState<Everything | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const fail = useCallback((error: unknown) => setProblem(error instanceof Error ? error.message : String(error)), []);
  const last = useRef(0);
  const reload = useCallback(() => setAsked((count) => count + 1), []);
  useEffect(() => store.hear(id, reload), [store, id, reload]);
  const settling = everything !== null && isSettling(everything.details);
  // biome-ignore lint/correctness/useExhaustiveDependencies: `asked` and `settling` say when to read again
  useEffect(() => {
    let current = true;
    const read = async () => {
      last.current = Date.now();
      try {
        const [details, talk, explanation] = await Promise.all([api.show(id), api.timeline(id), api.explain(id)]);
        if (current) {
          setEverything({ details, explanation, timeline: talk.timeline, events: talk.events });
          setProblem(null);
        }
      } catch (error) {
        if (current) fail(error);
      }
    };
    const timer = setTimeout(read, Math.max(0, last.current + CALM - Date.now()));
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [api, id, asked, settling, fail]);
  useEffect(() => {
    if (!settling) return;
    const timer = setInterval(async () => {
      const details = await api.show(id).catch(() => null);
      if (details) setEverything((known) => known && { ...known, details });
    }, AGAIN);
    return () => clearInterval(timer);
  }, [api, id, settling]);
  return { everything, problem, fail, reload };
}

function download(name: string, what: unknown): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(what, null, 2)], { type: "application/json" }));
  link.download = `${name}.json`;
  link.click();
  URL.revokeObjectURL(link.href);
}
