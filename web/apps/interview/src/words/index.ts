/** Everything the page says. A language is one file; the browser's preference chooses, `?lang=` overrules it. */
import type { Ended, Obstacle, View } from "@roomkeeper/react";
import { isWorded } from "@roomkeeper/react/en";
import { createContext, useContext } from "react";
import { de } from "./de";
import { en } from "./en";

interface Advice {
  readonly title: string;
  readonly text: string;
  readonly retry: string;
}

export interface Words {
  readonly language: string;
  readonly title: string;
  readonly you: string;
  readonly interviewer: string;
  readonly disclosure: string;
  readonly lobby: {
    readonly heading: string;
    readonly lead: string;
    readonly name: string;
    readonly optional: string;
    readonly candidate: string;
    readonly microphone: string;
    readonly test: string;
    readonly asking: string;
    readonly level: string;
    readonly speak: string;
    readonly start: string;
    readonly typeOnly: string;
    readonly refused: string;
    readonly missing: string;
    readonly taken: string;
    readonly unusable: string;
  };
  readonly status: Readonly<Record<Exclude<View["state"], "live" | "blocked">, string>> & {
    readonly agentLeft: string;
    readonly listening: string;
    readonly thinking: string;
    readonly speaking: string;
  };
  readonly trouble: {
    /** Since when, with the span as "0:12". */
    readonly since: (span: string) => string;
    /** How long a hold lasts, with the span as "0:12". */
    readonly left: (span: string) => string;
    readonly saved: string;
  };
  readonly conversation: {
    readonly stage: string;
    readonly time: string;
    readonly ofLimit: (elapsed: string, limit: string) => string;
    readonly mute: string;
    readonly muted: string;
    readonly speaker: string;
    readonly sound: string;
    readonly end: string;
    readonly endWhat: string;
    readonly endQuestion: string;
    readonly endWarning: string;
    readonly keepGoing: string;
    readonly endNow: string;
    readonly quality: Readonly<Record<"unknown" | "excellent" | "good" | "poor" | "lost", string>>;
  };
  readonly transcript: { readonly title: string; readonly log: string; readonly empty: string };
  readonly composer: {
    readonly label: string;
    readonly or: string;
    readonly only: string;
    readonly send: string;
    readonly waiting: string;
    readonly failed: string;
  };
  readonly advice: Readonly<Record<Obstacle, Advice>>;
  readonly typeInstead: string;
  readonly over: {
    readonly heading: string;
    readonly userEnded: string;
    readonly duration: string;
    readonly answer: string;
    readonly answers: string;
    readonly kept: string;
    readonly keptHere: string;
    readonly next: Readonly<Record<NonNullable<Ended["outcome"]>, string>>;
    readonly again: string;
    readonly read: string;
  };
  /** Other words for the reasons of an end than those that came with it. */
  readonly reasons: Readonly<Record<string, string>>;
}

const LANGUAGES: readonly Words[] = [en, de];

/** The first of the wanted languages that there is, else English. */
export function wordsFor(wanted: readonly string[]): Words {
  for (const each of wanted) {
    const found = LANGUAGES.find(({ language }) => each.toLowerCase().split("-")[0] === language);
    if (found) return found;
  }
  return en;
}

export const WordsContext = createContext<Words>(en);

export function useWords(): Words {
  return useContext(WordsContext);
}

/** The line under the two voices; one sentence, for the eye and for the screen reader alike. */
export function statusOf(view: View, { status, advice }: Words): string {
  switch (view.state) {
    case "live":
      return status[view.agent];
    case "waiting":
      return view.agentWasHere ? status.agentLeft : status.waiting;
    case "blocked":
      return advice[view.cause].title;
    default:
      return status[view.state];
  }
}

/** Why it is over: in words of the policy, if it has its own, else in the page's language. */
export function reasonOf(ended: Ended, { over, reasons }: Words): string {
  if (isWorded(ended)) return ended.message;
  if (ended.reason === "user_ended") return over.userEnded;
  return reasons[ended.reason ?? "unexplained"] ?? ended.message;
}
