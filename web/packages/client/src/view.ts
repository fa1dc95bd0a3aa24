/** From what is known to what is shown. The first rule that applies wins; the session's own record comes first. */
import { AUTHORS, REASONS, type Reason } from "./generated";
import type { Closure, Ended, Model, View } from "./model";
import { ruling, type SessionRecord } from "./record";

type Facts = Omit<Model, "view">;

/** Milliseconds of trying to get back after which the user is offered a way out; the trying goes on all the same. */
export const PATIENCE_MS = 120_000;

export function viewOf(facts: Facts): View {
  const record = ruling(facts.record, facts.provisional?.record ?? null);
  if (record?.state === "ended") return endedByRecord(record);
  const { link } = facts;
  if (link.is === "over") return link.view;
  if (link.is === "left") return endedByReason(link.reason);
  if (link.is === "unexplained") return afterUnexplained(link, record);
  if (link.is === "taken_over") return { state: "blocked", cause: "duplicate_tab" };
  // A room that is closed is an end, most likely, and said to be one when the record says so.
  if (facts.endRequested || record?.state === "ending" || link.is === "closed") return { state: "ending" };
  if (link.is === "failed") return { state: "blocked", cause: link.failure };
  if (link.is === "connecting") return { state: "connecting" };
  if (link.is === "lost" && link.tried - link.since >= PATIENCE_MS) return { state: "blocked", cause: "server" };
  const since = lostSince(facts);
  if (since !== null) return { state: "reconnecting", since };
  if (facts.microphone === "failed") return { state: "blocked", cause: "microphone" };
  if (record?.state === "recovering") return { state: "recovering", since: record.since };
  if (record?.state === "holding") return { state: "holding", until: record.until };
  if (facts.agent === null || facts.agent.activity === "initializing") {
    return { state: "waiting", agentWasHere: facts.agentWasHere && facts.agent === null };
  }
  return {
    state: "live",
    agent: facts.agent.activity,
    needsGesture: !facts.playbackAllowed,
    until: record?.until ?? null,
  };
}

/** Since when this browser's connection does not work; null when it does. */
function lostSince({ link, offlineSince, stalledSince }: Facts): number | null {
  const beginnings = ["since" in link ? link.since : null, offlineSince, stalledSince].filter((each) => each !== null);
  return beginnings.length === 0 ? null : Math.min(...beginnings);
}

function afterUnexplained({ how, kept }: { how: Closure; kept: boolean }, record: SessionRecord | null): View {
  // An end that was decided is the end, also if its last word did not reach us.
  if (record?.state === "ending") return endedByRecord(record);
  if (how === "removed") return endedByReason("removed");
  if (kept) return { state: "blocked", cause: "server" };
  const message = how === "deleted" ? "The room was closed. Nobody said why." : "Its room no longer exists.";
  return { state: "ended", reason: null, by: null, outcome: null, message, worded: false, detail: null };
}

function endedByRecord(record: SessionRecord): Ended {
  const known = record.reason === null ? undefined : REASONS[record.reason];
  return {
    state: "ended",
    reason: record.reason,
    by: known?.by ?? AUTHORS.find((author) => author === record.by) ?? null,
    outcome: known?.outcome ?? null,
    message: record.message ?? known?.message ?? "Nobody said why.",
    worded: record.message !== null && record.message !== known?.message,
    detail: record.detail,
  };
}

function endedByReason(reason: "user_ended" | "user_left" | "removed"): Ended {
  return { state: "ended", reason, ...(REASONS[reason] as Reason), worded: false, detail: null };
}
