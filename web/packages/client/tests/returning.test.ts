import { DisconnectReason, RoomEvent, Track } from "livekit-client";
import { describe, expect, test, vi } from "vitest";
import { say } from "../src/transcript";
import { FakeRoom, type Stage, stage, tokenFor, written } from "./support/stage";
import { ended, inVirtualTime, pass, talk, view } from "./support/talk";

inVirtualTime();

describe("the way back", () => {
  test("leads into the room again while the session lives, with the microphone on and the same token", async () => {
    const scene = await talk();
    scene.room.attempts.splice(0, 1, "refused", "refused", "connects");
    scene.room.drop(undefined);
    await pass(5_000);
    scene.room.agentJoins();
    expect(scene.shown).toEqual(["reconnecting", "waiting", "live"]);
    expect(new Set(scene.room.tokens).size).toBe(1);
    expect(scene.tokens.asked).toHaveLength(1);
    expect(scene.room.localParticipant.setMicrophoneEnabled).toHaveBeenCalledTimes(2);
  });

  test("is not taken into a session that has ended meanwhile", async () => {
    const scene = await talk();
    scene.control.standing = { is: "known", record: ended };
    scene.room.drop(DisconnectReason.SERVER_SHUTDOWN);
    await pass(60_000);
    expect(scene.shown).toEqual(["reconnecting", "ended"]);
    expect(scene.room.tokens).toHaveLength(1);
  });

  test("is not taken by a page that goes away", async () => {
    const scene = await talk();
    scene.browser("pagehide");
    scene.room.drop(DisconnectReason.CLIENT_INITIATED);
    await pass(150);
    expect(scene.room.tokens).toHaveLength(1);
    expect(scene.control.told).toContain("pagehide");
    scene.browser("pageshow");
    await pass(50);
    expect(scene.room.state).toBe("connected");
  });

  test("is found by a new token when the old one is refused or has expired", async () => {
    const scene = await talk();
    const fresh = tokenFor({ exp: Date.now() / 1000 + 60 });
    scene.tokens.answer = { is: "granted", serverUrl: "ws://127.0.0.1:1", token: fresh, room: "tea" };
    scene.room.attempts.splice(0, 1, "unauthorized", "connects");
    scene.room.drop(undefined);
    await pass(1_000);
    expect(scene.room.tokens.at(-1)).toBe(fresh);
    expect(scene.tokens.asked.at(-1)).toMatchObject({ room: "tea", identity: "user-1" });

    await pass(60_000);
    scene.room.drop(undefined);
    await pass(1_000);
    expect(scene.tokens.asked).toHaveLength(3);
  });

  test("is given up when no token is granted any more, until the user tries again", async () => {
    const scene = await talk();
    scene.tokens.answer = { is: "refused" };
    scene.room.attempts.splice(0, 1, "unauthorized");
    scene.room.drop(undefined);
    await pass(60_000);
    expect(view(scene)).toEqual({ state: "blocked", cause: "token" });
    const tried = scene.room.tokens.length;
    scene.tokens.answer = { is: "granted", serverUrl: "ws://127.0.0.1:1", token: tokenFor(), room: "tea" };
    scene.room.attempts.splice(0, 1, "connects");
    await scene.session.retry();
    expect(view(scene).state).toBe("waiting");
    expect(scene.room.tokens).toHaveLength(tried + 1);
  });

  test("never ends while the session lives: a way out is offered after two minutes, and the trying goes on", async () => {
    const scene = await talk();
    scene.control.standing = { is: "unreachable" };
    scene.room.attempts.splice(0, 1, "refused");
    scene.room.drop(undefined);
    await pass(119_000);
    expect(view(scene).state).toBe("reconnecting");
    await pass(10_000);
    expect(view(scene)).toEqual({ state: "blocked", cause: "server" });
    scene.room.attempts.splice(0, 1, "connects");
    await pass(5_000);
    expect(scene.room.state).toBe("connected");
    expect(scene.shown).not.toContain("ended");
  });

  test("is not tried while the server does not answer, but now and then", async () => {
    const scene = await talk();
    vi.stubGlobal("fetch", () => Promise.reject(new TypeError("Failed to fetch")));
    scene.room.drop(undefined);
    await pass(3_000);
    expect(scene.room.state).toBe("disconnected");
    await pass(3_000); // a policy of the page's own may forbid the question
    expect(scene.room.state).toBe("connected");
  });

  test("is hurried by a network that is back", async () => {
    const scene = await talk();
    scene.browser("offline");
    scene.room.attempts.splice(0, 1, "refused");
    scene.room.drop(undefined);
    await pass(60_000);
    // Between two tries there are 450 ms at least.
    for (let tried = scene.room.tokens.length; scene.room.tokens.length === tried; ) await pass(10);
    scene.room.attempts.splice(0, 1, "connects");
    scene.browser("online");
    await pass(400);
    expect(scene.room.state).toBe("connected");
  });

  test.each<[string, (scene: Stage) => void]>([
    [
      "the user has ended",
      ({ control, session }) => {
        control.end = { is: "refused" };
        void session.end();
      },
    ],
    ["is closed", ({ session }) => session.close()],
    ["has ended", ({ control }) => Object.assign(control, { standing: { is: "known", record: ended } })],
  ])("is not taken when the server answers a page that %s meanwhile", async (_, happens) => {
    const scene = await talk();
    let answer = () => {};
    const asked = new Promise<Response>((resolve) => {
      answer = () => resolve(new Response("OK"));
    });
    const fetching = vi.fn(() => asked);
    vi.stubGlobal("fetch", fetching);
    scene.room.drop(undefined);
    await pass(1_000);
    expect(fetching).toHaveBeenCalled();
    happens(scene);
    await pass(6_000);
    answer();
    await pass(60_000);
    expect(scene.room.tokens).toHaveLength(1);
    expect(scene.room.state).toBe("disconnected");
  });

  test.each<[string, (scene: Stage) => unknown]>([
    [
      "ended",
      ({ control, session }) => {
        control.end = { is: "refused" };
        return session.end();
      },
    ],
    ["closed", ({ session }) => session.close()],
  ])("is gone back at once by a page that was %s while it connected", async (_, happens) => {
    const scene = await talk();
    const { room } = scene;
    const connect = room.connect.bind(room);
    room.connect = async (url, token) => {
      await happens(scene);
      await connect(url, token);
    };
    room.drop(undefined);
    await pass(60_000);
    expect(room.tokens).toHaveLength(2);
    expect(room.state).toBe("disconnected");
  });

  test("does not wait for a user who is still to allow the microphone", async () => {
    const scene = await talk();
    scene.room.localParticipant.setMicrophoneEnabled.mockReturnValue(new Promise(() => {}));
    for (let loss = 1; loss <= 2; loss++) {
      scene.room.drop(undefined);
      await pass(2_000);
      expect(scene.room.tokens).toHaveLength(1 + loss);
      expect(scene.room.state).toBe("connected");
    }
  });

  test("turns no microphone on that was muted by a button of LiveKit's", async () => {
    const scene = await talk();
    const { localParticipant } = scene.room;
    localParticipant.isMicrophoneEnabled = false;
    scene.room.emit(RoomEvent.TrackMuted, { source: Track.Source.Microphone }, { ...localParticipant, isLocal: true });
    scene.room.drop(undefined);
    await pass(2_000);
    expect(scene.room.state).toBe("connected");
    expect(localParticipant.setMicrophoneEnabled).toHaveBeenCalledTimes(1);
  });

  test("is asked for again when a source of tokens fails, as one does without a network", async () => {
    const scene = stage();
    const { answer } = scene.tokens;
    Object.defineProperty(scene.tokens, "answer", {
      configurable: true,
      get: () => {
        throw new TypeError("Failed to fetch");
      },
    });
    await pass(5_000);
    expect(view(scene)).toEqual({ state: "blocked", cause: "server" });
    Object.defineProperty(scene.tokens, "answer", { value: answer });
    await pass(5_000);
    expect(scene.room.state).toBe("connected");
  });

  test("that needs a token which nobody grants ends with the session", async () => {
    const scene = await talk();
    scene.tokens.answer = { is: "refused" };
    scene.room.attempts.splice(0, 1, "unauthorized");
    scene.room.drop(undefined);
    await pass(5_000);
    expect(view(scene)).toEqual({ state: "blocked", cause: "token" });
    scene.control.standing = { is: "known", record: ended };
    await pass(5_500);
    expect(view(scene)).toMatchObject({ state: "ended", reason: "completed" });
  });

  test("stays shut for the tab that another one took over from, until its user wants it back", async () => {
    const scene = await talk();
    scene.room.drop(DisconnectReason.DUPLICATE_IDENTITY);
    await pass(600_000);
    expect(view(scene)).toEqual({ state: "blocked", cause: "duplicate_tab" });
    expect(scene.room.tokens).toHaveLength(1);
    await scene.session.retry();
    expect(scene.room.state).toBe("connected");
  });

  test("leads into the room that was made anew for the session", async () => {
    const scene = await talk();
    scene.room.drop(undefined);
    Object.assign(scene.room, {
      roomInfo: { sid: "RM_2" },
      metadata: JSON.stringify({ roomkeeper: { v: 1, ...written("holding", 5) } }),
    });
    await pass(3_000);
    expect(scene.session.snapshot().sid).toBe("RM_2");
    scene.room.write(written("live", 6));
    scene.room.agentJoins();
    expect(view(scene).state).toBe("live");
  });

  test("is left again when it leads to a room that the session does not know", async () => {
    const scene = await talk();
    scene.room.drop(undefined);
    Object.assign(scene.room, { roomInfo: { sid: "RM_2" }, metadata: "" });
    await pass(9_000);
    expect(view(scene).state).toBe("reconnecting");
    await pass(3_000);
    expect(scene.shown).toEqual(["reconnecting"]);
    expect(scene.room.tokens.length).toBeGreaterThan(2);
  });

  test("to a room that is not there any more begins with a new token, if the session lives", async () => {
    const scene = await talk();
    scene.room.attempts.splice(0, 1, "not_found", "connects");
    scene.room.drop(undefined);
    await pass(3_000);
    expect(scene.room.state).toBe("connected");
    expect(scene.tokens.asked).toHaveLength(2);
  });
});

