/** One watcher for each room that somebody else connects, however many components ask for it. */
import { controlPlane, Session } from "@roomkeeper/client";
import type { Room } from "livekit-client";

interface Shared {
  readonly session: Session;
  users: number;
}

const watched = new WeakMap<Room, Map<string, Shared>>();

/** The session in somebody else's room; the same one for everybody who asks. */
export function sessionIn(room: Room, api: string): Session {
  return sharedIn(room, api).session;
}

/** Watch while somebody looks. Returns how to stop. */
export function watch(room: Room, api: string): () => void {
  const shared = sharedIn(room, api);
  shared.users += 1;
  if (shared.users === 1) shared.session.open();
  return () => {
    shared.users -= 1;
    if (shared.users === 0) shared.session.close();
  };
}

function sharedIn(room: Room, api: string): Shared {
  const here = watched.get(room) ?? new Map<string, Shared>();
  watched.set(room, here);
  const known = here.get(api) ?? { session: new Session({ livekit: room, control: controlPlane(api) }), users: 0 };
  here.set(api, known);
  return known;
}
