/** The reasons for which a session ends, with the words for its user: the table of `roomkeeper.lifecycle.reasons`. */

export const AUTHORS = ["agent", "user", "operator", "app", "system"] as const;
export type Author = (typeof AUTHORS)[number];
export type Outcome = "finished" | "abandoned" | "failed";

export interface Reason {
  readonly by: Author;
  readonly outcome: Outcome;
  readonly message: string;
}

export const REASONS: Readonly<Record<string, Reason>> = {
  completed: { by: "agent", outcome: "finished", message: "The conversation is complete. Thank you." },
  transferred: { by: "agent", outcome: "finished", message: "You have been transferred." },
  time_limit: { by: "system", outcome: "finished", message: "The time for this conversation is over." },
  user_ended: { by: "user", outcome: "finished", message: "You ended the conversation." },
  caller_hung_up: { by: "user", outcome: "finished", message: "The call has ended." },
  user_left: { by: "user", outcome: "abandoned", message: "The conversation ended because you left." },
  user_lost: { by: "user", outcome: "abandoned", message: "The conversation ended because your connection was lost." },
  user_away: { by: "user", outcome: "abandoned", message: "The conversation ended because nobody answered." },
  user_never_joined: {
    by: "user",
    outcome: "abandoned",
    message: "The conversation was closed because nobody joined in time.",
  },
  call_failed: { by: "system", outcome: "failed", message: "The call could not be connected." },
  voicemail: { by: "system", outcome: "finished", message: "The call was answered by a machine." },
  agent_left: { by: "agent", outcome: "finished", message: "The conversation is over." },
  operator_ended: { by: "operator", outcome: "finished", message: "The conversation was ended by the organizer." },
  removed: { by: "operator", outcome: "finished", message: "You were removed from the conversation." },
  room_deleted: { by: "app", outcome: "finished", message: "The conversation is over." },
  agent_failed: { by: "system", outcome: "failed", message: "The conversation ended because of a technical problem." },
  model_failed: { by: "system", outcome: "failed", message: "The conversation ended because of a technical problem." },
  agent_unavailable: {
    by: "system",
    outcome: "failed",
    message: "Nobody is available right now. Please try again later.",
  },
  room_lost: { by: "system", outcome: "failed", message: "The conversation ended because of a technical problem." },
};
