import { EventEmitter } from "node:events";
import { DisconnectReason, RoomEvent, Track, TrackEvent } from "livekit-client";
import { describe, expect, test, vi } from "vitest";
import { type Stage, stage, written } from "./support/stage";
import { ended, inVirtualTime, pass, talk, view } from "./support/talk";

inVirtualTime();

describe("a microphone that is unplugged", () => {
  async function unplugged(): Promise<{ scene: Stage; plug: EventEmitter; mute: () => void }> {
    const scene = await talk();
    const plug = new EventEmitter();
    const user = { isLocal: true, isMicrophoneEnabled: true };
    const publication = { source: Track.Source.Microphone, track: plug };
    scene.room.emit(RoomEvent.LocalTrackPublished, publication, user);
    plug.emit(TrackEvent.Ended);
    expect(view(scene).state).toBe("live"); // livekit-client looks for another one
    const mute = () => scene.room.emit(RoomEvent.TrackMuted, publication, { ...user, isMicrophoneEnabled: false });
    return { scene, plug, mute };
  }

  test("without another one needs its user, who may type instead", async () => {
    const { scene, mute } = await unplugged();
    mute();
    expect(view(scene)).toEqual({ state: "blocked", cause: "microphone" });
    await scene.session.setMicrophone(false);
    mute();
    expect(view(scene).state).toBe("live");
  });

  test("is not missed when another one takes its place", async () => {
    const { scene, plug, mute } = await unplugged();
    plug.emit(TrackEvent.Restarted);
    mute();
    expect(view(scene).state).toBe("live");
    expect(scene.session.snapshot().microphone).toBe("off");
  });
});

describe("a device", () => {
  test("other than the microphone may fail, and nobody is stopped", async () => {
    const scene = await talk();
    for (const kind of ["videoinput", undefined]) {
      scene.room.emit(RoomEvent.MediaDevicesError, new Error("denied"), kind);
      expect(view(scene).state).toBe("live");
    }
    scene.room.emit(RoomEvent.MediaDevicesError, new Error("denied"), "audioinput");
    expect(view(scene)).toEqual({ state: "blocked", cause: "microphone" });
  });

  test("is turned on again when LiveKit came back without it, and no camera is taken for it", async () => {
    const scene = await talk();
    const { localParticipant } = scene.room;
    localParticipant.isMicrophoneEnabled = false; // publishing it anew has failed, which nobody is told
    const camera = { source: Track.Source.Camera };
    scene.room.emit(RoomEvent.LocalTrackPublished, camera, { ...localParticipant, isLocal: true });
    expect(scene.session.snapshot().microphone).toBe("on");
    scene.room.emit(RoomEvent.Reconnected);
    await pass(1);
    expect(localParticipant.setMicrophoneEnabled).toHaveBeenCalledTimes(2);
    expect(localParticipant.isMicrophoneEnabled).toBe(true);
  });

  test("stays on, as far as its user is concerned, while there is no connection", async () => {
    const scene = await talk();
    scene.room.attempts.splice(0, 1, "refused");
    scene.room.drop(undefined);
    await pass(5_000);
    expect(view(scene).state).toBe("reconnecting");
    expect(scene.session.snapshot().microphone).toBe("on");
  });
});

