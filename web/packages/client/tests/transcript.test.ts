import { expect, test } from "vitest";
import type { Line, Speaker } from "../src";
import { countAnswers, withLine } from "../src/transcript";

const line = (id: string, text: string, final = false, speaker: Speaker = "user"): Line => ({
  id,
  speaker,
  text,
  final,
  typed: false,
});
const written = (...lines: Line[]) => lines.reduce<readonly Line[]>(withLine, []);

test("a line grows in its place", () => {
  const lines = written(line("a", "Hel"), line("b", "Good", false, "agent"), line("a", "Hello", true));
  expect(lines.map(({ text }) => text)).toEqual(["Hello", "Good"]);
});

test("a guess does not undo the result", () => {
  expect(written(line("a", "Hello there.", true), line("a", "Hell"))).toEqual([line("a", "Hello there.", true)]);
});

test("an empty line is not written", () => {
  expect(written(line("a", " "))).toEqual([]);
});

test("a line that turns out to be no speech is taken back", () => {
  expect(written(line("a", "uh"), line("a", "", true))).toEqual([]);
});

const SAID: Record<string, string> = {
  A: "Could you tell me a little about yourself?",
  a: "I see, thank you. What is",
  U: "I repair clocks.",
};

test.each([
  ["nobody spoke", "", 0],
  ["the agent asked", "A", 0],
  ["the agent was cut off while the user went on", "AUaUaUAU", 2],
  ["the user spoke first", "U", 0],
  ["one answer", "AU", 1],
  ["an answer in three parts", "AUUU", 1],
  ["two questions, two answers", "AUAU", 2],
  ["the agent asked twice", "AAU", 1],
])("%s", (_, turns, answers) => {
  const lines = [...turns].map((turn, index) =>
    line(String(index), SAID[turn] ?? "", true, turn === "U" ? "user" : "agent"),
  );
  expect(countAnswers(lines)).toBe(answers);
});
