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

/** The participant attribute, in tokens of Roomkeeper, that names the session. */
const SESSION_ATTRIBUTE = "roomkeeper.session";

/** Milliseconds. */
const TIMEOUT_MS = 10_000;

/**
 * The token source at an address, usually `/api/token` of the page's own server.
 *
 * @param invite - A signed invitation, sent as `Authorization: Bearer …`; the server takes the identity from it.
 */
export function tokenEndpoint(url: string, invite: string | null = null): TokenSource {
  return async ({ identity, name, room }) => {
    try {
      const response = await fetch(url, {
        method: "POST",
        headers: {
          "Content-Type": "application/json",
          ...(invite === null ? {} : { Authorization: `Bearer ${invite}` }),
        },
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

export interface Claims {
  readonly room: string | null;
  /** `S_…`, in tokens of Roomkeeper. */
  readonly session: string | null;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

/** What a token says of itself. It is not verified: the page only learns from it where it was sent. */
export function claimsOf(token: string): Claims {
  const claims = payloadOf(token);
  const [video, attributes] = [claims.video, claims.attributes].map((each) => (isObject(each) ? each : {}));
  const session = attributes?.[SESSION_ATTRIBUTE];
  return {
    room: typeof video?.room === "string" ? video.room : null,
    session: typeof session === "string" ? session : null,
    expiresAt: typeof claims.exp === "number" ? claims.exp * 1000 : Number.POSITIVE_INFINITY,
  };
}

function payloadOf(token: string): Record<string, unknown> {
  try {
    const [, payload = ""] = token.split(".");
    const bytes = Uint8Array.from(atob(payload.replaceAll("-", "+").replaceAll("_", "/")), (each) =>
      each.charCodeAt(0),
    );
    const claims: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return isObject(claims) ? claims : {};
  } catch {
    return {};
  }
}

async function read(response: Response): Promise<TokenAnswer> {
  if (response.status === 410) return { is: "ended", record: await recordIn(response) };
  if (response.status >= 500) return { is: "unreachable" };
  if (!response.ok) return { is: "refused" };
  const body: unknown = await response.json();
  const answer = isObject(body) ? body : {};
  const { server_url: serverUrl, participant_token: token, room_name: room } = answer;
  if (typeof serverUrl !== "string" || typeof token !== "string") return { is: "refused" };
  return { is: "granted", serverUrl, token, room: typeof room === "string" ? room : null };
}

/** The state object is the answer itself, or stands in a problem document (RFC 9457) under its usual key. */
async function recordIn(response: Response): Promise<SessionRecord | null> {
  const body: unknown = await response.json().catch(() => null);
  return parseRecord(body) ?? (isObject(body) ? (parseRecord(body.roomkeeper) ?? parseRecord(body.state)) : null);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
