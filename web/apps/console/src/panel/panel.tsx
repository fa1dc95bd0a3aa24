import { useEffect, useRef, useState } from "react";
import type { Api, Summary } from "../api";
import { follow, type StreamEvent } from "../stream";
import { moment } from "../words";
import { type Dev, describe } from "./dev";

interface PanelProps {
  readonly api: Api;
  readonly dev: Dev;
}

/** One thing that happened, for the list beside the interview. */
interface Happened {
  readonly key: number;
  readonly at: string;
  readonly words: string;
  readonly state: string | null;
}

/** Lines that are kept; the console has the rest. */
const MOST = 40;
/** Milliseconds after which the link to the console gets a new sign-in: half of what one lives. */
const RENEW = 300_000;

/** The interview, with buttons that break it and what becomes of the session. */
export function Panel({ api, dev }: PanelProps) {
  const frame = useRef<HTMLIFrameElement>(null);
  const { happened, session, note } = useHappened(api);
  const { sign_in, stock } = useRenewed(api, dev);
  const [busy, setBusy] = useState("");
  const attempt = (name: string, work: () => Promise<string>) => async () => {
    setBusy(name);
    try {
      note(await work());
    } catch (error) {
      note(error instanceof Error ? error.message : String(error));
    } finally {
      setBusy("");
    }
  };
  const ask = (wish: string) => async () => {
    const headers = { "Content-Type": "application/json" };
    const response = await api.request("/api/dev", { method: "POST", headers, body: JSON.stringify({ do: wish }) });
    return `${wish.replace("_", " ")}: ${((await response.json()) as { did: string }).did}`;
  };
  const deeds: readonly [string, string, () => Promise<string>][] = [
    [
      "Refresh",
      "Reloads the page, as a nervous user does.",
      async () => {
        frame.current?.contentWindow?.location.reload();
        return "the page was reloaded";
      },
    ],
    ["Cut network", "The room server lets nothing of the user's through for 8 seconds.", ask("cut_network")],
    ["Kill agent", "SIGKILL for the agent's process.", ask("kill_agent")],
    ["Restart worker", "A deploy: a new worker comes, the old one goes.", ask("restart_worker")],
    [
      "End",
      "An operator ends the session.",
      async () => {
        if (!session) return "there is no session";
        await api.end(session.id, "The operator pressed End.");
        return "end: asked";
      },
    ],
  ];
  return (
    <div className="panel">
      <iframe ref={frame} src="/" title="Interview" allow="microphone; autoplay; speaker-selection" />
      <aside aria-label="Break it">
        <h1>{stock ? "Without Roomkeeper" : "With Roomkeeper"}</h1>
        <p className="soft">
          {stock
            ? "The same agent as livekit-agents runs it by itself. Break it, then run `roomkeeper dev` without --stock."
            : "Talk to the interviewer, then break something. `roomkeeper dev --stock` shows the same without Roomkeeper."}
        </p>
        <ul className="deeds">
          {deeds.map(([name, what, work]) => (
            <li key={name}>
              <button type="button" disabled={busy !== ""} onClick={attempt(name, work)}>
                {name}
                {busy === name && "…"}
              </button>
              <span className="soft">{what}</span>
            </li>
          ))}
        </ul>
        <h2>What happens</h2>
        <ol className="happened" aria-live="polite">
          {happened.map((line) => (
            <li key={line.key}>
              <time>{moment(line.at, new Date())}</time>
              <p>
                {line.words}
                {line.state && (
                  <span className="badge" data-state={line.state}>
                    {line.state}
                  </span>
                )}
              </p>
            </li>
          ))}
        </ol>
        {session && (
          <p>
            <a href={`/console/#token=${sign_in}&session=${session.id}`} target="_blank" rel="noreferrer">
              Why? All of this session in the console
            </a>
          </p>
        )}
      </aside>
    </div>
  );
}

/** What `roomkeeper dev` says, with a sign-in that is still good. */
function useRenewed(api: Api, first: Dev): Dev {
  const [dev, setDev] = useState(first);
  useEffect(() => {
    const timer = setInterval(() => void describe(api).then(setDev, () => {}), RENEW);
    return () => clearInterval(timer);
  }, [api]);
  return dev;
}

/** What the stream and the buttons tell, newest first, and the session that the interview is in. */
function useHappened(api: Api) {
  const [happened, setHappened] = useState<readonly Happened[]>([]);
  const [session, setSession] = useState<Summary | null>(null);
  const [add] = useState(() => {
    let key = 0;
    return (words: string, at: string, state: string | null = null) => {
      key += 1;
      const line = { key, at, words, state };
      setHappened((lines) => [line, ...lines].slice(0, MOST));
    };
  });
  useEffect(() => {
    const aborter = new AbortController();
    const take = (event: StreamEvent) => {
      if (!event.session) return;
      setSession(event.session);
      const words = inWords(event);
      if (words) add(words, event.at, event.type.startsWith("session.") ? event.session.state : null);
    };
    void follow(
      api,
      { take, connected: () => {}, refused: (why) => add(why, new Date().toISOString()) },
      aborter.signal,
    );
    return () => aborter.abort();
  }, [api, add]);
  return { happened, session, note: (words: string) => add(words, new Date().toISOString()) };
}

function inWords({ type, session, data }: StreamEvent): string | null {
  switch (type) {
    case "item.added":
      return null; // the interview shows what is said
    case "session.agent_lost":
      return `agent lost: ${data?.why}`;
    case "session.changed":
      return `there now: ${[...(session?.users ?? []), session?.agent].filter(Boolean).join(", ") || "nobody"}`;
    case "session.warned":
      return "the time limit is near";
    case "session.ended":
      return `ended: ${session?.reason}${session?.detail ? `, “${session.detail}”` : ""}`;
    default:
      return `${type.replace("session.", "")}${session?.users.length ? `, with ${session.users.join(", ")}` : ""}`;
  }
}
