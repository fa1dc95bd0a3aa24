import { memo, useCallback, useEffect, useMemo, useRef, useState } from "react";
import type { Api } from "./api";
import { Deliveries } from "./deliveries";
import { EndForm } from "./end-form";
import { Events } from "./events";
import { lanesOf } from "./lanes";
import { Lanes } from "./lanes-view";
import { useNow } from "./now";
import type { Reading } from "./reading";
import type { Store } from "./store";
import { transcriptOf } from "./transcript";
import { Transcript } from "./transcript-view";
import { type Everything, watch } from "./watching";
import { length } from "./words";

interface SessionProps {
  readonly api: Api;
  readonly id: string;
  readonly store: Store;
  /** Milliseconds by which the server's clock is ahead. */
  readonly skew: number;
}

/** One session: why on top, then who was there when, the talk, every event, and the report's deliveries. */
export const SessionPage = memo(function SessionPage({ api, id, store, skew }: SessionProps) {
  const { everything, problem, fail, reload } = useSession(api, id, store);
  const now = useNow() + skew;
  const explanation = everything?.explanation ?? null;
  const lanes = useMemo(() => lanesOf(explanation?.lanes ?? []), [explanation]);
  const said = useMemo(() => transcriptOf(explanation?.events ?? []), [explanation]);
  if (problem !== null && everything === null) {
    return (
      <main className="nothing">
        <p role="alert">{problem}</p>
      </main>
    );
  }
  if (everything === null) return <main className="nothing" aria-busy="true" />;
  const { details } = everything;
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
          {!finished && details.state !== "ending" && <EndForm end={(detail) => api.end(details.id, detail)} />}
          {finished && explanation && (
            <button
              type="button"
              onClick={() => api.report(details.id).then((report) => download(`${details.id}.report`, report), fail)}
            >
              Download report
            </button>
          )}
          {explanation && (
            <button type="button" onClick={() => download(details.id, everything)}>
              Download JSON
            </button>
          )}
        </div>
      </header>
      {problem !== null && <p role="alert">{problem}</p>}
      {explanation ? (
        <>
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
          <Lanes lanes={lanes} from={began} to={Math.max(over, began + 1000)} />
          <div className="halves">
            <Transcript said={said} began={began} />
            <Events lines={explanation.timeline} decisive={explanation.decisive} />
          </div>
          <Deliveries
            finished={finished}
            deliveries={details.deliveries}
            deeds={details.deeds}
            redeliver={async () => {
              await api.redeliver(details.id);
              reload();
            }}
          />
        </>
      ) : (
        <section className="why" aria-label="Why">
          <p>
            What was said was deleted{details.purged_at && ` on ${new Date(details.purged_at).toLocaleDateString()}`}.
          </p>
        </section>
      )}
    </main>
  );
});

/** Keep a session current; `reload` reads it again at once. */
function useSession(api: Api, id: string, store: Store) {
  const [everything, setEverything] = useState<Everything | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const fail = useCallback((error: unknown) => setProblem(error instanceof Error ? error.message : String(error)), []);
  const watching = useRef<Reading>(null);
  useEffect(() => {
    const show = (told: Everything) => {
      setEverything(told);
      setProblem(null);
    };
    const watched = watch(api, store, id, { show, fail });
    watching.current = watched;
    return watched.stop;
  }, [api, id, store, fail]);
  return { everything, problem, fail, reload: () => watching.current?.ask() };
}

function download(name: string, what: unknown): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(what, null, 2)], { type: "application/json" }));
  link.download = `${name}.json`;
  link.click();
  URL.revokeObjectURL(link.href);
}
