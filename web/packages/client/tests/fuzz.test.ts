/** An hour of whatever may happen: an end is final, nothing shown is impossible, nothing piles up. */
import fc from "fast-check";
import { DisconnectReason, RoomEvent } from "livekit-client";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type Happened, INITIAL, type Model, reduce, type SessionRecord } from "../src";
import { STATES } from "../src/generated";
import { type Stage, stage, tokenFor, written } from "./support/stage";

const HOUR = 3_600_000;
const reasons = fc.constantFrom(
  undefined,
  ...Object.values(DisconnectReason).filter((each) => typeof each === "number"),
);
const sids = fc.constantFrom("RM_1", "RM_2", "RM_3");

const records: fc.Arbitrary<SessionRecord> = fc.record({
  session: fc.constantFrom("S_1", "S_1", "S_1", "S_2"),
  seq: fc.nat(50),
  // Ends are rare, or there would be no hour.
  state: fc.oneof(
    { weight: 40, arbitrary: fc.constantFrom(...STATES.slice(0, -1)) },
    { weight: 1, arbitrary: fc.constant("ended" as const) },
  ),
  since: fc.constantFrom(null, "2026-01-01T00:00:00Z"),
  now: fc.constantFrom(null, "2026-01-01T00:00:00Z", "no time"),
  until: fc.constantFrom(null, "2026-01-01T01:00:00Z"),
  reason: fc.constantFrom(null, "completed", "eclipse"),
  by: fc.constantFrom(null, "agent", "moon"),
  message: fc.constantFrom(null, "Thank you!"),
  detail: fc.constant(null),
  provisional: fc.boolean(),
});

type Happening = (at: number) => Happened;

/** Something that may happen, with that part of it left to chance. */
const by = <T>(chance: fc.Arbitrary<T>, make: (value: T, at: number) => Happened): fc.Arbitrary<Happening> =>
  chance.map((value) => (at) => make(value, at));
const plain = (make: Happening): fc.Arbitrary<Happening> => fc.constant(make);

const happenings = fc.oneof(
  by(fc.boolean(), (quiet, at) => ({ type: "ConnectionBegun", at, quiet })),
  by(fc.option(sids), (sid, at) => ({ type: "Connected", at, sid })),
  by(fc.option(sids), (sid, at) => ({ type: "ConnectionRestored", at, sid })),
  plain((at) => ({ type: "ConnectionInterrupted", at })),
  by(fc.constantFrom("token", "server", "not_found"), (failure, at) => ({ type: "ConnectionFailed", at, failure })),
  by(sids, (sid, at) => ({ type: "RoomSeen", at, sid })),
  plain((at) => ({ type: "RoomAccepted", at })),
  by(reasons, (reason, at) => ({ type: "Disconnected", at, reason })),
  by(fc.boolean(), (online, at) => ({ type: "NetworkChanged", at, online })),
  by(fc.nat(2), (total, at) => ({ type: "Received", at, total })),
  by(fc.tuple(records, fc.constantFrom("", "PA_1", "PA_2"), fc.boolean()), ([record, writer, fresh], at) => ({
    type: "RecordSeen",
    at,
    record,
    writer,
    fresh,
  })),
  by(fc.constantFrom("initializing", "listening", "speaking"), (activity, at) => ({
    type: "AgentSeen",
    at,
    identity: "agent",
    activity,
  })),
  plain((at) => ({ type: "AgentLeft", at })),
  by(fc.boolean(), (allowed, at) => ({ type: "PlaybackChanged", at, allowed })),
  by(fc.boolean(), (on, at) => ({ type: "MicrophoneChanged", at, on })),
  plain((at) => ({ type: "MicrophoneFailed", at })),
  by(fc.constantFrom("good", "lost"), (quality, at) => ({ type: "QualityChanged", at, quality })),
  by(fc.option(fc.constant("S_1")), (session, at) => ({ type: "RoomNamed", at, room: "tea", session })),
  by(fc.string({ maxLength: 20 }), (text, at) => ({
    type: "LinesChanged",
    at,
    lines: [{ id: "1", speaker: "user", text, final: true, typed: false }],
  })),
);
/** What ends it for this page; one in a run, or none would last. */
const endings = fc.oneof(
  plain((at) => ({ type: "EndRequested", at })),
  plain((at) => ({ type: "Left", at, reason: "user_left" })),
  by(fc.boolean(), (kept, at) => ({ type: "NothingKnown", at, kept })),
);

/** Fails when what is shown does not follow from what is known. */
function assertPossible(model: Model, at: number): void {
  const { view, link } = model;
  switch (view.state) {
    case "live":
      expect([link.is, model.offlineSince, model.stalledSince, model.endRequested]).toEqual([
        "connected",
        null,
        null,
        false,
      ]);
      expect(model.agent?.activity).toBe(view.agent);
      expect(["ended", "ending", "holding", "recovering"]).not.toContain(model.record?.state);
      expect(model.microphone).not.toBe("failed");
      break;
    case "reconnecting":
      expect(view.since).toBeLessThanOrEqual(at);
      break;
    case "recovering":
    case "holding":
      expect([model.record?.state, model.provisional?.record.state]).toContain(view.state);
      break;
    case "blocked":
      if (view.cause === "microphone") expect(model.microphone).toBe("failed");
      break;
    case "ended":
      expect(model.endedAt).not.toBeNull();
      break;
    default:
      expect(["connecting", "waiting", "ending"]).toContain(view.state);
  }
  if (view.state !== "ended") expect(model.record?.state).not.toBe("ended");
}