describe("joining", () => {
  test("a session that has ended is shown as that, and its room never entered", async () => {
    const scene = stage({ room: "tea" });
    scene.tokens.answer = { is: "ended", record: ended };
    await pass(1_000);
    expect(view(scene)).toMatchObject({ state: "ended", reason: "completed" });
    expect(scene.room.tokens).toEqual([]);
  });

  test("a server that is down is told, and used as soon as it is up", async () => {
    const scene = stage();
    scene.tokens.answer = { is: "unreachable" };
    await pass(20_000);
    expect(scene.shown).toEqual(["blocked"]);
    expect(view(scene)).toMatchObject({ cause: "server" });
    scene.tokens.answer = { is: "granted", serverUrl: "ws://127.0.0.1:1", token: tokenFor(), room: "tea" };
    await pass(5_000);
    expect(view(scene).state).toBe("waiting");
  });

  test("a token that is refused is told at once", async () => {
    const scene = stage();
    scene.tokens.answer = { is: "refused" };
    await pass(60_000);
    expect(view(scene)).toEqual({ state: "blocked", cause: "token" });
    expect(scene.tokens.asked).toHaveLength(2);
  });

  test("opening, closing and opening again, as React does it in development, joins once", async () => {
    const { session, room, shown } = stage();
    session.close();
    session.open();
    await pass(1_000);
    expect(room.state).toBe("connected");
    expect(shown).toEqual(["connecting", "waiting"]);
  });

  test("a reload brings the words and the beginning of the conversation back", async () => {
    const first = await talk();
    await say(first.session, "I repair clocks.");
    const { liveAt } = first.session.snapshot();
    first.browser("pagehide");
    first.session.close();
    const again = stage({ memory: first.memory, room: "tea" });
    await pass(1);
    expect(again.session.snapshot()).toMatchObject({ liveAt, session: "S_1", sid: "RM_1" });
    expect(again.session.snapshot().lines.map(({ text }) => text)).toEqual(["I repair clocks."]);
  });
});

