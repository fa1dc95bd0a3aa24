import type { Ended, View } from "@roomkeeper/react";
import { MESSAGES } from "@roomkeeper/react/en";
import { expect, test } from "vitest";
import { reasonOf, statusOf, wordsFor } from "../src/words";
import { de } from "../src/words/de";
import { en } from "../src/words/en";

const ended = (more: Partial<Ended>): Ended => ({
  state: "ended",
  reason: "completed",
  by: "agent",
  outcome: "finished",
  message: "The conversation is complete. Thank you.",
  detail: null,
  ...more,
});

test.each([
  [["de-AT", "en"], de],
  [["fr", "DE"], de],
  [["en-GB", "de"], en],
  [["fr"], en],
  [[], en],
])("a browser that prefers %j gets a language that there is", (wanted, words) => {
  expect(wordsFor(wanted)).toBe(words);
});

test("German has words for every reason there is", () => {
  const shared = ["user_ended"]; // in the page's own words in every language
  const missing = Object.keys(MESSAGES).filter((reason) => !(reason in de.reasons) && !shared.includes(reason));
  expect(missing).toEqual([]);
});

test("no language leaves a text empty, or as it is in English", () => {
  const texts = (value: unknown): unknown[] =>
    typeof value === "object" && value !== null ? Object.values(value).flatMap(texts) : [value];
  const left = texts(en).filter((text) => typeof text === "string" && text.length > 12);
  expect(texts(de).filter((text) => left.includes(text))).toEqual([]);
  expect(texts(de).filter((text) => text === "")).toEqual([de.conversation.quality.unknown]);
});

test("the policy's own words are said in every language", () => {
  expect(reasonOf(ended({ message: "We will be in touch." }), de)).toBe("We will be in touch.");
});

test("a reason is said in the page's language", () => {
  expect(reasonOf(ended({}), en)).toBe("The conversation is complete. Thank you.");
  expect(reasonOf(ended({}), de)).toBe("Das Gespräch ist abgeschlossen. Vielen Dank.");
  expect(reasonOf(ended({ reason: "user_ended", message: MESSAGES.user_ended }), de)).toBe(
    "Sie haben das Interview beendet.",
  );
  expect(reasonOf(ended({ reason: "eclipse", message: "It got dark." }), de)).toBe("It got dark.");
});

test.each<[View, string]>([
  [{ state: "live", agent: "thinking", needsGesture: false, until: null }, "The interviewer is thinking…"],
  [{ state: "waiting", agentWasHere: true }, "The interviewer has left the room."],
  [{ state: "waiting", agentWasHere: false }, "Waiting for the interviewer…"],
  [{ state: "blocked", cause: "token" }, "You could not be let in"],
  [{ state: "reconnecting", since: 0 }, "Your connection was lost. Reconnecting…"],
])("%j is one sentence", (view, sentence) => {
  expect(statusOf(view, en)).toBe(sentence);
});
