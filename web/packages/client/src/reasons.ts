/** The reasons for which a session ends, with the words for the person in front of the page. */

export const AUTHORS = ["agent", "user", "operator", "app", "system"] as const;
export type Author = (typeof AUTHORS)[number];
export type Outcome = "finished" | "abandoned" | "failed";

export interface Reason {
  readonly by: Author;
  readonly outcome: Outcome;
  readonly message: string;
}

export const REASONS: Readonly<Record<string, Reason>> = {
  completed: { by: "agent", outcome: "finished", message: "The interview is complete. Thank you!" },
  transferred: { by: "agent", outcome: "finished", message: "The interviewer has handed over." },
  time_limit: { by: "system", outcome: "finished", message: "The time for this interview is up." },
  user_ended: { by: "user", outcome: "finished", message: "You ended the interview." },
  caller_hung_up: { by: "user", outcome: "finished", message: "The caller hung up." },
  user_left: { by: "user", outcome: "abandoned", message: "You left, and did not come back in time." },
  user_lost: { by: "user", outcome: "abandoned", message: "Your connection was lost for too long." },
  user_away: { by: "user", outcome: "abandoned", message: "The interviewer could not hear you any more." },
  user_never_joined: { by: "user", outcome: "abandoned", message: "Nobody joined in time." },
  call_failed: { by: "system", outcome: "failed", message: "The call could not be connected." },
  voicemail: { by: "system", outcome: "finished", message: "The call was answered by a machine." },
  agent_left: { by: "agent", outcome: "finished", message: "The interviewer left." },
  operator_ended: { by: "operator", outcome: "finished", message: "The interview was ended by its organiser." },
  removed: { by: "operator", outcome: "finished", message: "You were removed from the interview." },
  room_deleted: { by: "app", outcome: "finished", message: "The room was closed." },
  agent_failed: { by: "system", outcome: "failed", message: "The interviewer could not come back." },
  model_failed: { by: "system", outcome: "failed", message: "The interview ended because of a technical problem." },
  agent_unavailable: { by: "system", outcome: "failed", message: "No interviewer was available." },
  room_lost: { by: "system", outcome: "failed", message: "The interview ended because of a technical problem." },
};
