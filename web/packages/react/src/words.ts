import type { View } from "@roomkeeper/client";

/** The default words, one sentence each; for others give the parts a `words` of your own. */
export const STATUS_WORDS = {
  connecting: "Connecting…",
  waiting: "Waiting for the agent…",
  listening: "The agent is listening",
  thinking: "The agent is thinking…",
  speaking: "The agent is speaking",
  reconnecting: "Your connection was lost. Reconnecting…",
  recovering: "The agent lost the connection and is coming back…",
  holding: "The conversation is waiting for you.",
  ending: "Ending…",
  ended: "The conversation is over.",
  microphone: "The microphone cannot be used.",
  duplicate_tab: "The conversation went on in another tab.",
  token: "You could not be let in.",
  server: "The server cannot be reached.",
} as const;

export type StatusWords = Readonly<Record<keyof typeof STATUS_WORDS, string>>;

/** One sentence about a view. */
export function statusOf(view: View, words: StatusWords = STATUS_WORDS): string {
  if (view.state === "live") return words[view.agent];
  if (view.state === "blocked") return words[view.cause];
  return words[view.state];
}