describe("somebody else's room", () => {
  test("is watched, not joined, and asked about with its own token", async () => {
    const scene = stage({ join: false });
    await pass(1_000);
    expect(view(scene).state).toBe("connecting");
    await scene.room.connect("ws://127.0.0.1:1", tokenFor());
    scene.room.agentJoins();
    expect(view(scene).state).toBe("live");
    scene.control.standing = { is: "known", record: ended };
    scene.room.drop(DisconnectReason.ROOM_DELETED);
    await pass(100);
    expect(scene.control.asked).toEqual(["S_1"]);
    expect(view(scene)).toMatchObject({ state: "ended", reason: "completed" });
  });

  test("is not left on purpose by livekit-client, which thinks that the page goes away", async () => {
    for (const event of ["beforeunload", "freeze"] as const) {
      const scene = stage({ join: false });
      await scene.room.connect("ws://127.0.0.1:1", tokenFor());
      scene.control.standing = { is: "known", record: written("holding", 3) };
      scene.browser(event);
      await scene.room.disconnect();
      await pass(2_000);
      expect(scene.shown).not.toContain("ended");
      expect(scene.room.state).toBe("connected");
    }
  });

  test("is joined again with the token that the server renewed, once the first one has expired", async () => {
    const scene = stage({ join: false });
    await scene.room.connect("ws://127.0.0.1:1", tokenFor({ exp: Date.now() / 1000 + 60 }));
    await pass(120_000);
    const renewed = tokenFor();
    Object.assign(scene.room.engine, { token: renewed });
    scene.control.standing = { is: "known", record: written("live", 3) };
    scene.room.drop(undefined);
    await pass(2_000);
    expect(scene.room.tokens.at(-1)).toBe(renewed);
    expect(scene.room.state).toBe("connected");
  });

  test("is joined again with the microphone that was on before anybody watched", async () => {
    const livekit = new FakeRoom();
    await livekit.connect("ws://127.0.0.1:1", tokenFor());
    await livekit.localParticipant.setMicrophoneEnabled(true);
    const scene = stage({ join: false, livekit });
    await pass(1_000);
    scene.control.standing = { is: "known", record: written("live", 3) };
    scene.room.drop(undefined);
    await pass(2_000);
    expect(scene.room.localParticipant.setMicrophoneEnabled).toHaveBeenCalledTimes(2);
  });

  test("is joined again without the microphone that only the conversation before had", async () => {
    const scene = stage({ join: false });
    await scene.room.connect("ws://127.0.0.1:1", tokenFor());
    await scene.session.setMicrophone(true);
    await scene.room.disconnect();
    await scene.room.connect("ws://127.0.0.1:1", tokenFor({ session: "S_2" }));
    scene.control.standing = { is: "known", record: written("live", 3, { session: "S_2" }) };
    scene.room.drop(undefined);
    await pass(2_000);
    expect(scene.room.state).toBe("connected");
    expect(scene.room.localParticipant.isMicrophoneEnabled).toBe(false);
  });

  test("is not taken back from whoever connected it while nobody watched", async () => {
    const scene = stage({ join: false });
    await scene.room.connect("ws://127.0.0.1:1", tokenFor());
    scene.control.standing = { is: "known", record: written("live", 3) };
    let answer = () => {};
    const asked = new Promise<Response>((resolve) => {
      answer = () => resolve(new Response("OK"));
    });
    vi.stubGlobal("fetch", () => asked);
    scene.room.drop(undefined);
    await pass(1_000);
    scene.session.close();
    await scene.room.connect("ws://127.0.0.1:1", tokenFor());
    answer();
    await pass(1_000);
    expect(scene.room.state).toBe("connected");
  });

  test("that is left on purpose stays left, and can be used for another conversation", async () => {
    const scene = stage({ join: false });
    await scene.room.connect("ws://127.0.0.1:1", tokenFor());
    await scene.room.disconnect();
    await pass(60_000);
    expect(view(scene)).toMatchObject({ state: "ended", reason: "user_left" });
    expect(scene.room.tokens).toHaveLength(1);
    scene.room.roomInfo = { sid: "RM_2" };
    await scene.room.connect("ws://127.0.0.1:1", tokenFor({ session: "S_2" }));
    await pass(1_000);
    expect(view(scene).state).toBe("waiting");
  });

  test("that is used for another conversation is bound to that one's session", async () => {
    const scene = stage({ join: false });
    await scene.room.connect("ws://127.0.0.1:1", tokenFor());
    await scene.room.disconnect();
    scene.room.roomInfo = { sid: "RM_2" };
    const second = tokenFor({ session: "S_2" });
    await scene.room.connect("ws://127.0.0.1:1", second);
    scene.room.write(written("live", 1, { session: "S_2" }));
    expect(scene.session.snapshot()).toMatchObject({ session: "S_2", record: { session: "S_2", state: "live" } });
    scene.control.end = { is: "known", record: written("ending", 2, { session: "S_2", reason: "user_ended" }) };
    await scene.session.end();
    expect(scene.control.ends).toEqual([["S_2", second]]);
    expect(view(scene).state).toBe("ending");
    scene.room.write(written("ended", 3, { session: "S_2", reason: "completed" }));
    expect(view(scene)).toMatchObject({ state: "ended", reason: "completed" });
  });

  test("that is used for another conversation before it is known why the first one is over", async () => {
    const scene = stage({ join: false });
    await scene.room.connect("ws://127.0.0.1:1", tokenFor());
    scene.room.drop(DisconnectReason.ROOM_DELETED);
    scene.control.standing = { is: "unreachable" };
    await pass(1_000);
    expect(view(scene).state).toBe("ending");
    scene.room.roomInfo = { sid: "RM_2" };
    await scene.room.connect("ws://127.0.0.1:1", tokenFor({ session: "S_2" }));
    await pass(20_000);
    expect(scene.room.state).toBe("connected");
    expect(scene.session.snapshot()).toMatchObject({ session: "S_2", view: { state: "waiting" } });
  });

  test("that was used for another conversation while nobody watched is bound to that one's session", async () => {
    const scene = stage({ join: false });
    await scene.room.connect("ws://127.0.0.1:1", tokenFor());
    scene.room.write(written("live", 4));
    scene.session.close();
    await scene.room.disconnect();
    Object.assign(scene.room, { roomInfo: { sid: "RM_2" }, metadata: "" });
    await scene.room.connect("ws://127.0.0.1:1", tokenFor({ session: "S_2" }));
    scene.session.open();
    expect(scene.session.snapshot()).toMatchObject({ session: "S_2", record: null, view: { state: "waiting" } });
    scene.session.close();
  });

  test("that is left before the end could be asked for is not ended, until it is used for another conversation", async () => {
    const scene = stage({ join: false });
    await scene.room.connect("ws://127.0.0.1:1", tokenFor());
    scene.control.end = { is: "unreachable" };
    await scene.session.end();
    await pass(3_000);
    expect(scene.room.state).toBe("disconnected");
    expect(view(scene).state).toBe("ending");
    const { length } = scene.control.ends;
    scene.room.roomInfo = { sid: "RM_2" };
    await scene.room.connect("ws://127.0.0.1:1", tokenFor({ session: "S_2" }));
    await pass(10_000);
    expect(view(scene).state).toBe("waiting");
    expect(scene.control.ends).toHaveLength(length);
  });

  test("that is lost is connected again", async () => {
    const scene = stage({ join: false });
    await scene.room.connect("ws://127.0.0.1:1", tokenFor());
    scene.control.standing = { is: "known", record: written("holding", 3) };
    scene.room.drop(undefined);
    await pass(1_000);
    expect(scene.room.state).toBe("connected");
  });
});
