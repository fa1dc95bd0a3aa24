import { DisconnectReason } from "livekit-client";
import { describe, expect, test } from "vitest";
import { type Happened, type Model, reduce, replay, type SessionRecord, type State } from "../src";

const begun: Happened = { type: "ConnectionBegun", at: 1 };
const connected: Happened = { type: "Connected", at: 2 };
const agent = (activity: "initializing" | "listening" | "thinking" | "speaking" = "listening"): Happened => ({
  type: "AgentSeen",
  at: 3,
  identity: "agent-1",
  activity,
});
const agentLeft: Happened = { type: "AgentLeft", at: 4 };
const interrupted: Happened = { type: "ConnectionInterrupted", at: 5 };
const restored: Happened = { type: "ConnectionRestored", at: 6 };
const disconnected = (reason?: DisconnectReason): Happened => ({ type: "Disconnected", at: 9, reason });
const endRequested: Happened = { type: "EndRequested", at: 8 };
const record = (state: State, more: Partial<SessionRecord> = {}, writer = ""): Happened => ({
  type: "RecordSeen",
  at: 7,
  writer,
  record: {
    session: "S_1",
    seq: 1,
    state,
    since: null,
    until: null,
    reason: null,
    by: null,
    message: null,
    detail: null,
    provisional: writer !== "",
    ...more,
  },
});
const live = [begun, connected, agent()];
const completed = { reason: "completed", by: "agent", message: "Thank you!" };

describe("what happened makes the view", () => {
  const cases: [string, Happened[], Partial<Model["view"]>][] = [
    ["nothing yet", [], { state: "connecting" }],
    ["the connection is being made", [begun], { state: "connecting" }],
    ["connected without an agent", [begun, connected], { state: "waiting", agentWasHere: false }],
    ["the agent is starting", [begun, connected, agent("initializing")], { state: "waiting", agentWasHere: false }],
    ["the agent listens", live, { state: "live", agent: "listening", needsGesture: false }],
    ["the agent thinks", [...live, agent("thinking")], { state: "live", agent: "thinking" }],
    ["the browser plays no sound", [...live, { type: "PlaybackChanged", allowed: false }], { needsGesture: true }],
    ["the agent left without an end", [...live, agentLeft], { state: "waiting", agentWasHere: true }],
    ["the signal is lost", [...live, interrupted], { state: "reconnecting", since: 5 }],
    ["the signal is back", [...live, interrupted, restored], { state: "live" }],
    [
      "both kinds of reconnecting",
      [...live, interrupted, { ...interrupted, at: 6 }],
      { state: "reconnecting", since: 5 },
    ],
    [
      "the network is gone",
      [...live, { type: "NetworkChanged", at: 5, online: false }],
      { state: "reconnecting", since: 5 },
    ],
    [
      "the client left and joined again, the agent is told anew",
      [...live, agentLeft, interrupted, restored, agent()],
      { state: "live" },
    ],
    ["the record holds", [...live, record("holding", { until: "later" })], { state: "holding", until: "later" }],
    [
      "the record recovers",
      [...live, agentLeft, record("recovering", { since: "then" })],
      { state: "recovering", since: "then" },
    ],
    ["the record is ending", [...live, record("ending", completed)], { state: "ending" }],
    ["the user ends", [...live, endRequested], { state: "ending" }],
    [
      "the record ended",
      [...live, record("ended", completed)],
      { state: "ended", reason: "completed", message: "Thank you!" },
    ],
    [
      "a reason without a message gets the default words",
      [record("ended", { reason: "time_limit" })],
      { message: "The time for this conversation is over." },
    ],
    [
      "a reason nobody knows is shown as it is",
      [record("ended", { reason: "eclipse", by: "moon" })],
      { reason: "eclipse", by: null, message: "Nobody said why." },
    ],
    [
      "the user ended and left",
      [...live, endRequested, disconnected(DisconnectReason.CLIENT_INITIATED)],
      { state: "ended", reason: "user_ended", by: "user" },
    ],
    [
      "the user gave up while connecting",
      [begun, endRequested, { type: "ConnectionFailed", at: 9, failure: "server" }],
      { state: "ended", reason: "user_ended" },
    ],
    [
      "deleted after an end was decided",
      [...live, record("ending", completed), disconnected(DisconnectReason.ROOM_DELETED)],
      { state: "ended", reason: "completed" },
    ],
    [
      "deleted while the record said live",
      [...live, record("live"), disconnected(DisconnectReason.ROOM_DELETED)],
      { state: "ended", reason: null, by: null },
    ],
    [
      "deleted without a word",
      [...live, disconnected(DisconnectReason.ROOM_DELETED)],
      { state: "ended", reason: null },
    ],
    ["the room closed", [...live, disconnected(DisconnectReason.ROOM_CLOSED)], { state: "ended", reason: null }],
    ["removed", [...live, disconnected(DisconnectReason.PARTICIPANT_REMOVED)], { state: "ended", reason: "removed" }],
    [
      "another tab took over",
      [...live, disconnected(DisconnectReason.DUPLICATE_IDENTITY)],
      { state: "blocked", cause: "duplicate_tab" },
    ],
    ["the client gave up", [...live, disconnected()], { state: "blocked", cause: "server" }],
    [
      "the server stops",
      [...live, disconnected(DisconnectReason.SERVER_SHUTDOWN)],
      { state: "blocked", cause: "server" },
    ],
    ["tried again", [...live, disconnected(), begun], { state: "connecting" }],
    ["no token", [begun, { type: "ConnectionFailed", at: 2, failure: "token" }], { state: "blocked", cause: "token" }],
    [
      "no server",
      [begun, { type: "ConnectionFailed", at: 2, failure: "server" }],
      { state: "blocked", cause: "server" },
    ],
    [
      "no room any more",
      [begun, { type: "ConnectionFailed", at: 2, failure: "not_found" }],
      { state: "ended", reason: null },
    ],
    [
      "the session is over",
      [begun, { type: "ConnectionFailed", at: 2, failure: "gone" }],
      { state: "ended", reason: null },
    ],
    [
      "a failed connection also says disconnected",
      [begun, disconnected(DisconnectReason.USER_REJECTED)],
      { state: "connecting" },
    ],
    ["the microphone fails", [...live, { type: "MicrophoneFailed" }], { state: "blocked", cause: "microphone" }],
    ["the user types instead", [...live, { type: "MicrophoneFailed" }, { type: "TypingChosen" }], { state: "live" }],
  ];
  test.each(cases)("%s", (_, events, expected) => {
    expect(replay(events).view).toMatchObject(expected);
  });
});

