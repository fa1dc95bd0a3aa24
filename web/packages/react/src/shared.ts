/** One session for each room that somebody else connects, however many components ask for it. */
import { controlPlane, createSession, type Session } from "@roomkeeper/client";
import type { Room } from "livekit-client";

const watched = new WeakMap<Room, Record<string, Session>>();

/** The session in somebody else's room; the same one for everybody who asks. */
export function sessionIn(livekit: Room, api: string): Session {
  const here = watched.get(livekit) ?? {};
  watched.set(livekit, here);
  here[api] ??= createSession({ livekit, control: controlPlane(api) });
  return here[api];
}
