/** LiveKit's standard token source, read so that a refusal keeps its meaning. */
import { parseRecord, type SessionRecord } from "./record";

export interface TokenRequest {
  readonly identity: string;
  readonly name: string;
  /** The room to come back to; null for a new one. */
  readonly room: string | null;
}

export type TokenAnswer =
  | { readonly is: "granted"; readonly serverUrl: string; readonly token: string; readonly room: string | null }
  | { readonly is: "ended"; readonly record: SessionRecord | null }
  | { readonly is: "refused" }
  | { readonly is: "unreachable" };

export type TokenSource = (request: TokenRequest) => Promise<TokenAnswer>;

const TIMEOUT_MS = 10_000;

/** The token source at an address, usually `/api/token` of the page's own server. */
export function tokenEndpoint(url: string): TokenSource {
  return async ({ identity, name, room }) => {
    try {
      const response = await fetch(url, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({
          participant_identity: identity,
          participant_name: name,
          ...(room === null ? {} : { room_name: room }),
        }),
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      return await read(response);
    } catch {
      // Offline, timed out or not JSON. The error is dropped: its words are the browser's, not the user's.
      return { is: "unreachable" };
    }
  };
}

async function read(response: Response): Promise<TokenAnswer> {
  if (response.status === 410) return { is: "ended", record: parseRecord(await response.json().catch(() => null)) };
  if (response.status >= 500) return { is: "unreachable" };
  if (!response.ok) return { is: "refused" };
  const body: unknown = await response.json();
  const answer = (typeof body === "object" && body !== null ? body : {}) as Record<string, unknown>;
  const { server_url: serverUrl, participant_token: token, room_name: room } = answer;
  if (typeof serverUrl !== "string" || typeof token !== "string") return { is: "refused" };
  return { is: "granted", serverUrl, token, room: typeof room === "string" ? room : null };
}