describe("the watch", () => {
  test("does not take an old record for news of the clock", async () => {
    const scene = await talk();
    const { clockAhead } = scene.session.snapshot();
    await pass(600_000);
    scene.room.metadata = JSON.stringify({ ...JSON.parse(scene.room.metadata), app: "tea is ready" });
    scene.room.emit(RoomEvent.RoomMetadataChanged, scene.room.metadata);
    expect(scene.session.snapshot().clockAhead).toBe(clockAhead);
  });

  test("finishes the line that an agent was saying, or hearing, when it went", async () => {
    const scene = await talk();
    const calls = scene.room.registerTextStreamHandler.mock.calls as [string, (...told: unknown[]) => void][];
    const [, take] = calls.find(([topic]) => topic === "lk.transcription") ?? [];
    async function* words() {
      yield "I repair";
    }
    const reader = Object.assign(words(), { info: { id: "1", attributes: { "lk.segment_id": "SG_1" } } });
    take?.(reader, { identity: "user-1" });
    await pass(1);
    expect(scene.session.snapshot().lines).toMatchObject([{ text: "I repair", final: false }]);
    scene.room.agentLeaves();
    await pass(2_000);
    expect(scene.session.snapshot().lines).toMatchObject([{ text: "I repair", final: true }]);
  });

  test("shows a stalled connection within four seconds, and its return within one", async () => {
    const scene = await talk();
    scene.room.flow(false);
    await pass(2_900);
    expect(view(scene).state).toBe("live");
    await pass(1_000);
    expect(view(scene).state).toBe("reconnecting");
    scene.room.flow(true);
    await pass(1_000);
    expect(view(scene).state).toBe("live");
    expect(scene.control.told).toContain("stalled");
  });

  test("tells nobody of bytes that only grow", async () => {
    const scene = await talk();
    const told = vi.fn();
    scene.session.subscribe(told);
    await pass(10_000);
    expect(told).not.toHaveBeenCalled();
  });

  test("sees what LiveKit's events kept back", async () => {
    const scene = await talk();
    scene.room.remoteParticipants.clear();
    await pass(2_000);
    expect(view(scene).state).toBe("waiting");
    scene.room.metadata = JSON.stringify({ roomkeeper: { v: 1, ...written("recovering", 7) } });
    await pass(500);
    expect(view(scene).state).toBe("recovering");
  });

  test("asks how things stand after the machine slept", async () => {
    const scene = await talk();
    scene.control.standing = { is: "known", record: ended };
    vi.setSystemTime(Date.now() + 3_600_000);
    await pass(500);
    expect(view(scene)).toMatchObject({ state: "ended", reason: "completed" });
  });

  test("asks while something is awaited that should come by itself", async () => {
    const scene = await talk();
    scene.room.write(written("recovering", 3));
    scene.control.standing = { is: "known", record: written("live", 4) };
    await pass(6_000);
    expect(view(scene).state).toBe("live");
  });

  test("does not ask of a session at once that nobody may have heard of yet", async () => {
    const scene = stage();
    await pass(1);
    scene.room.write(written("waiting", 0)); // by a token, which may also be one of before the end
    await pass(900);
    expect(scene.control.asked).toEqual([]);
    scene.control.standing = { is: "known", record: ended };
    await pass(600);
    expect(view(scene)).toMatchObject({ state: "ended", reason: "completed" });
  });

  test("keeps what the browser saw until somebody takes it", async () => {
    const scene = await talk();
    scene.control.reachable = false;
    scene.browser("offline");
    scene.browser("hidden");
    await pass(1_000);
    expect(scene.control.told).not.toContain("offline");
    scene.control.reachable = true;
    scene.browser("online");
    await pass(1);
    expect(scene.control.told.slice(-3)).toEqual(["offline", "hidden", "online"]);
  });

  test("keeps it, too, until the control plane has heard of the session", async () => {
    const scene = stage();
    await pass(1);
    expect(scene.room.state).toBe("connected");
    scene.browser("hidden");
    scene.browser("pagehide"); // now or never
    scene.room.write(written("waiting", 0)); // by the token that made the room
    await pass(1_000);
    expect(scene.control.told).toEqual([]);
    scene.room.write(written("waiting", 1));
    await pass(1);
    expect(scene.control.told).toEqual(["hidden"]);
  });

  test.each([
    [undefined, "UNKNOWN_REASON"],
    [DisconnectReason.SERVER_SHUTDOWN, "SERVER_SHUTDOWN"],
  ])("keeps LiveKit's own reason of a lost connection: %s", async (code, reason) => {
    const scene = await talk();
    scene.room.drop(code);
    await pass(1_000);
    const lost = scene.control.evidence.find(({ what }) => what === "lost");
    expect(lost?.data).toMatchObject({ reason });
  });

  test("says less than the control plane would refuse", async () => {
    const scene = await talk();
    for (let each = 0; each < 200; each++) scene.browser("hidden");
    await pass(1_000);
    expect(scene.control.told.length).toBeLessThanOrEqual(40);
  });

  test("never repeats the words of livekit-client's errors, which hold the token", async () => {
    const scene = stage();
    scene.room.attempts.splice(0, 1, "refused");
    await pass(10_000);
    expect(JSON.stringify([scene.session.snapshot(), scene.control.told])).not.toContain("secret");
  });

  test("leaves no timer and no listener behind", async () => {
    const scene = await talk();
    scene.room.flow(false);
    scene.room.drop(undefined);
    await pass(200);
    scene.session.close();
    await pass(10_000);
    expect(vi.getTimerCount()).toBe(0);
    expect(scene.room.eventNames()).toEqual([]);
    expect(scene.room.unregisterTextStreamHandler).toHaveBeenCalledTimes(2);
  });
});