test("an hour of random events makes nothing impossible, and no end is ever taken back", () => {
  const steps = fc.array(fc.tuple(fc.nat(20_000), happenings), { minLength: 200, maxLength: 400 });
  fc.assert(
    fc.property(steps, endings, fc.array(happenings, { maxLength: 100 }), (before, ending, after) => {
      let [model, at, final] = [INITIAL, 0, null as Model["view"] | null];
      const step = (happened: Happened) => {
        model = reduce(model, happened);
        assertPossible(model, at);
        if (final !== null) expect(model.view).toBe(final);
        else if (model.view.state === "ended") final = model.view;
      };
      for (const [pause, happened] of before) {
        at = Math.min(HOUR, at + pause);
        step(happened(at));
      }
      step(ending(at));
      step({ type: "Left", at, reason: "user_left" });
      expect(model.view.state).toBe("ended");
      for (const happened of after) step(happened(at));
      // What is kept does not grow with what happened: only the transcript does, and one line was said.
      expect(JSON.stringify(model).length).toBeLessThan(2_500);
    }),
    { numRuns: 60 },
  );
}, 60_000);

beforeEach(() => vi.useFakeTimers({ now: Date.UTC(2026, 0, 1) }));
afterEach(() => vi.useRealTimers());

type Mishap = (scene: Stage, seq: number) => void;

/** Being removed ends the page, so that what is left of the hour would be none: it is for the last moment. */
const lossy = reasons.filter((reason) => reason !== DisconnectReason.PARTICIPANT_REMOVED);

const mishaps: fc.Arbitrary<Mishap> = fc.oneof(
  lossy.map(
    (reason): Mishap =>
      ({ room }) =>
        room.drop(reason),
  ),
  fc.constantFrom<Mishap>(
    ({ room }) => room.emit(RoomEvent.SignalReconnecting),
    ({ room }) => room.state === "connected" && room.emit(RoomEvent.Reconnected),
    ({ room }) => room.flow(false),
    ({ room }) => room.flow(true),
    ({ room }) => room.state === "connected" && room.agentJoins(),
    ({ room }) => room.agentLeaves(),
    ({ room }) => room.attempts.splice(0, 9, "refused", "not_found", "unauthorized", "connects"),
    ({ browser }) => browser("offline"),
    ({ browser }) => browser("online"),
    ({ browser }) => browser("hidden"),
    ({ browser }) => browser("visible"),
    ({ browser }) => browser("pagehide"),
    ({ browser }) => browser("pageshow"),
    ({ browser }) => browser("beforeunload"),
    ({ session }) => void session.retry(),
    ({ session }) => void session.setMicrophone(false),
    ({ tokens }) => Object.assign(tokens, { answer: { is: "unreachable" } }),
    ({ tokens }) => Object.assign(tokens, { answer: { is: "refused" } }),
    ({ tokens }) =>
      Object.assign(tokens, {
        answer: { is: "granted", serverUrl: "ws://127.0.0.1:1", token: tokenFor(), room: "tea" },
      }),
    ({ control }) => Object.assign(control, { standing: { is: "unreachable" } }),
    ({ room, control }, seq) => {
      control.standing = { is: "known", record: written("live", seq) };
      if (room.state === "connected") room.write(written("live", seq));
    },
    ({ room }) => Object.assign(room, { roomInfo: { sid: `RM_${Math.floor(Date.now() / 600_000)}` } }),
    () => vi.setSystemTime(Date.now() + 60_000),
  ),
);

test("an hour of mishaps in front of a page never shows an end that nobody made, and leaves nothing behind", async () => {
  const hour = fc.array(fc.tuple(fc.nat(120_000), mishaps), { minLength: 60, maxLength: 60 });
  await fc.assert(
    fc.asyncProperty(hour, async (steps) => {
      const scene = stage();
      scene.control.standing = { is: "known", record: written("live", 1) };
      await vi.advanceTimersByTimeAsync(1);
      scene.room.write(written("live", 1));
      for (const [seq, [pause, mishap]] of steps.entries()) {
        mishap(scene, seq + 2);
        await vi.advanceTimersByTimeAsync(pause);
      }
      expect(scene.session.snapshot().view.state).not.toBe("ended");
      scene.control.standing = { is: "known", record: written("ended", 99, { reason: "completed" }) };
      scene.room.write(written("ended", 99, { reason: "completed" }));
      await vi.advanceTimersByTimeAsync(10_000);
      expect(scene.session.snapshot().view.state).toBe("ended");
      expect(scene.room.state).toBe("disconnected");
      scene.room.flow(false);
      scene.session.close();
      await vi.advanceTimersByTimeAsync(10_000);
      expect(vi.getTimerCount()).toBe(0);
      expect(scene.room.eventNames()).toEqual([]);
    }),
    { numRuns: 12 },
  );
}, 60_000);
