/** From what is known to what is shown. The first rule that applies wins; the session's own record comes first. */
import { OUTCOME_OF, OWN_ENDS } from "./generated.js";
import type { Closure, Ended, Model, Obstacle, View } from "./model.js";
import { ruling, type SessionRecord } from "./record.js";

type Facts = Omit<Model, "view">;

/** Milliseconds of trying to get back after which the user is offered a way out; the trying goes on all the same. */
export const PATIENCE_MS = 120_000;

const UNEXPLAINED: Ended = {
  state: "ended",
  reason: null,
  by: null,
  outcome: null,
  message: "Nobody said why.",
  detail: null,
};

export function viewOf(facts: Facts): View {
  const { link, agent } = facts;
  const record = ruling(facts.record, facts.provisional?.record ?? null);
  if (record?.state === "ended") return endedBy(record);
  if (link.is === "left") return endedByItself(link.reason);
  if (link.is === "unexplained") return afterUnexplained(link, record);
  if (link.is === "taken_over") return blocked("duplicate_tab");
  // A room that is closed is an end, most likely, and said to be one when the record says so.
  if (facts.endRequested || record?.state === "ending" || link.is === "closed") return { state: "ending" };
  if (link.is === "failed") return blocked(link.failure);
  if (link.is === "connecting") return { state: "connecting" };
  // Offline is no fault of the server's.
  if (link.is === "lost" && !facts.offlineSince && link.tried - link.since >= PATIENCE_MS) return blocked("server");
  const since = lostSince(facts);
  if (since < Number.POSITIVE_INFINITY) return { state: "reconnecting", since };
  if (facts.microphone === "failed") return blocked("microphone");
  if (record?.state === "recovering") return { state: record.state, since: record.since };
  if (record?.state === "holding") return { state: record.state, until: record.until };
  if (!agent || agent.activity === "initializing") {
    return { state: "waiting", agentWasHere: facts.agentWasHere && !agent };
  }
  return {
    state: "live",
    agent: agent.activity,
    needsGesture: !facts.playbackAllowed,
    until: record?.until ?? null,
  };
}

function blocked(cause: Obstacle): View {
  return { state: "blocked", cause };
}

/** Since when this browser's connection does not work; infinity when it does. */
function lostSince({ link, offlineSince, stalledSince }: Facts): number {
  const { since = null } = link as { since?: number };
  return Math.min(...[since, offlineSince, stalledSince].map((each) => each ?? Number.POSITIVE_INFINITY));
}

function afterUnexplained({ how, kept }: { how: Closure; kept: boolean }, record: SessionRecord | null): View {
  // An end that was decided is the end, also if its last word did not reach us.
  if (record?.state === "ending") return endedBy(record);
  if (how === "removed") return endedByItself(how);
  return kept ? blocked("server") : UNEXPLAINED;
}

function endedBy({ reason, by, message, detail }: SessionRecord): Ended {
  return {
    state: "ended",
    reason,
    by,
    outcome: OUTCOME_OF[reason ?? ""] ?? null,
    message: message ?? UNEXPLAINED.message,
    detail,
  };
}

/** An end for this page alone, that no record tells. */
function endedByItself(reason: keyof typeof OWN_ENDS): Ended {
  return { ...UNEXPLAINED, reason, outcome: OUTCOME_OF[reason] ?? null, ...OWN_ENDS[reason] };
}
