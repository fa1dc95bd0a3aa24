/** From what is known to what is shown. The first rule that applies wins; the session's own record comes first. */
import { DisconnectReason } from "livekit-client";
import { AUTHORS, REASONS, type Reason } from "./generated";
import type { Ended, Model, View } from "./model";
import { ruling, type SessionRecord } from "./record";

type Facts = Omit<Model, "view">;

export function viewOf(facts: Facts): View {
  const record = ruling(facts.record, facts.provisional?.record ?? null);
  if (record?.state === "ended") return endedByRecord(record);
  const { link } = facts;
  if (link.is === "disconnected") return viewAfterDisconnect(facts, record, link.reason);
  if (link.is === "failed") return viewAfterFailure(facts, link.failure);
  if (facts.endRequested || record?.state === "ending") return { state: "ending" };
  if (link.is === "connecting") return { state: "connecting" };
  const since = link.is === "interrupted" ? link.since : facts.offlineSince;
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

function viewAfterDisconnect(facts: Facts, record: SessionRecord | null, reason: DisconnectReason | undefined): View {
  // An end that was decided is the end, also if its last word did not reach us.
  if (record?.state === "ending") return endedByRecord(record);
  if (facts.endRequested) return endedByReason("user_ended");
  switch (reason) {
    case DisconnectReason.DUPLICATE_IDENTITY:
      return { state: "blocked", cause: "duplicate_tab" };
    case DisconnectReason.PARTICIPANT_REMOVED:
      return endedByReason("removed");
    case DisconnectReason.ROOM_DELETED:
    case DisconnectReason.ROOM_CLOSED:
      return endedUnexplained("The room was closed. Nobody said why.");
    default:
      // Gave up, shut down, or never told: that is no end, so let the user try again.
      return { state: "blocked", cause: "server" };
  }
}

function viewAfterFailure(facts: Facts, failure: "token" | "server" | "not_found" | "gone"): View {
  if (facts.endRequested) return endedByReason("user_ended");
  switch (failure) {
    case "token":
    case "server":
      return { state: "blocked", cause: failure };
    case "not_found":
      return endedUnexplained("Its room no longer exists.");
    case "gone":
      return endedUnexplained("It ended before this page could join.");
  }
}

function endedByRecord(record: SessionRecord): Ended {
  const known = record.reason === null ? undefined : REASONS[record.reason];
  return {
    state: "ended",
    reason: record.reason,
    by: known?.by ?? AUTHORS.find((author) => author === record.by) ?? null,
    outcome: known?.outcome ?? null,
    message: record.message ?? known?.message ?? "Nobody said why.",
    detail: record.detail,
  };
}

function endedByReason(reason: "user_ended" | "removed"): Ended {
  return { state: "ended", reason, ...(REASONS[reason] as Reason), detail: null };
}

function endedUnexplained(message: string): Ended {
  return { state: "ended", reason: null, by: null, outcome: null, message, detail: null };
}
