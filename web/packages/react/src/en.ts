/** English: `import { statusOf } from "@roomkeeper/react/en"`. */
import type { Ended, View } from "@roomkeeper/client";
import { MESSAGES } from "./messages.js";
import { reasonIn, type StatusWords, statusIn } from "./words.js";

export { isWorded } from "./words.js";
export { MESSAGES };

export const STATUS: StatusWords = {
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
};

/** One sentence about what is shown. */
export const statusOf = (view: View): string => statusIn(view, STATUS);

/** Why it is over. */
export const reasonOf = (ended: Ended): string => reasonIn(ended, MESSAGES);
