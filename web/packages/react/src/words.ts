/** How a language says what is shown. */
import type { Ended, View } from "@roomkeeper/client";
import { MESSAGES } from "./messages.js";

type Said = Exclude<View["state"], "live" | "blocked">;
type Activity = Extract<View, { state: "live" }>["agent"];
type Cause = Extract<View, { state: "blocked" }>["cause"];

/** One sentence for each thing that may be shown. */
export type StatusWords = Readonly<Record<Said | Activity | Cause, string>>;

/** One sentence for each reason of an end. */
export type ReasonWords = Readonly<Record<keyof typeof MESSAGES, string>>;

/** The sentence about a view. */
export function statusIn(view: View, words: StatusWords): string {
  return words[view.state === "live" ? view.agent : view.state === "blocked" ? view.cause : view.state];
}

/** Whether an end comes with words of the policy or of the agent, rather than with the English ones of its reason. */
export function isWorded({ reason, message }: Ended): boolean {
  return reason !== null && message !== (MESSAGES as Readonly<Record<string, string>>)[reason];
}

/** Why it is over: in words of the policy, if it has its own, else in those of the language. */
export function reasonIn(ended: Ended, words: Readonly<Record<string, string>>): string {
  return isWorded(ended) ? ended.message : (words[ended.reason ?? ""] ?? ended.message);
}
