/** What livekit-client knows and does not offer: how much arrived, and what it connected with. */
import type { Room } from "livekit-client";

export interface Credentials {
  readonly url: string;
  readonly token: string;
}

/**
 * What the room is connected with; the server renews the token every few minutes. Read from private fields of
 * livekit-client 2.23 (RTCEngine.ts), the only place that has them when somebody else connected the room; null if a
 * later version keeps them elsewhere.
 */
export function credentialsOf(room: Room): Credentials | null {
  const { url, token } = (room.engine ?? {}) as unknown as Record<string, unknown>;
  return typeof url === "string" && typeof token === "string" ? { url, token } : null;
}

/**
 * The room's sid, `RM_…`, without waiting for it as `Room.getSid()` does: what is shown in between would be wrong. From a
 * private field of Room.ts; null while the server has not told it, or if a later version keeps it elsewhere.
 */
export function sidOf(room: Room): string | null {
  const { roomInfo } = room as unknown as { readonly roomInfo?: { readonly sid?: unknown } };
  return typeof roomInfo?.sid === "string" && roomInfo.sid !== "" ? roomInfo.sid : null;
}

/**
 * A number that grows with whatever arrives on the media connections, answers to connectivity checks included, so that it
 * grows also while nobody speaks. Null while there is no connection.
 */
export async function received(room: Room): Promise<number | null> {
  const connections = room.engine?.pcManager;
  let total: number | null = null;
  for (const connection of [connections?.publisher, connections?.subscriber]) {
    const report = await connection?.getStats();
    for (const each of report?.values() ?? []) {
      if (each.type !== "candidate-pair" || each.nominated !== true) continue;
      total = (total ?? 0) + (each.bytesReceived ?? 0) + (each.responsesReceived ?? 0) + (each.requestsReceived ?? 0);
    }
  }
  return total;
}
