/** What livekit-client knows and does not offer: how much arrived, and what it connected with. */
import type { Room } from "livekit-client";

export interface Credentials {
  readonly serverUrl: string;
  readonly token: string;
}

/**
 * What the room is connected with; the server renews the token every few minutes. Read from private fields of
 * livekit-client 2.23 (RTCEngine.ts), the only place that has them when somebody else connected the room; null if a
 * later version keeps them elsewhere.
 */
export function credentialsOf(room: Room): Credentials | null {
  const { url: serverUrl, token } = (room.engine ?? {}) as unknown as {
    readonly url?: string;
    readonly token?: string;
  };
  return serverUrl && token ? { serverUrl, token } : null;
}

/**
 * The room's sid, `RM_…`, without waiting for it as `Room.getSid()` does: what is shown in between would be wrong. From a
 * private field of Room.ts; null while the server has not told it, or if a later version keeps it elsewhere.
 */
export function sidOf(room: Room): string | null {
  return (room as unknown as { readonly roomInfo?: { readonly sid?: string } }).roomInfo?.sid || null;
}

/**
 * A number that grows with whatever arrives on the media connections, answers to connectivity checks included, so that it
 * grows also while nobody speaks. Null while there is no connection.
 */
export async function received(room: Room): Promise<number | null> {
  const { publisher, subscriber } = room.engine?.pcManager ?? {};
  let total: number | null = null;
  for (const connection of [publisher, subscriber]) {
    for (const each of (await connection?.getStats())?.values() ?? []) {
      if (!each.nominated) continue; // only candidate pairs are
      total = (total ?? 0) + (each.bytesReceived ?? 0) + (each.responsesReceived ?? 0);
    }
  }
  return total;
}
