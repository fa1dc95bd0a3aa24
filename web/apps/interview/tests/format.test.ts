import { expect, test } from "vitest";
import { clock, duration } from "../src/format";

test.each([
  [-5, "0 s", "0:00"],
  [12_400, "12 s", "0:12"],
  [60_000, "1 min 0 s", "1:00"],
  [252_000, "4 min 12 s", "4:12"],
  [3_605_000, "60 min 5 s", "60:05"],
])("%d ms are %s, on the clock %s", (milliseconds, words, figures) => {
  expect(duration(milliseconds)).toBe(words);
  expect(clock(milliseconds)).toBe(figures);
});
