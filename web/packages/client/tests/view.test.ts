import { DisconnectReason } from "livekit-client";
import { describe, expect, test } from "vitest";
import { type ConnectFailure, type Happened, type Model, reduce, replay, type SessionRecord, type State } from "../src";
import { MOMENT_MS, STALL_MS } from "../src/reduce";
import { PATIENCE_MS } from "../src/view";

const begun: Happened = { type: "ConnectionBegun", at: 1, quiet: false };
const begunQuietly: Happened = { type: "ConnectionBegun", at: 1, quiet: true };
const connected: Happened = { type: "Connected", at: 2, sid: null };
const agent = (activity: "initializing" | "listening" | "thinking" | "speaking" = "listening"): Happened => ({
  type: "AgentSeen",
  at: 3,
  identity: "agent-1",
  activity,
});
const agentLeft: Happened = { type: "AgentLeft", at: 4 };
const interrupted: Happened = { type: "ConnectionInterrupted", at: 5 };
const restored: Happened = { type: "ConnectionRestored", at: 6, sid: null };
const disconnected = (reason?: DisconnectReason): Happened => ({ type: "Disconnected", at: 9, reason });
const seen = (sid: string): Happened => ({ type: "RoomSeen", at: 10, sid });
const failed = (failure: ConnectFailure, at = 2): Happened => ({ type: "ConnectionFailed", at, failure });
const received = (at: number, total: number): Happened => ({ type: "Received", at, total });
const network = (at: number, online: boolean): Happened => ({ type: "NetworkChanged", at, online });
const nothingKnown = (kept = false): Happened => ({ type: "NothingKnown", at: 11, kept });
const left = (reason: "user_ended" | "user_left"): Happened => ({ type: "Left", at: 9, reason });
const endRequested: Happened = { type: "EndRequested", at: 8 };
const record = (state: State, more: Partial<SessionRecord> = {}, writer = ""): Happened => ({
  type: "RecordSeen",
  at: 7,
  writer,
  fresh: false,
  record: {
    session: "S_1",
    seq: 1,
    state,
    since: null,
    now: null,
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
    [
      "the browser plays no sound",
      [...live, { type: "PlaybackChanged", at: 4, allowed: false }],
      { needsGesture: true },
    ],
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
      "a record tells who ended it and why; how that went follows",
      [record("ended", { reason: "time_limit", by: "system", message: "Time is up." })],
      { by: "system", outcome: "finished", message: "Time is up." },
    ],
    [
      "a reason nobody knows is shown as it is",
      [record("ended", { reason: "eclipse", by: "moon" })],
      { reason: "eclipse", by: "moon", message: "Nobody said why." },
    ],
    [
      "the user ended, and nobody was there to be asked",
      [...live, endRequested, left("user_ended")],
      { state: "ended", reason: "user_ended", by: "user" },
    ],
    ["the user left the others", [...live, left("user_left")], { state: "ended", reason: "user_left" }],
    [
      "the user gave up while connecting",
      [begun, endRequested, left("user_ended")],
      { state: "ended", reason: "user_ended" },
    ],
    [
      "closed after an end was decided",
      [...live, record("ending", completed), disconnected(DisconnectReason.ROOM_DELETED)],
      { state: "ending" },
    ],
    [
      "closed after an end was decided, and nobody knows more",
      [...live, record("ending", completed), disconnected(DisconnectReason.ROOM_DELETED), nothingKnown()],
      { state: "ended", reason: "completed" },
    ],
    [
      "closed while the record said live",
      [...live, record("live"), disconnected(DisconnectReason.ROOM_DELETED)],
      { state: "ending" },
    ],
    [
      "closed, and the record came",
      [...live, disconnected(DisconnectReason.ROOM_DELETED), record("ended", { reason: "room_deleted", by: "app" })],
      { state: "ended", reason: "room_deleted", by: "app" },
    ],
    [
      "closed without a word",
      [...live, disconnected(DisconnectReason.ROOM_DELETED), nothingKnown()],
      { state: "ended", reason: null },
    ],
    [
      "the room closed without a word",
      [...live, disconnected(DisconnectReason.ROOM_CLOSED), nothingKnown()],
      { state: "ended", reason: null },
    ],
    [
      "closed, and the session goes on without us",
      [...live, disconnected(DisconnectReason.ROOM_DELETED), nothingKnown(true)],
      { state: "blocked", cause: "server" },
    ],
    ["removed", [...live, disconnected(DisconnectReason.PARTICIPANT_REMOVED)], { state: "ending" }],
    [
      "removed, and the others go on",
      [...live, disconnected(DisconnectReason.PARTICIPANT_REMOVED), nothingKnown(true)],
      { state: "ended", reason: "removed" },
    ],
    [
      "another tab took over",
      [...live, disconnected(DisconnectReason.DUPLICATE_IDENTITY)],
      { state: "blocked", cause: "duplicate_tab" },
    ],
    ["the client gave up", [...live, disconnected()], { state: "reconnecting", since: 9 }],
    ["the client gave up after trying", [...live, interrupted, disconnected()], { state: "reconnecting", since: 5 }],
    [
      "the server stops",
      [...live, disconnected(DisconnectReason.SERVER_SHUTDOWN)],
      { state: "reconnecting", since: 9 },
    ],
    [
      "the page left and came back",
      [...live, disconnected(DisconnectReason.CLIENT_INITIATED)],
      { state: "reconnecting" },
    ],
    ["the page tries by itself", [...live, disconnected(), begunQuietly], { state: "reconnecting", since: 9 }],
    [
      "the page tries for long",
      [...live, disconnected(), failed("server", 9 + PATIENCE_MS)],
      { state: "blocked", cause: "server" },
    ],
    [
      "the page tries for long without a network of its own",
      [...live, network(5, false), disconnected(), failed("server", 9 + PATIENCE_MS)],
      { state: "reconnecting", since: 5 },
    ],
    [
      "its network is back, which the server is not to blame for",
      [...live, network(5, false), disconnected(), failed("server", 9 + PATIENCE_MS), network(10 + PATIENCE_MS, true)],
      { state: "reconnecting", since: 9 },
    ],
    ["the page gets back in", [...live, disconnected(), begunQuietly, connected, agent()], { state: "live" }],
    ["the user tries again", [...live, disconnected(), begun], { state: "connecting" }],
    ["no token", [begun, failed("token")], { state: "blocked", cause: "token" }],
    ["no server", [begun, failed("server")], { state: "blocked", cause: "server" }],
    [
      "no server, and the page tries again",
      [begun, failed("server"), begunQuietly],
      { state: "blocked", cause: "server" },
    ],
    ["no room any more", [begun, failed("not_found")], { state: "ending" }],
    [
      "no room any more, and nobody knows of it",
      [begun, failed("not_found"), nothingKnown()],
      { state: "ended", reason: null },
    ],
    [
      "a failed connection also says disconnected",
      [begun, disconnected(DisconnectReason.USER_REJECTED)],
      { state: "connecting" },
    ],
    ["the same room again", [...live, seen("RM_1"), interrupted, restored, seen("RM_1")], { state: "live" }],
    [
      "another room",
      [...live, seen("RM_1"), interrupted, restored, seen("RM_2")],
      { state: "reconnecting", since: 10 },
    ],
    [
      "another room, known at once",
      [...live, seen("RM_1"), interrupted, { type: "ConnectionRestored", at: 10, sid: "RM_2" }],
      { state: "reconnecting", since: 10 },
    ],
    [
      "another room that is the session's",
      [...live, seen("RM_1"), restored, seen("RM_2"), { type: "RoomAccepted", at: 11 }],
      { state: "live" },
    ],
    [
      "another room that nobody knows",
      [...live, seen("RM_1"), restored, seen("RM_2"), nothingKnown()],
      { state: "ended", reason: null },
    ],
    ["nothing arrives", [...live, received(10, 7), received(10 + STALL_MS, 7)], { state: "reconnecting", since: 10 }],
    ["nothing arrived for a moment", [...live, received(10, 7), received(9 + STALL_MS, 7)], { state: "live" }],
    [
      "it arrives again",
      [...live, received(10, 7), received(10 + STALL_MS, 7), received(11 + STALL_MS, 8)],
      { state: "live" },
    ],
    [
      "the client notices later",
      [...live, received(10, 7), received(10 + STALL_MS, 7), { ...interrupted, at: 9_000 }],
      { state: "reconnecting", since: 10 },
    ],
    [
      "the client is back before anything arrives",
      [
        ...live,
        received(10, 7),
        received(10 + STALL_MS, 7),
        { ...interrupted, at: 9_000 },
        restored,
        received(9_100, 7),
      ],
      { state: "reconnecting", since: 10 },
    ],
    [
      "the client is back, and then something arrives",
      [
        ...live,
        received(10, 7),
        received(10 + STALL_MS, 7),
        { ...interrupted, at: 9_000 },
        restored,
        received(9_100, 8),
      ],
      { state: "live" },
    ],
    ["the microphone fails", [...live, { type: "MicrophoneFailed", at: 4 }], { state: "blocked", cause: "microphone" }],
    [
      "the user types instead",
      [...live, { type: "MicrophoneFailed", at: 4 }, { type: "MicrophoneChanged", at: 5, on: false }],
      { state: "live" },
    ],
  ];
  test.each(cases)("%s", (_, events, expected) => {
    expect(replay(events).view).toMatchObject(expected);
  });
});

