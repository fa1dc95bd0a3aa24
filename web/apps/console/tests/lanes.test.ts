import { describe, expect, test } from "vitest";
import type { JournalEvent, LaneSpan } from "../src/api";
import { lanesOf } from "../src/lanes";
import { transcriptOf } from "../src/transcript";

const span = (lane: string, kind: string, from: number, to: number | null): LaneSpan => ({
  lane,
  kind,
  from: new Date(from).toISOString(),
  to: to === null ? null : new Date(to).toISOString(),
  words: `${kind} ${lane}`,
});

describe("lanes", () => {
  test("hold the spans of each, in the order in which they began; what goes on is open", () => {
    const lanes = lanesOf([
      span("state", "waiting", 0, 2_000),
      span("ann", "person", 1_000, 3_000),
      span("state", "live", 2_000, null),
      span("ann", "person", 4_000, null),
    ]);
    expect(lanes.map(({ name, spans }) => [name, spans.map(({ kind, from, to }) => [kind, from, to])])).toEqual([
      [
        "state",
        [
          ["waiting", 0, 2_000],
          ["live", 2_000, null],
        ],
      ],
      [
        "ann",
        [
          ["person", 1_000, 3_000],
          ["person", 4_000, null],
        ],
      ],
    ]);
    expect(lanes[1]?.spans[0]?.words).toBe("person ann");
  });

  test("of somebody who is named like a lane of ours are their own", () => {
    const lanes = lanesOf([
      span("room", "room", 0, null),
      span("room", "person", 1, null),
      span("room", "agent", 2, 3),
    ]);
    expect(lanes.map(({ name, spans }) => [name, spans.length])).toEqual([
      ["room", 1],
      ["room", 2],
    ]);
    expect(new Set(lanes.map(({ key }) => key)).size).toBe(2);
  });

  test("of nothing are none", () => expect(lanesOf([])).toEqual([]));
});

describe("a transcript", () => {
  const noted = (seq: number, item: unknown): JournalEvent => ({
    type: "Noted",
    at: seq,
    what: "item",
    job: "AJ",
    seq,
    data: { item },
  });

  test("has what both sides said, and each item once", () => {
    const said = transcriptOf([
      noted(1, { id: "a", type: "message", role: "assistant", content: ["Hello"], interrupted: true }),
      noted(2, { id: "b", type: "message", role: "user", content: ["Hi", { type: "audio_content" }] }),
      noted(3, { id: "c", type: "function_call", name: "look", arguments: "{}" }),
      noted(4, { id: "b", type: "message", role: "user", content: ["Hi"] }),
      noted(5, { id: "d", type: "message", role: "system", content: ["secret"] }),
    ]);
    expect(said.map(({ role, text, interrupted }) => [role, text, interrupted])).toEqual([
      ["assistant", "Hello", true],
      ["user", "Hi", false],
      ["tool", "look({})", false],
    ]);
  });
});
