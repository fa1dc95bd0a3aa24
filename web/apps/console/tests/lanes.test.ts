import { describe, expect, test } from "vitest";
import type { JournalEvent, Line } from "../src/api";
import { lanesOf } from "../src/lanes";
import { transcriptOf } from "../src/transcript";

const line = (second: number, led_to: Line["led_to"]): Line => ({
  at: new Date(second * 1000).toISOString(),
  after_ms: second * 1000,
  event: "X",
  words: "x",
  told_by: null,
  led_to,
  did: [],
  ignored: null,
});

describe("lanes", () => {
  const events: JournalEvent[] = [
    { type: "SessionOpened", at: 0 },
    { type: "RoomStarted", at: 1_000, sid: "RM_1" },
    { type: "ParticipantJoined", at: 2_000, sid: "PA_1", identity: "ann", kind: "standard" },
    { type: "RoomSeen", at: 3_000, people: [{ sid: "PA_2", identity: "agent-1", kind: "agent" }] },
    { type: "ParticipantLeft", at: 4_000, sid: "PA_1", identity: "ann", kind: "standard", raw: "SIGNAL_CLOSE" },
    { type: "ParticipantJoined", at: 5_000, sid: "PA_3", identity: "ann", kind: "standard" },
    { type: "RoomFinished", at: 9_000, sid: "RM_1" },
  ];

  test("show each stay of a person, with the raw reason it ended for", () => {
    const lanes = lanesOf(events, [line(0, null), line(2, "live"), line(9, "ended")]);
    expect(lanes.map((lane) => lane.name)).toEqual(["state", "room", "ann", "agent-1"]);
    expect(lanes[2]?.spans.map(({ from, to }) => [from, to])).toEqual([
      [2_000, 4_000],
      [5_000, 9_000],
    ]);
    expect(lanes[2]?.spans[0]?.words).toContain("SIGNAL_CLOSE");
    expect(lanes[0]?.spans.map(({ kind, from, to }) => [kind, from, to])).toEqual([
      ["waiting", 0, 2_000],
      ["live", 2_000, 9_000],
      ["ended", 9_000, 9_000],
    ]);
  });

  test("leave open what goes on", () => {
    const lanes = lanesOf(events.slice(0, 3), [line(0, null)]);
    expect(lanes.every((lane) => lane.spans.at(-1)?.to === null)).toBe(true);
  });
});

describe("the lanes of what is not in the room that ends", () => {
  const spansOf = (lanes: ReturnType<typeof lanesOf>, name: string) =>
    lanes.find((lane) => lane.name === name)?.spans.map(({ from, to }) => [from, to]);

  test("an old room's end closes nothing of a room made since", () => {
    const lanes = lanesOf(
      [
        { type: "RoomStarted", at: 1_000, sid: "RM_1" },
        { type: "ParticipantJoined", at: 2_000, sid: "PA_1", identity: "ann", kind: "standard", room_sid: "RM_1" },
        { type: "EgressStarted", at: 2_500, egress: "EG_1" },
        { type: "RoomStarted", at: 3_000, sid: "RM_2" },
        { type: "RoomSeen", at: 4_000, sid: "RM_2", people: [{ sid: "PA_2", identity: "bob", kind: "standard" }] },
        { type: "ParticipantJoined", at: 4_500, sid: "PA_3", identity: "cid", kind: "standard", room_sid: "" },
        { type: "EgressStarted", at: 5_000, egress: "EG_2" },
        { type: "RoomFinished", at: 6_000, sid: "RM_1" },
      ],
      [line(0, null)],
    );
    expect(spansOf(lanes, "ann")).toEqual([[2_000, 6_000]]);
    expect(spansOf(lanes, "bob")).toEqual([[4_000, null]]);
    expect(spansOf(lanes, "cid")).toEqual([[4_500, null]]);
    expect(spansOf(lanes, "recording")).toEqual([
      [2_500, 6_000],
      [5_000, null],
    ]);
    expect(spansOf(lanes, "room")).toEqual([
      [1_000, 6_000],
      [3_000, null],
    ]);
  });

  test("an agent that attached and never joined is seen, by its epoch", () => {
    const lanes = lanesOf(
      [
        { type: "RoomStarted", at: 1_000, sid: "RM_1" },
        { type: "AgentAttached", at: 2_000, job: "AJ_1", identity: "agent-AJ_1" },
        { type: "AgentAttached", at: 2_500, job: "AJ_1", identity: "agent-AJ_1" },
        { type: "LeaseExpired", at: 3_000, job: "AJ_1" },
        { type: "AgentAttached", at: 4_000, job: "AJ_2", identity: "agent-AJ_2" },
        { type: "AgentAttached", at: 5_000, job: "AJ_1", identity: "agent-AJ_1" },
        { type: "AgentLost", at: 6_000, job: "AJ_1", exit: -9 },
        { type: "RoomFinished", at: 7_000, sid: "RM_1" },
        { type: "AgentDone", at: 8_000, job: "AJ_2" },
      ],
      [line(0, null)],
      [
        { number: 1, standing: "fenced", job: "AJ_1", identity: "agent-AJ_1" },
        { number: 2, standing: "over", job: "AJ_2", identity: "agent-AJ_2" },
      ],
    );
    expect(spansOf(lanes, "epoch 1")).toEqual([
      [2_000, 3_000],
      [5_000, 6_000],
    ]);
    expect(spansOf(lanes, "epoch 2")).toEqual([[4_000, 8_000]]);
    const [first, again] = lanes.find((lane) => lane.name === "epoch 1")?.spans ?? [];
    expect(first?.words).toBe("agent-AJ_1, job AJ_1, never in charge · lease expired");
    expect(again).toMatchObject({ kind: "fenced", words: expect.stringContaining("lost, exit -9") });
  });
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
