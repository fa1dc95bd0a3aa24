/** What the page says about each view. */
import type { Obstacle, View } from "@roomkeeper/client";

/** The line under the two voices; one sentence, for the eye and for the screen reader alike. */
export function statusOf(view: View): string {
  switch (view.state) {
    case "connecting":
      return "Connecting…";
    case "waiting":
      return view.agentWasHere ? "The interviewer has left the room." : "Waiting for the interviewer…";
    case "live":
      return {
        listening: "The interviewer is listening",
        thinking: "The interviewer is thinking…",
        speaking: "The interviewer is speaking",
      }[view.agent];
    case "reconnecting":
      return "Your connection was lost. Reconnecting…";
    case "recovering":
      return "The interviewer lost the connection and is coming back…";
    case "holding":
      return "The interview is waiting for you.";
    case "ending":
      return "Ending the interview…";
    case "ended":
      return "The interview is over.";
    case "blocked":
      return "";
  }
}

export interface Advice {
  readonly title: string;
  readonly text: string;
  readonly retry: string;
}

export const ADVICE: Readonly<Record<Obstacle, Advice>> = {
  microphone: {
    title: "The microphone cannot be used",
    text: "Allow it in your browser and check that it is plugged in, or go on by typing.",
    retry: "Try again",
  },
  duplicate_tab: {
    title: "The interview went on in another tab",
    text: "It can be open in one place at a time.",
    retry: "Use this tab",
  },
  token: {
    title: "You could not be let in",
    text: "The server did not give you access to this interview.",
    retry: "Try again",
  },
  server: {
    title: "No connection to the interview",
    text: "The interview server cannot be reached. What has been said so far is kept on this page.",
    retry: "Try again",
  },
};

/** A span of time in words, such as "4 min 12 s". */
export function duration(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  const minutes = Math.floor(seconds / 60);
  return minutes === 0 ? `${seconds} s` : `${minutes} min ${seconds % 60} s`;
}

/** The same as a running clock, such as "4:12". */
export function clock(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}