describe("records", () => {
  test("an old record that comes late changes nothing", () => {
    const model = replay([...live, record("holding", { seq: 5 }), record("recovering", { seq: 4 })]);
    expect(model.view.state).toBe("holding");
  });

  test("the control plane overrules the agent", () => {
    const model = replay([...live, record("recovering", { seq: 1 }), record("live", { seq: 9 }, "PA_agent")]);
    expect(model.view.state).toBe("recovering");
  });

  test("an agent that ends is believed while the control plane knows nothing of it", () => {
    const model = replay([...live, record("live", { seq: 9 }), record("ended", { seq: 1, ...completed }, "PA_agent")]);
    expect(model.view).toMatchObject({ state: "ended", reason: "completed" });
  });

  test("a second agent counts from its own beginning", () => {
    const model = replay([...live, record("live", { seq: 9 }, "PA_1"), record("ending", { seq: 1 }, "PA_2")]);
    expect(model.view.state).toBe("ending");
  });
});

describe("the end is final", () => {
  const ended = replay([...live, record("ended", completed)]);
  const everything: Happened[] = [
    begun,
    connected,
    { type: "RoomNamed", room: "another" },
    { type: "ConnectionFailed", at: 20, failure: "server" },
    interrupted,
    restored,
    { type: "NetworkChanged", at: 20, online: false },
    disconnected(),
    disconnected(DisconnectReason.DUPLICATE_IDENTITY),
    record("live", { seq: 99 }),
    record("ended", { seq: 99, reason: "room_lost" }),
    record("live", { session: "S_2" }),
    agent("speaking"),
    agentLeft,
    { type: "PlaybackChanged", allowed: false },
    { type: "MicrophoneChanged", on: true },
    { type: "MicrophoneFailed" },
    { type: "TypingChosen" },
    { type: "QualityChanged", weak: true },
    { type: "LineChanged", at: 20, line: { id: "1", speaker: "agent", text: "Bye", final: true, typed: false } },
    endRequested,
  ];
  test.each(everything.map((each) => [each.type, each] as const))("%s does not revert it", (_, happened) => {
    const after = reduce(ended, happened);
    expect(after.view).toBe(ended.view);
    expect(after.endedAt).toBe(ended.endedAt);
  });

  test("the last words are still written down", () => {
    const line = { id: "1", speaker: "agent", text: "Goodbye!", final: true, typed: false } as const;
    expect(reduce(ended, { type: "LineChanged", at: 20, line }).lines).toEqual([line]);
  });

  test("the times of the conversation are those of the first live moment and of the end", () => {
    expect(ended).toMatchObject({ liveAt: 3, endedAt: 7 });
  });
});
