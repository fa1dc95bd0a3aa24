import type { Ended, View } from "@roomkeeper/client";
import { describe, expect, test } from "vitest";
import * as de from "../src/de";
import * as en from "../src/en";

const ended = (reason: string | null, message: string): Ended => ({
  state: "ended",
  reason,
  by: null,
  outcome: null,
  message,
  detail: null,
});

describe.each([
  ["English", en, "The agent is thinking…", "The time for this conversation is over."],
  ["German", de, "Ihr Gesprächspartner denkt nach …", "Die Zeit für dieses Gespräch ist um."],
])("%s", (_, { statusOf, reasonOf }, thinking, over) => {
  test("says every view in a sentence", () => {
    expect(statusOf({ state: "live", agent: "thinking", needsGesture: false, until: null })).toBe(thinking);
    const others: View[] = [
      { state: "connecting" },
      { state: "reconnecting", since: 0 },
      { state: "blocked", cause: "server" },
      ended("completed", ""),
    ];
    expect(new Set(others.map(statusOf)).size).toBe(others.length);
  });

  test("says a reason, unless the policy has words of its own", () => {
    expect(reasonOf(ended("time_limit", en.MESSAGES.time_limit))).toBe(over);
    expect(reasonOf(ended("time_limit", "It is five o'clock."))).toBe("It is five o'clock.");
    expect(reasonOf(ended("eclipse", "It got dark."))).toBe("It got dark.");
    expect(reasonOf(ended(null, "Nobody said why."))).toBe("Nobody said why.");
  });
});
