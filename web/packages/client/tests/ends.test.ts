import { DisconnectReason, RoomEvent } from "livekit-client";
import { describe, expect, test, vi } from "vitest";
import { stage, tokenFor, written } from "./support/stage";
import { ended, inVirtualTime, pass, talk, view } from "./support/talk";

inVirtualTime();

describe("the end", () => {
  test("is learnt from the room before LiveKit's disconnect, which nobody gets to see", async () => {
    const scene = await talk();
    scene.room.write(ended);
    scene.room.drop(DisconnectReason.ROOM_DELETED);
    await pass(10_000);
    expect(scene.shown).toEqual(["ended"]);
    expect(view(scene)).toMatchObject({ reason: "completed", message: "Thank you!" });
  });

  test("is asked for when LiveKit only says that the room is gone", async () => {
    const scene = await talk();
    scene.control.standing = { is: "known", record: ended };
    scene.room.drop(DisconnectReason.ROOM_DELETED);
    await pass(100);
    expect(scene.shown).toEqual(["ending", "ended"]);
  });

  test("is asked for until the control plane has found out, too, and nobody joins meanwhile", async () => {
    const scene = await talk();
    scene.room.drop(DisconnectReason.ROOM_DELETED);
    await pass(12_000);
    expect(view(scene).state).toBe("ending");
    scene.control.standing = { is: "known", record: written("ended", 9, { reason: "room_deleted" }) };
    await pass(600);
    expect(view(scene)).toMatchObject({ state: "ended", reason: "room_deleted" });
    expect(scene.room.tokens).toHaveLength(1);
  });

  test("of somebody who was removed is no end for the others", async () => {
    const scene = await talk();
    scene.room.drop(DisconnectReason.PARTICIPANT_REMOVED);
    await pass(9_000);
    expect(view(scene)).toMatchObject({ state: "ended", reason: "removed" });
    expect(scene.room.tokens).toHaveLength(1);
  });

  test("while the network was gone is found in the room that an old token made anew, and that room is left", async () => {
    const scene = await talk();
    scene.room.emit(RoomEvent.SignalReconnecting);
    scene.control.standing = { is: "known", record: ended };
    Object.assign(scene.room, { roomInfo: { sid: "RM_2" }, metadata: "" });
    scene.room.remoteParticipants.clear();
    scene.room.emit(RoomEvent.Reconnected);
    await pass(100);
    expect(view(scene)).toMatchObject({ state: "ended", reason: "completed" });
    expect(scene.room.state).toBe("disconnected");
    expect(scene.shown).not.toContain("live");
  });

  test("is asked for while the signal is away, and the room left before livekit-client makes it anew", async () => {
    const scene = await talk();
    scene.room.emit(RoomEvent.SignalReconnecting);
    scene.control.standing = { is: "known", record: ended };
    await pass(6_000);
    expect(scene.shown).toEqual(["reconnecting", "ended"]);
    expect(scene.room.state).toBe("disconnected");
  });

  test("that was learnt while somebody else's room was away makes nobody stay in the one that follows it", async () => {
    const scene = stage({ join: false });
    await scene.room.connect("ws://127.0.0.1:1", tokenFor());
    scene.room.write(written("live", 2));
    scene.room.emit(RoomEvent.SignalReconnecting);
    scene.control.standing = { is: "known", record: ended };
    await pass(6_000);
    expect(view(scene).state).toBe("ended");
    expect(scene.room.state).toBe("connected");
    Object.assign(scene.room, { roomInfo: { sid: "RM_2" }, metadata: "" });
    scene.room.emit(RoomEvent.Reconnected);
    await pass(100);
    expect(scene.room.state).toBe("disconnected");
    expect(view(scene)).toMatchObject({ state: "ended", reason: "completed" });
  });

  test("that the user asks for is the control plane's to make", async () => {
    const scene = await talk();
    scene.control.end = { is: "known", record: written("ending", 3, { reason: "user_ended" }) };
    await scene.session.end();
    expect(view(scene).state).toBe("ending");
    expect(scene.room.state).toBe("connected");
    scene.room.write(written("ended", 4, { reason: "user_ended" }));
    await pass(6_000);
    expect(view(scene)).toMatchObject({ state: "ended", reason: "user_ended" });
    expect(scene.room.state).toBe("disconnected");
  });

  test.each([
    ["refused", "user_left"],
    ["unknown", "user_ended"],
  ] as const)("that is %s only lets the user leave", async (is, reason) => {
    const scene = await talk();
    scene.control.end = { is };
    await scene.session.end();
    await pass(10_000);
    expect(view(scene)).toMatchObject({ state: "ended", reason });
    expect(scene.room.tokens).toHaveLength(1);
  });

  test("that cannot be asked for is asked for until it is recorded, and nobody stays in the room meanwhile", async () => {
    const scene = await talk();
    scene.control.end = { is: "unreachable" };
    await scene.session.end();
    expect(scene.room.state).toBe("disconnected");
    const asked: number[] = [];
    for (let second = 0; second < 60; second++) {
      asked.push(scene.control.ends.length);
      await pass(1_000);
    }
    expect([0, 1, 2, 3, 5, 10].map((second) => asked[second])).toEqual([1, 1, 2, 2, 4, 7]);
    expect(asked.at(-1)).toBeGreaterThan(33); // every 1.5 s, and the beat after that
    expect(scene.shown).toEqual(["ending"]);
    expect(scene.room.tokens).toHaveLength(1);
    scene.control.end = { is: "known", record: written("ending", 3, { reason: "user_ended" }) };
    await pass(6_000);
    const { length } = scene.control.ends;
    scene.control.standing = { is: "known", record: written("ended", 4, { reason: "user_ended" }) };
    await pass(6_000);
    expect(view(scene)).toMatchObject({ state: "ended", reason: "user_ended" });
    expect(scene.shown).toEqual(["ending", "ended"]);
    expect(scene.control.ends).toHaveLength(length);
  });

  test("that is refused after all lets the user leave", async () => {
    const scene = await talk();
    scene.control.end = { is: "unreachable" };
    await scene.session.end();
    scene.control.end = { is: "refused" };
    await pass(2_000);
    expect(view(scene)).toMatchObject({ state: "ended", reason: "user_left" });
  });

  test("that could not be asked for is asked for at once when the network is back", async () => {
    const scene = await talk();
    scene.browser("offline");
    scene.control.end = { is: "unreachable" };
    await scene.session.end();
    scene.control.end = { is: "known", record: written("ending", 8) };
    scene.control.standing = { is: "known", record: written("ended", 9, { reason: "user_ended" }) };
    scene.browser("online");
    await pass(300);
    expect(scene.control.ends).toHaveLength(2);
    await pass(1_500);
    expect(view(scene)).toMatchObject({ state: "ended", reason: "user_ended" });
  });

  test("is not asked for by a page that is closed", async () => {
    const scene = await talk();
    scene.control.end = { is: "unreachable" };
    await scene.session.end();
    scene.session.close();
    await pass(60_000);
    expect(scene.control.ends).toHaveLength(1);
  });

  test("lets go of the microphone at once, and of the room a little later", async () => {
    const scene = await talk();
    const stop = vi.fn();
    scene.room.localParticipant.audioTrackPublications.set("mic", { track: { stop } });
    scene.room.write(ended);
    expect(stop).toHaveBeenCalled();
    expect(scene.room.state).toBe("connected");
    await pass(5_000);
    expect(scene.room.state).toBe("disconnected");
  });

  test("leaves those who were transferred in the room, with their microphones", async () => {
    const scene = await talk();
    const stop = vi.fn();
    scene.room.localParticipant.audioTrackPublications.set("mic", { track: { stop } });
    scene.room.write({ ...ended, reason: "transferred" });
    await pass(60_000);
    expect(view(scene)).toMatchObject({ state: "ended", reason: "transferred" });
    expect(stop).not.toHaveBeenCalled();
    expect(scene.room.state).toBe("connected");
  });

  test("is still the end when the page is loaded again, without a question or a token", async () => {
    const first = await talk();
    first.room.write(ended);
    const again = stage({ memory: first.memory, room: "tea" });
    await pass(5_000);
    expect(view(again)).toMatchObject({ state: "ended", reason: "completed" });
    expect([...again.tokens.asked, ...again.control.asked]).toEqual([]);
  });
});