describe("an agent that is not there any more", () => {
  const gone = (at: number): Happened => ({ type: "AgentLeft", at });
  const talk = [...live, record("live")];

  test("is not said to have left while the record may be about to say more", () => {
    expect(replay([...talk, gone(20)]).view.state).toBe("live");
    expect(replay([...talk, gone(20), gone(20 + MOMENT_MS), record("recovering", { seq: 2 })]).view.state).toBe(
      "recovering",
    );
  });

  test("has left when the record says no more", () => {
    const left = replay([...talk, gone(20), gone(21 + MOMENT_MS)]);
    expect(left.view).toEqual({ state: "waiting", agentWasHere: true });
    expect(reduce(left, agent()).view.state).toBe("live");
  });

  test("is missed from then on, not from the time before", () => {
    const again = replay([...talk, gone(20), agent(), gone(5_000)]);
    expect(again.view.state).toBe("live");
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

  test("a record of another session in a room of the same name is not about this page", () => {
    const model = replay([...live, record("live"), record("ended", { session: "S_2", seq: 99 })]);
    expect(model.view.state).toBe("live");
  });

  test("a token names the session before any record does", () => {
    const named: Happened = { type: "RoomNamed", at: 1, room: "r", session: "S_1" };
    expect(replay([named, record("ended", { session: "S_2" })]).view.state).toBe("connecting");
    expect(replay([named, record("ended")]).view.state).toBe("ended");
  });

  test("the clocks are compared by a record that is fresh", () => {
    const told = record("live", { now: "1970-01-01T00:00:05.000Z" });
    expect(replay([told]).clockAhead).toBe(0);
    expect(replay([{ ...told, fresh: true } as Happened]).clockAhead).toBe(5_000 - 7);
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
    { type: "RoomNamed", at: 1, room: "another", session: "S_2" },
    failed("server"),
    failed("not_found"),
    seen("RM_9"),
    nothingKnown(),
    left("user_left"),
    received(20, 1),
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
    { type: "PlaybackChanged", at: 4, allowed: false },
    { type: "MicrophoneChanged", at: 4, on: true },
    { type: "MicrophoneFailed", at: 4 },
    { type: "MicrophoneChanged", at: 5, on: false },
    { type: "QualityChanged", at: 4, quality: "poor" },
    { type: "LinesChanged", at: 20, lines: [{ id: "1", speaker: "agent", text: "Bye", final: true, typed: false }] },
    endRequested,
  ];
  test.each(everything.map((each) => [each.type, each] as const))("%s does not revert it", (_, happened) => {
    const after = reduce(ended, happened);
    expect(after.view).toBe(ended.view);
    expect(after.endedAt).toBe(ended.endedAt);
  });

  test("the last words are still written down", () => {
    const line = { id: "1", speaker: "agent", text: "Goodbye!", final: true, typed: false } as const;
    expect(reduce(ended, { type: "LinesChanged", at: 20, lines: [line] }).lines).toEqual([line]);
  });

  test("the times of the conversation are those of the first live moment and of the end", () => {
    expect(ended).toMatchObject({ liveAt: 3, endedAt: 7 });
  });
});
